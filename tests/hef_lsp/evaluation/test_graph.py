"""Definitions reached through imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_bundle

from hef_lsp.evaluation.graph import GraphRetriever, Import, imports_of
from indexer.index import Index, IndexModels
from indexer.retriever import Query
from indexer.source_files import SourceTree

PADDING = "\n\n\n" + "\n".join(f"value_{number} = {number}" for number in range(60)) + "\n\n\n"
FILES = {
    "app/views.py": "from .models import Order as O, Customer\nimport shop.tools as tools\n"
    "from app import passed_on\nfrom os import path\n\n\ndef show():\n    return O(",
    "app/models.py": f"class Order:\n    price = 1\n{PADDING}class Customer:\n    name = 2\n{PADDING}"
    "class Unused:\n    pass\n",
    "app/__init__.py": "from .deep.inner import passed_on\n",
    "app/deep/inner.py": f"{PADDING}def passed_on(given):\n    return given\n",
    "shop/tools.py": f"def helper(x):\n    return x\n{PADDING}def other_helper():\n    pass\n",
    "far/app/models.py": "class Order:\n    wrong = True\n",
}


def here(job: Callable[[], Any], /) -> Any:
    return job()


@pytest.fixture
def retrieved(tmp_path: Path) -> Callable[..., list[tuple[str, str]]]:
    for path, text in FILES.items():
        file = tmp_path / "src" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    bundle = fake_bundle()
    models = IndexModels(bundle.embedder, None, bundle.count_tokens, "tokens", bundle.encode)
    tree = SourceTree(tmp_path / "src", (), 100, 1 << 20)

    def retrieve(text: str, n_hits: int = 6) -> list[tuple[str, str]]:
        index = Index.open(tmp_path / "index", tree, models, here, 0, 1 << 20)
        try:
            index.updater.scan()
            query = Query(text, "app/views.py", (0, 9), n_hits, ancestors=False, near=text)
            return [(hit.node.path, hit.text) for hit in GraphRetriever().retrieve(index.view(), query)]
        finally:
            index.close()

    return retrieve


def test_imports_in_their_many_forms() -> None:
    text = (
        "from a.b import (\n    c,  # why\n    d as e,\n)\nfrom ..x import y\nfrom . import z\n"
        "import os, numpy as np\nimport p.q\nfrom m import *\nx = 'import nothing'\n"
    )
    assert imports_of(text) == [
        Import("a.b", 0, "c", "c"),
        Import("a.b", 0, "d", "e"),
        Import("x", 2, "y", "y"),
        Import("", 1, "z", "z"),
        Import("m", 0, "*", "*"),
        Import("os", 0, "", "os"),
        Import("numpy", 0, "", "np"),
        Import("p.q", 0, "", "p"),
    ]


def test_the_name_used_last_comes_first(retrieved: Callable[..., list[tuple[str, str]]]) -> None:
    found = retrieved("x = Customer()\nreturn O(")
    assert found[0][0] == "app/models.py" and "class Order" in found[0][1]
    assert "class Customer" in found[1][1]
    ((_, text),) = retrieved("O()\nCustomer(", n_hits=1)
    assert "class Customer" in text
    assert all("wrong" not in text and "Unused" not in text for _, text in found)


def test_a_module_gives_what_is_used_of_it(retrieved: Callable[..., list[tuple[str, str]]]) -> None:
    texts = [text for path, text in retrieved("tools.helper(1)") if path == "shop/tools.py"]
    assert len(texts) == 1 and "def helper" in texts[0]


def test_what_a_package_passes_on_is_followed(retrieved: Callable[..., list[tuple[str, str]]]) -> None:
    assert ("app/deep/inner.py", True) in [
        (path, "def passed_on" in text) for path, text in retrieved("passed_on(")
    ]


def test_without_imports_there_is_nothing(
    retrieved: Callable[..., list[tuple[str, str]]], tmp_path: Path
) -> None:
    (tmp_path / "src" / "app" / "views.py").write_text("def show(:\n")
    assert retrieved("show") == []
