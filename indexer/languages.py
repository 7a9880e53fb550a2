"""Which language a file is in, judged by its name alone, and how that language writes a line comment.

Owns the tables. Reading files and shebangs is no business of this module: the name
decides, so that a language never changes with an edit and digests stay stable.
"""

from __future__ import annotations

_EXTENSIONS: dict[str, str] = {
    extension: language
    for language, extensions in {
        "python": "py pyi pyw pyx pxd",
        "javascript": "js jsx mjs cjs",
        "typescript": "ts mts cts",
        "tsx": "tsx",
        "go": "go",
        "rust": "rs",
        "java": "java",
        "c": "c",
        # A C++ grammar reads C headers; a C grammar does not read C++ headers.
        "cpp": "cc cpp cxx c++ h hh hpp hxx h++ ipp inl tpp cu cuh",
        "csharp": "cs csx",
        "ruby": "rb rake gemspec ru",
        "php": "php phtml php5 php7 php8",
        "kotlin": "kt kts",
        "scala": "scala sc",
        "swift": "swift",
        "objc": "m mm",
        "dart": "dart",
        "lua": "lua",
        "perl": "pl pm",
        "r": "r",
        "julia": "jl",
        "elixir": "ex exs",
        "erlang": "erl hrl",
        "haskell": "hs",
        "ocaml": "ml mli",
        "fsharp": "fs fsi fsx",
        "clojure": "clj cljs cljc",
        "zig": "zig",
        "nim": "nim",
        "shell": "sh bash zsh fish",
        "powershell": "ps1 psm1",
        "sql": "sql",
        "html": "html htm",
        "css": "css",
        "scss": "scss sass less",
        "vue": "vue",
        "svelte": "svelte",
        "json": "json jsonc json5",
        "yaml": "yaml yml",
        "toml": "toml",
        "ini": "ini cfg conf properties",
        "xml": "xml xsd",
        "markdown": "md markdown mdx",
        "rst": "rst",
        "protobuf": "proto",
        "graphql": "graphql gql",
        "terraform": "tf hcl",
        "cmake": "cmake",
        "make": "mk mak",
        "dockerfile": "dockerfile",
        "latex": "tex",
    }.items()
    for extension in extensions.split()
}

_NAMES: dict[str, str] = {
    "makefile": "make",
    "gnumakefile": "make",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "cmakelists.txt": "cmake",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "podfile": "ruby",
    "vagrantfile": "ruby",
    "guardfile": "ruby",
    "sconstruct": "python",
    "sconscript": "python",
    "wscript": "python",
    "build.bazel": "python",
    "jenkinsfile": "groovy",
    ".bashrc": "shell",
    ".zshrc": "shell",
    ".profile": "shell",
}

_COMMENTS: dict[str, str] = {
    language: mark
    for mark, languages in {
        "//": "javascript typescript tsx go rust java c cpp csharp php kotlin scala swift objc dart "
        "fsharp zig scss vue svelte protobuf json groovy",
        "--": "lua sql haskell",
        "%": "erlang latex",
        ";": "clojure ini",
        "<!--": "html xml markdown",
        "/*": "css",
        "(*": "ocaml",
        "..": "rst",
    }.items()
    for language in languages.split()
}


def language_of(path: str) -> str | None:
    """The language that the name of `path` says; None for plain text and names unknown."""
    name = path.rpartition("/")[2].lower()
    if name in _NAMES:
        return _NAMES[name]
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        return None
    return _EXTENSIONS.get(extension)


def line_comment(language: str | None) -> str:
    """What opens a comment on one line in `language`; ``#`` where nothing better is known.

    Languages that must close a comment (HTML, CSS, OCaml) give their opening mark.
    """
    return _COMMENTS.get(language or "", "#")
