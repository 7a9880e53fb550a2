"""Folders, files, settings, progress and commands over the wire."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from conftest import Start
from wire import Wire

WATCHES = {"didChangeWatchedFiles": {"dynamicRegistration": True}}
UNFIT = {"command": "hef.hierarchy", "arguments": ["file:a.py"]}
CREATED, CHANGED, DELETED = 1, 2, 3


def messages(wire: Wire) -> list[str]:
    return [params["message"] for method, params in wire.heard if method == "window/showMessage"]


def registered(wire: Wire) -> list[str]:
    return [
        entry["method"]
        for method, params in wire.asked
        if method == "client/registerCapability"
        for entry in params["registrations"]
    ]


def n_files(wire: Wire, expected: int) -> dict[str, Any]:
    return wire.settle(lambda status: status["index"]["files"] == expected)


def test_several_folders_come_and_go(start: Start, tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "two ä#", "three")]
    for number, root in enumerate(roots):
        root.mkdir()
        (root / "same.py").write_text(f"value_{number} = {number}\n", encoding="utf-8")
    (roots[0] / "inner").mkdir()
    wire = start()
    wire.initialize(roots[:2])
    status = n_files(wire, 2)
    assert [folder["root"] for folder in status["folders"]] == [str(root) for root in roots[:2]]
    added, removed = ({"uri": root.as_uri(), "name": root.name} for root in (roots[2], roots[0]))
    event = {"added": [added], "removed": [removed]}
    wire.notify("workspace/didChangeWorkspaceFolders", {"event": event})
    status = n_files(wire, 2)
    assert [folder["root"] for folder in status["folders"]] == [str(root) for root in roots[1:]]
    uri = wire.open((roots[1] / "new.py").as_uri(), "x = ")
    assert wire.inline(uri, 0, 4)
    assert wire.command("hef.explain", uri)["path"] == "new.py"
    n_files(wire, 3)  # an unsaved buffer is part of the index


def test_an_unsaved_buffer_hides_the_file_until_it_is_closed(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root], {"context": {"mode": "text"}, "index": {"quietMs": 20}})
    n_files(wire, 1)
    other = wire.open((root / "unsaved.py").as_uri(), "def frobnicate_widget(left):\n    return left * 3\n")
    n_files(wire, 2)
    uri = wire.open((root / "asking.py").as_uri(), "# frobnicate_widget\nx = ")
    assert wire.inline(uri, 1, 4)
    assert "unsaved.py" in [hit["path"] for hit in wire.command("hef.explain", uri)["hits"]]
    wire.notify("textDocument/didClose", {"textDocument": {"uri": other}})
    n_files(wire, 2)  # asking.py is open, unsaved.py never was on disk


def test_the_client_watches_if_it_can(start: Start, root: Path) -> None:
    wire = start()
    wire.reply["client/registerCapability"] = lambda params: None
    wire.initialize([root], {"index": {"quietMs": 20}}, {"workspace": WATCHES})
    n_files(wire, 1)
    assert registered(wire) == ["workspace/didChangeWatchedFiles"]
    path = root / "later.py"
    path.write_text("later = 1\n", encoding="utf-8")
    time.sleep(0.5)
    assert wire.command("hef.status")["index"]["files"] == 1, "we watch beside the client"
    event = {"uri": path.as_uri(), "type": CREATED}
    wire.notify("workspace/didChangeWatchedFiles", {"changes": [event]})
    n_files(wire, 2)
    path.unlink()
    outside = {"uri": "file:///elsewhere/a.py", "type": CHANGED}
    wire.notify("workspace/didChangeWatchedFiles", {"changes": [outside, {**event, "type": DELETED}]})
    n_files(wire, 1)


def test_we_watch_if_the_client_cannot(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root], {"index": {"quietMs": 20}})
    n_files(wire, 1)
    assert registered(wire) == []
    (root / "later.py").write_text("later = 1\n", encoding="utf-8")
    n_files(wire, 2)


def test_settings_are_pulled_and_a_bad_one_is_said_once(start: Start, root: Path) -> None:
    answer: dict[str, Any] = {
        "completion": {"enabled": False},
        "modle": {"name": "x"},
        "trace": {"server": "off"},
    }
    wire = start()
    wire.reply["workspace/configuration"] = lambda params: [answer for _ in params["items"]]
    wire.reply["client/registerCapability"] = lambda params: None
    can = {"workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}}
    wire.initialize([root], {"context": {"mode": "none"}}, can)
    assert wire.wait_for("workspace/configuration")["items"] == [{"section": "hef"}]
    assert wire.settle()["context"] == "none"  # what the client does not say stays
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    assert wire.inline(uri, 0, 4) == []
    answer["completion"] = {"enabled": True}
    wire.notify("workspace/didChangeConfiguration", {"settings": None})
    wire.wait_for("window/showMessage")
    deadline = time.monotonic() + 5
    while not wire.inline(uri, 0, 4):
        assert time.monotonic() < deadline, "the settings were not pulled again"
    assert "workspace/didChangeConfiguration" in registered(wire)
    assert len(messages(wire)) == 1 and "hef.modle: no such setting" in messages(wire)[0]


def test_pushed_settings_open_the_index_anew(start: Start, root: Path) -> None:
    (root / "vendored.py").write_text("vendored = 1\n", encoding="utf-8")
    wire = start()
    wire.initialize([root], {"hef": {"context": {"mode": "everything"}}})
    n_files(wire, 2)
    assert "hef.context.mode" in messages(wire)[0]
    settings = {"hef": {"index": {"exclude": ["vendored.py"]}}}
    wire.notify("workspace/didChangeConfiguration", {"settings": settings})
    (folder,) = n_files(wire, 1)["folders"]
    assert folder["read_only"] is False, "the folder was opened while its last index was still held"


def test_progress_is_shown_and_its_cancel_pauses(start: Start, root: Path) -> None:
    wire = start("--load-delay", "0.4")
    wire.reply["window/workDoneProgress/create"] = lambda params: None
    wire.initialize([root], None, {"window": {"workDoneProgress": True}})
    begun = wire.wait_for("$/progress", lambda params: params["value"]["kind"] == "begin")
    assert begun["value"]["cancellable"] is True
    assert wire.wait_for("hef/status", lambda report: report["state"] == "loading the models")
    wire.notify("window/workDoneProgress/cancel", {"token": "another"})
    wire.notify("window/workDoneProgress/cancel", {"token": begun["token"]})
    assert wire.settle()["state"] == "paused"
    wire.wait_for("$/progress", lambda params: params["value"]["kind"] == "end")
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    assert wire.inline(uri, 0, 4), "a paused index stops no completion"
    assert wire.command("hef.pause", False) is False
    n_files(wire, 2)
    assert wire.wait_for("hef/status", lambda report: report["state"] == "ready")
    created = [params["token"] for name, params in wire.asked if name == "window/workDoneProgress/create"]
    assert len(set(created)) == len(created)


def test_no_progress_for_a_client_that_shows_none(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root])
    wire.settle()
    assert wire.asked == []
    assert "$/progress" not in [method for method, _ in wire.heard]


def test_commands_answer_plain_values(start: Start, root: Path) -> None:
    wire = start()
    wire.initialize([root])
    status = n_files(wire, 1)
    assert status["model"] == "fake-generator"
    assert status["index"]["bytes"] > 0 and status["index"]["pending"] == 0
    assert set(status["index"]) >= {"chunks", "nodes", "embedded", "encoded", "fused", "generation"}
    assert wire.command("hef.explain") is None
    uri = wire.open((root / "a.py").as_uri(), "x = ")
    wire.inline(uri, 0, 4)
    assert wire.command("hef.explain", uri)["suggestions"] == ["return total"]
    assert wire.command("hef.explain") == wire.command("hef.explain", uri)
    (folder,) = wire.command("hef.hierarchy", ["file:adding.py"])
    assert folder["root"] == str(root) and folder["tree"]["name"] == root.name
    shown = {child["name"]: child for child in folder["tree"]["children"]}
    assert [chunk["start_line"] for chunk in shown["adding.py"]["children"]] == [0]
    assert wire.error_code(wire.begin("workspace/executeCommand", UNFIT)) == -32602
    assert wire.command("hef.setContext", "none") == "none"
    assert wire.command("hef.status")["context"] == "none"
    assert wire.command("hef.pause") is True
    assert wire.command("hef.pause", False) is False
    assert wire.command("hef.reindex") is None
    n_files(wire, 2)


def test_a_folder_that_is_not_there_is_said_and_stops_nothing(start: Start, tmp_path: Path) -> None:
    wire = start()
    wire.initialize([tmp_path / "gone"])
    status = wire.settle()
    assert status["state"] == "error" and "does not exist" in status["message"]
    uri = wire.open("untitled:Untitled-1", "x = ")
    assert wire.inline(uri, 0, 4)
    assert wire.command("hef.explain", uri)["path"] == "Untitled-1"
