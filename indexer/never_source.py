"""Names that are never source: what the built-in ignore rules skip, as .gitignore patterns.

Owns the lists and the reason for each. That they are obeyed, and that a user's
``!pattern`` brings them back, is `indexer.ignoring`.
"""

from __future__ import annotations

# Dependencies, environments and caches. `build/`, `dist/`, `vendor/` and `target/` are not here: they may
# hold source; ranks and CACHEDIR.TAG deal with them.
_FOLDERS = """
    node_modules/ bower_components/ jspm_packages/ __pycache__/ __pypackages__/ site-packages/ .venv/
    .tox/ .nox/ .eggs/ *.egg-info/ .*_cache/ .cache/ .hypothesis/ .ipynb_checkpoints/ .gradle/ .m2/ .idea/
    .vs/ .next/ .nuxt/ .svelte-kit/ .turbo/ .parcel-cache/ .angular/ .terraform/ .dart_tool/ .direnv/
    .pnpm-store/ .bundle/ DerivedData/ .DS_Store
"""

# Made by tools: minified scripts, source maps, lock files.
_MADE = """
    *.min.js *.min.mjs *.min.css *.bundle.js *.chunk.js *.map *.lock *.lockb package-lock.json
    npm-shrinkwrap.json pnpm-lock.yaml go.sum .pnp.*
"""

# Must never turn up in a suggestion.
_SECRETS = """
    .env .env.* .netrc .pypirc .npmrc id_rsa* id_ed25519* id_ecdsa* *.pem *.key *.p12 *.pfx *.jks
    *.keystore *.kdbx
"""

# Not text.
_BINARIES = """
    *.py[cod] *.so *.so.* *.dylib *.dll *.exe *.o *.a *.obj *.lib *.class *.jar *.war *.wasm *.whl *.egg
    *.zip *.tar *.gz *.tgz *.bz2 *.xz *.zst *.7z *.rar *.iso *.dmg *.deb *.rpm *.png *.jpg *.jpeg *.gif
    *.bmp *.ico *.icns *.webp *.avif *.tif *.tiff *.psd *.svg *.pdf *.mp3 *.mp4 *.m4a *.ogg *.wav *.flac
    *.avi *.mov *.mkv *.webm *.woff *.woff2 *.ttf *.otf *.eot
"""

# Data and weights; a table teaches a completion nothing and crowds out code.
_DATA = """
    *.sqlite *.sqlite3 *.db *.db-wal *.db-shm *.npy *.npz *.pt *.pth *.ckpt *.onnx *.safetensors *.gguf
    *.h5 *.parquet *.arrow *.feather *.pkl *.pickle *.csv *.tsv *.jsonl *.ndjson *.log
"""

BUILT_IN_PATTERNS = "\n".join((_FOLDERS + _MADE + _SECRETS + _BINARIES + _DATA).split())
