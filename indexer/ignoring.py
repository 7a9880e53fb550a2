"""Which files of a workspace are not to be read: git's rules, `.ignore`, the user's patterns, and our own.

Owns which patterns hold for a path and which of them wins. The pattern language is
`indexer.wildmatch`; walking the tree is `indexer.source_files`.

From strongest to weakest:

1. folders of version control, always;
2. the user's `exclude` patterns, where ``!`` brings back what the built-in rules skip;
3. the built-in rules: dependencies, environments, caches, lock files, binaries, secrets;
4. `.ignore` files, the deepest first;
5. `.gitignore` files, the deepest first, then `.git/info/exclude`.

Levels 4 and 5 also look above the workspace, up to the root of the repository it lies
in, unless those rules ignore the workspace itself: who opens such a folder means it.
As in git, what lies in an ignored folder stays ignored, whatever a pattern below says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from indexer.never_source import BUILT_IN_PATTERNS
from indexer.wildmatch import IGNORE_CASE, IgnoreFile, ignore_file

logger = logging.getLogger(__name__)

IGNORE_FILE_NAMES = (".ignore", ".gitignore")
_VCS_FOLDERS = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", ".pijul"})
# A folder that holds one of these is made by a tool and can be made again.
_MARKERS = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG")
# An ignore file larger than this is no ignore file.
_MOST_BYTES = 1 << 20
# Decisions on folders are kept; past this many the memory is worth more than the time.
_MOST_REMEMBERED = 200_000

_BUILT_IN = ignore_file(BUILT_IN_PATTERNS)


@dataclass(frozen=True)
class _Source:
    """One ignore file and the folder it speaks for: `base`, relative to the repository's root, or ""."""

    base: str
    patterns: IgnoreFile


@dataclass
class _State:
    """What one `reload` has read; filled as folders are met, replaced as a whole."""

    prefix: str
    above: dict[str, tuple[_Source, ...]]
    git_exclude: tuple[_Source, ...]
    by_folder: dict[tuple[str, str], _Source | None] = field(default_factory=dict)
    folders: dict[str, bool] = field(default_factory=dict)


class IgnoreRules:
    """Answers whether a path of the workspace is ignored. Any thread may ask.

    Ignore files are read when their folder is first asked about and kept until `reload`.
    """

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        self._root = root.absolute()
        self._exclude = ignore_file("\n".join(exclude))
        self._state = _read_state(self._root)

    def reload(self) -> None:
        """Forget every ignore file read so far; the next question reads anew."""
        self._state = _read_state(self._root)

    def ignores(self, path: str, is_directory: bool) -> bool:
        """Whether `path` (workspace-relative, forward slashes) or a folder above it is ignored.

        The workspace itself ("" or ".") never is; what lies outside of it always is.
        """
        if path in ("", "."):
            return False
        parts = path.split("/")
        if path.startswith("/") or ".." in parts:
            return True
        state = self._state
        for depth in range(1, len(parts)):
            if self._ignores_folder(state, "/".join(parts[:depth])):
                return True
        if is_directory:
            return self._ignores_folder(state, path)
        return self._decide(state, path, is_directory=False)

    def _ignores_folder(self, state: _State, path: str) -> bool:
        known = state.folders.get(path)
        if known is None:
            known = self._decide(state, path, is_directory=True) or self._is_made_by_a_tool(path)
            if len(state.folders) >= _MOST_REMEMBERED:
                state.folders.clear()
            state.folders[path] = known
        return known

    def _is_made_by_a_tool(self, path: str) -> bool:
        if self._exclude.match(path, True) is False:
            return False
        return any(_exists(self._root / path / marker) for marker in _MARKERS)

    def _decide(self, state: _State, path: str, is_directory: bool) -> bool:
        """The rules for `path` alone, given that no folder above it is ignored."""
        name = path.rpartition("/")[2]
        if (name.lower() if IGNORE_CASE else name) in _VCS_FOLDERS:
            return True
        chosen = self._exclude.match(path, is_directory)
        if chosen is not None:
            return chosen
        if _BUILT_IN.match(path, is_directory):
            return True
        full_path = state.prefix + path
        for source in self._sources(state, path):
            verdict = source.patterns.match(full_path[len(source.base) :], is_directory)
            if verdict is not None:
                return verdict
        return False

    def _sources(self, state: _State, path: str) -> Iterator[_Source]:
        """The ignore files that may speak of `path`, strongest first."""
        folder = path.rpartition("/")[0]
        for file_name in IGNORE_FILE_NAMES:
            here = folder
            while True:
                source = self._source(state, here, file_name)
                if source is not None:
                    yield source
                if not here:
                    break
                here = here.rpartition("/")[0]
            yield from state.above[file_name]
        yield from state.git_exclude

    def _source(self, state: _State, folder: str, file_name: str) -> _Source | None:
        key = (folder, file_name)
        if key not in state.by_folder:
            patterns = _read_patterns(self._root / folder / file_name)
            base = f"{state.prefix}{folder}/" if folder else state.prefix
            if len(state.by_folder) >= _MOST_REMEMBERED:
                state.by_folder.clear()
            state.by_folder[key] = _Source(base, patterns) if patterns else None
        return state.by_folder.get(key)


def _read_state(root: Path) -> _State:
    """Reads what lies above `root`: parent folders up to the repository's root, and git's exclude file."""
    repository = _repository_of(root)
    if repository is None:
        return _State("", dict.fromkeys(IGNORE_FILE_NAMES, ()), ())
    folders = list(root.relative_to(repository).parts)
    exclude = _read_patterns(_git_directory(repository) / "info" / "exclude")
    above: dict[str, tuple[_Source, ...]] = {}
    for name in IGNORE_FILE_NAMES:
        found = []
        for depth in reversed(range(len(folders))):
            patterns = _read_patterns(repository.joinpath(*folders[:depth]) / name)
            if patterns:
                found.append(_Source("".join(f"{part}/" for part in folders[:depth]), patterns))
        above[name] = tuple(found)
    prefix = "".join(f"{part}/" for part in folders)
    state = _State(prefix, above, (_Source("", exclude),) if exclude else ())
    if _ignored_from_above(state, folders):
        return _State("", dict.fromkeys(IGNORE_FILE_NAMES, ()), ())
    return state


def _ignored_from_above(state: _State, folders: list[str]) -> bool:
    """Whether the repository's rules ignore the workspace's own folder or one above it."""
    sources = [source for name in IGNORE_FILE_NAMES for source in state.above[name]] + list(state.git_exclude)
    for depth in range(1, len(folders) + 1):
        path = "/".join(folders[:depth])
        verdicts = (
            source.patterns.match(path[len(source.base) :], True)
            for source in sources
            if path.startswith(source.base)
        )
        if next((verdict for verdict in verdicts if verdict is not None), False):
            return True
    return False


def _repository_of(root: Path) -> Path | None:
    for folder in (root, *root.parents):
        if _exists(folder / ".git"):
            return folder
    return None


def _git_directory(repository: Path) -> Path:
    """The folder that holds `info/`: for a worktree or submodule, ``.git`` is a file that points there."""
    git = repository / ".git"
    try:
        if git.is_dir():
            return git
        pointed = git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        git = repository / pointed
        common = git / "commondir"
        return git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    except (OSError, ValueError):
        return git


def _read_patterns(path: Path) -> IgnoreFile | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        logger.warning("The ignore file %s is not readable (%s): make it readable, or remove it", path, error)
        return None
    patterns = ignore_file(data.decode("utf-8", "replace"))
    return patterns or None


def _exists(path: Path) -> bool:
    """`Path.exists` that takes a folder one may not enter for one without the file."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
