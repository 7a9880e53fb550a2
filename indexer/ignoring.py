"""Which files of a workspace are not to be read: git's rules, `.ignore`, the user's patterns, and our own.

Owns which patterns hold for a path and which of them wins. The pattern language is
`indexer.wildmatch`; walking the tree is `indexer.source_files`.

From strongest to weakest:

1. folders of version control and files whose names say secret, always;
2. the user's `exclude` patterns, where ``!`` brings back what the built-in rules skip;
3. the built-in rules: dependencies, environments, caches, lock files, binaries;
4. `.hefignore` files, the deepest first;
5. `.ignore` files, the deepest first;
6. `.gitignore` files, the deepest first, then `.git/info/exclude`.

Levels 4 to 6 also look above the workspace, up to the root of the repository it lies
in, unless those rules ignore the workspace itself: who opens such a folder means it.
As in git, what lies in an ignored folder stays ignored, whatever a pattern below says.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from indexer.never_source import BUILT_IN_PATTERNS, is_secret_entry
from indexer.wildmatch import IGNORE_CASE, IgnoreFile, ignore_file

logger = logging.getLogger(__name__)

IGNORE_FILE_NAMES = (".hefignore", ".ignore", ".gitignore")
_VCS_FOLDERS = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", ".pijul"})
# A folder that holds one of these is made by a tool and can be made again.
FOLDER_MARKERS = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG")
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


# For each of IGNORE_FILE_NAMES, the files that hold for one folder, deepest first.
_Sources = tuple[tuple[_Source, ...], ...]
_NOTHING_ABOVE: _Sources = ((),) * len(IGNORE_FILE_NAMES)


@dataclass
class _State:
    """What one `reload` has read; filled as folders are met, replaced as a whole."""

    prefix: str
    above: _Sources
    git_exclude: tuple[_Source, ...]
    by_folder: dict[str, _Sources] = field(default_factory=dict)
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
        if is_directory:
            return self._ignores_folder(self._state, path)
        return self._ignores_folder(self._state, path.rpartition("/")[0]) or self.ignores_entry(path, False)

    def ignores_entry(self, path: str, is_directory: bool) -> bool:
        """The same for a walk that has come down to `path`: folders above it are not asked again."""
        if is_directory:
            return self._ignores_folder(self._state, path)
        return self._decide(self._state, path, is_directory=False)

    def _ignores_folder(self, state: _State, path: str) -> bool:
        """Whether `path` or a folder above it is ignored; walks down from the deepest one known."""
        known, unknown = state.folders, []
        while path and path not in known:
            unknown.append(path)
            path = path.rpartition("/")[0]
        ignored = known.get(path, False)
        for folder in reversed(unknown):
            ignored = (
                ignored or self._decide(state, folder, is_directory=True) or self._is_made_by_a_tool(folder)
            )
            known[folder] = ignored
        # A new dict, not clear(): another thread may be half-way through the old one.
        if len(known) > _MOST_REMEMBERED:
            state.folders = {}
        return ignored

    def _is_made_by_a_tool(self, path: str) -> bool:
        if self._exclude.match(path, True) is False:
            return False
        return any(_exists(self._root / path / marker) for marker in FOLDER_MARKERS)

    def _decide(self, state: _State, path: str, is_directory: bool) -> bool:
        """The rules for `path` alone, given that no folder above it is ignored."""
        name = path.rpartition("/")[2]
        if (name.lower() if IGNORE_CASE else name) in _VCS_FOLDERS or is_secret_entry(path, is_directory):
            return True
        chosen = self._exclude.match(path, is_directory)
        if chosen is not None:
            return chosen
        if _BUILT_IN.match(path, is_directory):
            return True
        full_path = state.prefix + path
        for source in self._sources(state, path.rpartition("/")[0]):
            verdict = source.patterns.match(full_path[len(source.base) :], is_directory)
            if verdict is not None:
                return verdict
        return False

    def _sources(self, state: _State, folder: str) -> tuple[_Source, ...]:
        """The ignore files that speak of what `folder` holds, strongest first."""
        known, unknown = state.by_folder, []
        while folder and folder not in known:
            unknown.append(folder)
            folder = folder.rpartition("/")[0]
        by_name = known.get(folder)
        if by_name is None:
            by_name = known[""] = self._own_sources(state, "", state.above)
        for folder in reversed(unknown):
            by_name = known[folder] = self._own_sources(state, folder, by_name)
        if len(known) > _MOST_REMEMBERED:
            state.by_folder = {}
        return (*chain.from_iterable(by_name), *state.git_exclude)

    def _own_sources(self, state: _State, folder: str, above: _Sources) -> _Sources:
        """The lists of the folder above, each headed by the file that `folder` itself holds."""
        base = f"{state.prefix}{folder}/" if folder else state.prefix
        return tuple(
            (_Source(base, patterns), *inherited) if patterns else inherited
            for name, inherited in zip(IGNORE_FILE_NAMES, above, strict=True)
            for patterns in [_read_patterns(self._root / folder / name)]
        )


def _read_state(root: Path) -> _State:
    """Reads what lies above `root`: parent folders up to the repository's root, and git's exclude file."""
    repository = _repository_of(root)
    if repository is None:
        return _State("", _NOTHING_ABOVE, ())
    folders = list(root.relative_to(repository).parts)
    exclude = _read_patterns(_git_directory(repository) / "info" / "exclude")
    above = []
    for name in IGNORE_FILE_NAMES:
        found = []
        for depth in reversed(range(len(folders))):
            patterns = _read_patterns(repository.joinpath(*folders[:depth]) / name)
            if patterns:
                found.append(_Source("".join(f"{part}/" for part in folders[:depth]), patterns))
        above.append(tuple(found))
    prefix = "".join(f"{part}/" for part in folders)
    state = _State(prefix, tuple(above), (_Source("", exclude),) if exclude else ())
    if _ignored_from_above(state, folders):
        return _State("", _NOTHING_ABOVE, ())
    return state


def _ignored_from_above(state: _State, folders: list[str]) -> bool:
    """Whether the repository's rules ignore the workspace's own folder or one above it."""
    sources = [*chain.from_iterable(state.above), *state.git_exclude]
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
