"""The whole main job with the embedded model: index, follow an edit, complete, explain, over real LSP."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from waiting import until

from hef_lsp.cli import app
from hef_lsp.documents import DocumentSnapshot
from hef_lsp.lsp_client import EditorClient, editor_client
from hef_lsp.models_loading import load_models
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import LanePriority
from hef_lsp.server import create_server
from hef_lsp.settings import ContextSettings, ModelSettings, Settings
from model import bundle
from model.protocols import NeverCancelled

pytestmark = pytest.mark.real_model
LEDGER = """class Ledger:
    def post_entry(self, account, amount):
        self.entries.append((account, amount))
"""
REPORT = """from ledger import Ledger


def monthly(ledger: Ledger) -> None:
    for account in ledger.accounts:
"""
OPTIONS: dict[str, Any] = {
    "model": {"name": "smollm2-135m", "offline": True},
    "completion": {"deadlineMs": 60_000},
    "context": {"mode": "text"},
}


@pytest.fixture
def workspace(tmp_path: Path, embedded_model_path: Path) -> Path:
    root = tmp_path / "work"
    (root / "pkg").mkdir(parents=True)
    (root / "ledger.py").write_text(LEDGER)
    (root / "pkg" / "report.py").write_text(REPORT)
    return root


async def completed(editor: EditorClient, root: Path) -> tuple[list[str], dict[str, Any]]:
    text = REPORT + "        ledger.post_"
    uri = editor.open(root / "pkg" / "report.py", text)
    suggestions = await editor.inline_complete(
        uri, text.count("\n"), len("        ledger.post_"), invoked=False
    )
    explanation = await editor.command("hef.explain", uri)
    editor.close(uri)
    return suggestions, explanation


async def test_the_server_indexes_follows_an_edit_completes_and_explains(
    workspace: Path, tmp_path: Path
) -> None:
    async with editor_client(workspace, OPTIONS, cache_dir=tmp_path / "cache") as editor:
        first = (await editor.wait_until_settled())["index"]
        assert (first["files"], first["pending"], first["encoded"]) == (2, 0, 0)  # text reads no memories
        assert first["embedded"] == first["chunks"]

        suggestions, explanation = await completed(editor, workspace)
        assert suggestions[0].startswith("entry("), suggestions
        assert explanation["mode"] == "text"
        assert any(hit["path"] == "ledger.py" and hit["used"] for hit in explanation["hits"])

        await editor.command("hef.setContext", "dense")
        before = first
        while before.get("encoded", 0) < first["chunks"] or before["pending"]:
            before = (await editor.wait_until_settled())["index"]
        assert before["encoded"] == before["chunks"]
        assert before["fused"] == before["nodes"] - before["chunks"]
        suggestions, explanation = await completed(editor, workspace)
        assert suggestions[0].startswith("entry("), suggestions
        assert explanation["mode"] == "dense"
        assert 0 < explanation["n_pseudo_tokens"] <= ContextSettings().pseudo_tokens

        (workspace / "ledger.py").write_text(
            LEDGER + "\n\ndef close_books(ledger):\n    return ledger.entries\n"
        )
        after = before
        while after["generation"] <= before["generation"] or after["pending"]:
            after = (await editor.wait_until_settled())["index"]
        assert 1 <= after["encoded"] - before["encoded"] <= 2
        assert after["fused"] - before["fused"] == 2  # the file and the repository, not the folder beside

        await editor.command("hef.setContext", "none")
        _, explanation = await completed(editor, workspace)
        assert (explanation["mode"], explanation["n_pseudo_tokens"], explanation["hits"]) == ("none", 0, [])


@pytest.mark.parametrize(("patience_s", "context"), [(0.0, "dense"), (1e9, "text")])
async def test_auto_tells_slots_of_what_was_missed_where_text_takes_too_long(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float, context: str
) -> None:
    monkeypatch.setattr(bundle, "PATIENCE_S", patience_s)
    settings = dataclasses.replace(Settings(), model=ModelSettings("smollm2-135m", offline=True))
    session = create_server(lambda _, say: load_models(settings.model, say), tmp_path / "cache").session
    session.roots, session.client_watches = [workspace], True
    session.open()
    try:
        await until(lambda: session.engine is not None and session.report().state == "ready")
        (folder,) = session.folders.values()
        file, text = workspace / "pkg" / "report.py", REPORT + "        ledger.post_"
        document = DocumentSnapshot.of(file.as_uri(), 1, "python", text)
        request = CompletionRequest(document, "pkg/report.py", str(workspace), len(text), invoked=True)
        engine, explained = session.engine, []
        for _ in range(2):
            ask = partial(engine.complete, request, NeverCancelled())
            assert await asyncio.wrap_future(session.lane.submit(LanePriority.KEYSTROKE, ask))
            explained.append(engine.last_explanation)
            await until(lambda: folder.wait_idle(0))
            engine.forget(document.uri)
        first, then = explained
        assert (first.mode, then.mode) == (context, context)
        assert "ledger.py" in {hit.path for hit in first.hits}
        if context == "dense":
            assert first.n_pseudo_tokens == first.n_context_tokens == 0
            assert "left out" in first.notes[0] and not then.notes
            assert then.n_pseudo_tokens > 0
            assert folder.status()["encoded"] == len({hit.path for hit in first.hits})
        else:
            assert first.n_context_tokens > 0 and folder.status()["encoded"] == 0
    finally:
        session.close()


def test_index_status_complete_and_explain_from_the_command_line(workspace: Path, tmp_path: Path) -> None:
    run, cache = CliRunner(), ["--cache-dir", str(tmp_path / "cache")]
    indexed = json.loads(run.invoke(app, ["index", str(workspace), *cache, "--json"]).stdout)
    assert (indexed["state"], indexed["files"], indexed["pending"]) == ("ready", 2, 0)
    status = json.loads(run.invoke(app, ["status", str(workspace), *cache, "--json"]).stdout)
    assert {name: status[name] for name in ("chunks", "nodes", "encoded", "fused", "generation")} == {
        name: indexed[name] for name in ("chunks", "nodes", "encoded", "fused", "generation")
    }
    place = [str(workspace / "ledger.py"), "--line", "2", "--character", "20", "-w", str(workspace), *cache]
    answer = json.loads(run.invoke(app, ["complete", *place, "--json"]).stdout)
    assert answer["explanation"]["path"] == "ledger.py"
    again = json.loads(run.invoke(app, ["explain", *place, "--json"]).stdout)
    assert again["explanation"]["timings"]["total_ms"] > 0
