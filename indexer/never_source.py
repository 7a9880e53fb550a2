"""Names that are never source: what the built-in ignore rules skip, as .gitignore patterns.

Owns the lists and the reason for each, and which names say that a file holds secrets. That they are
obeyed, and that a user's ``!pattern`` brings back all but secrets, is `indexer.ignoring`.
"""

from __future__ import annotations

from indexer.wildmatch import ignore_file

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

# Must never turn up in a suggestion: no setting brings these back. Names that source has too (secrets.py,
# credentials.ts, token.go) are not here; what such files hold is looked at string by string.
_SECRET_FILES = """
    .env .env.* *.env .envrc .netrc _netrc .pgpass .my.cnf .mylogin.cnf .pypirc .npmrc .yarnrc.yml
    .dockercfg **/.docker/config.json .dockerconfigjson .git-credentials .htpasswd .htdigest *.htpasswd
    .s3cfg .boto .passwd .vault-token .vault_pass* vault_pass* vault-pass* .terraformrc terraform.rc
    settings-security.xml kubeconfig *.kubeconfig credentials .credentials credentials.json
    credentials.y*ml credentials.toml credentials.xml credentials.ini credentials.csv *-credentials.json
    *_credentials.json client_secret*.json client-secret*.json service-account*.json
    service_account*.json serviceaccount*.json application_default_credentials.json secrets.json
    secrets.y*ml secrets.toml secrets.ini secrets.xml secrets.properties secret.json secret.y*ml
    secret.toml .secrets .secrets.* *.secret *.secrets secrets.*.y*ml secrets.*.json local.settings.json
    *.tfvars *.tfvars.json *.tfstate *.tfstate.* id_rsa* id_dsa* id_ed25519* id_ecdsa* *.pem *.key *.p8
    *.p12 *.pfx *.pkcs12 *.jks *.jceks *.bks *.keystore *.kdb *.kdbx *.ppk *.gpg *.pgp *.ovpn *.agekey
    *.mobileprovision wallet.dat .*_history
"""
_SECRET_FOLDERS = """
    .aws/ .ssh/ .gnupg/ .azure/ .kube/ **/.config/gcloud/ .secrets/ .password-store/
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

BUILT_IN_PATTERNS = "\n".join((_FOLDERS + _MADE + _BINARIES + _DATA).split())
_OF_FILES = ignore_file("\n".join(_SECRET_FILES.split()))
_OF_FOLDERS = ignore_file("\n".join(_SECRET_FOLDERS.split()))


def is_secret_entry(path: str, is_directory: bool) -> bool:
    """Whether the last name of `path` says secret, in small letters or capitals."""
    patterns = _OF_FOLDERS if is_directory else _OF_FILES
    return bool(patterns.match(path.lower(), is_directory))


def is_secret_file(path: str) -> bool:
    """Whether the name of the file `path` (forward slashes), or of a folder above it, says secret."""
    parts = path.strip("/").split("/")
    folders = ("/".join(parts[:n]) for n in range(1, len(parts)))
    return is_secret_entry("/".join(parts), False) or any(is_secret_entry(name, True) for name in folders)
