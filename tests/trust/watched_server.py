"""A server that is watched: sockets are forbidden and noted, and all that a stub's models hear is kept.

Run: python -I watched_server.py NOTES stub SAY CACHE | python -I watched_server.py NOTES real ARGUMENT...

NOTES gets a line for each try to reach the network. SAY is a JSON list of texts: the stub's generator says
them in turn, whatever it is asked, until `watched.say` gives it others. The command `watched.heard` (of the
stub) gives every text that went into tokenizer, embedder and fuser.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import logging
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
             "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")  # fmt: skip


def forbid_network(notes: Path) -> None:
    """Python's own audit events: no library in this process can use the socket module unseen."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.__new__":
            if arguments[1] not in (socket.AF_INET, socket.AF_INET6):
                return
        elif event == "subprocess.Popen":
            with notes.open("a", encoding="utf-8") as file:
                file.write(f"started {arguments[1]!r}\n")
            return
        elif event not in FORBIDDEN or (
            arguments and getattr(arguments[0], "family", None) == socket.AF_UNIX
        ):
            return
        with notes.open("a", encoding="utf-8") as file:
            file.write(f"{event} {arguments!r}\n")
        raise PermissionError(f"{event} is forbidden here")

    sys.addaudithook(hook)


def serve_stub(say: Path, cache: Path) -> int:
    from hef_lsp.server import create_server, run_server

    logging.basicConfig(level=logging.DEBUG)
    fakes = _fakes()
    heard: list[str] = []
    texts = [itertools.cycle(json.loads(say.read_text(encoding="utf-8")))]

    class Tokenizer(fakes.FakeTokenizer):  # type: ignore[name-defined, misc]
        listens = True

        def encode(self, text: str) -> list[int]:
            if self.listens:
                heard.append(text)
            return list(super().encode(text))

    class Generator(fakes.FakeGenerator):  # type: ignore[name-defined, misc]
        def generate(self, *arguments: Any, **named: Any) -> Any:
            self.tokenizer.listens = False
            try:
                return super().generate(*arguments, **named)
            finally:
                self.tokenizer.listens = True

    class Embedder(fakes.FakeEmbedder):  # type: ignore[name-defined, misc]
        def embed(self, embedded: Any) -> Any:
            heard.extend(embedded)
            return super().embed(embedded)

    generator = Generator(
        lambda prompt, branch: next(texts[0]), fim=fakes.FAKE_FIM, tokenizer=Tokenizer(), context_window=8192
    )
    server = create_server(
        lambda settings, progress: fakes.fake_bundle(generator=generator, embedder=Embedder()), cache
    )
    server.command("watched.say")(lambda said: texts.__setitem__(0, itertools.cycle(said[0])))
    server.command("watched.heard")(lambda _: heard)
    server.command("watched.prompts")(lambda _: [call.prompt_text for call in generator.calls])
    return run_server(server, tcp_port=None)


def _fakes() -> ModuleType:
    """By its file: with `tests` on the import path its folder `hef_lsp` would hide the package."""
    spec = importlib.util.spec_from_file_location("fakes", ROOT / "tests" / "fakes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fakes"] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    notes, kind, *rest = sys.argv[1:]
    sys.path.insert(0, str(ROOT))
    forbid_network(Path(notes))
    if kind == "stub":
        return serve_stub(Path(rest[0]), Path(rest[1]))
    from hef_lsp.cli import app

    app(rest, standalone_mode=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
