"""What is kept of a workspace is the user's alone, and nothing is loaded that could run."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

import pytest
from watching import stub

from hef_lsp.index_directory import IndexDirectory

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for package in ("hef_lsp", "indexer", "model") for path in (ROOT / package).rglob("*.py")
)
EXECUTING_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "runpy",
}
posix = pytest.mark.skipif(os.name != "posix", reason="rights of this kind are POSIX's")


def too_open(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder.parent)} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o077
    ]


@posix
def test_a_server_leaves_files_for_its_user_alone(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "shapes.py").write_text("def area(w, h):\n    return w * h\n", encoding="utf-8")
    before = os.umask(0)  # the widest that a user could have; a child inherits it
    try:
        wire = stub(tmp_path, root)
    finally:
        os.umask(before)
    try:
        wire.initialize([root], {})
        wire.settle(lambda status: status["index"]["files"] > 0)
        while_running = too_open(tmp_path / "cache")
        assert wire.leave() == 0
    finally:
        wire.kill()
    names = {path.name for path in (tmp_path / "cache").rglob("*")}
    assert {"index.sqlite3", "memory.npz", "workspace.json"} <= names
    assert while_running == [] and too_open(tmp_path / "cache") == []


@posix
def test_rights_that_were_wider_are_taken_back(tmp_path: Path) -> None:
    claimed = IndexDirectory.claim(tmp_path / "cache", tmp_path)
    claimed.index.mkdir()
    claimed.release()
    for path in (claimed.path, claimed.index):
        path.chmod(0o755)
    (claimed.index / "index.sqlite3").write_bytes(b"")
    (claimed.index / "index.sqlite3").chmod(0o644)
    IndexDirectory.claim(tmp_path / "cache", tmp_path).release()
    assert too_open(claimed.path) == []


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def keyword(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(k.value) for k in call.keywords if k.arg == name and _plain(k.value)), None)


def _plain(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_loaded_that_could_run(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert executing(tree) == []


def executing(tree: ast.AST) -> list[str]:
    """Imports and calls by which data could become code."""
    found: list[str] = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.partition(".")[0] in EXECUTING_MODULES]
    for call in calls(tree):
        name = ast.unparse(call.func)
        if name in ("eval", "exec", "os.system", "os.popen"):
            found.append(name)
        if name == "torch.load" and keyword(call, "weights_only") is not True:
            found.append("torch.load without weights_only")
        if keyword(call, "allow_pickle") or keyword(call, "trust_remote_code") or keyword(call, "shell"):
            found.append(name)
        if name.endswith(".extractall") and keyword(call, "filter") != "data":
            found.append("extractall without the filter")
    return found


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from joblib import load", "torch.load(path)", "np.load(path, allow_pickle=True)",
     "subprocess.run(line, shell=True)", "archive.extractall(folder)", "eval(text)",
     "A.from_pretrained(x, trust_remote_code=True)"],
)  # fmt: skip
def test_the_search_for_such_lines_finds_them(line: str) -> None:
    assert executing(ast.parse(line))
