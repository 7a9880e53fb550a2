"""The token that a client on a port must show: `{"token": "..."}` among its `initializationOptions`.

Owns where it comes from and how it is compared. Only the user can read it: from the environment variable
that they set, or from a file that is theirs alone. On stdio there is none, for nobody else holds the pipes.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from indexer.private_files import make_private_folder, open_private

VARIABLE = "HEF_TCP_TOKEN"
OPTION = "token"
SHORTEST_TOKEN = 16
REFUSAL = f"the server on this port wants initializationOptions.{OPTION}; see docs/lsp-support.md"


class TokenProblem(Exception):
    """No usable token; the message says what to do."""


@contextmanager
def token_for(port: int, folder: Path) -> Iterator[tuple[str, Path | None]]:
    """The user's token, or a new one in a file below `folder`, which goes at the end."""
    given = os.environ.get(VARIABLE, "")
    if given:
        if len(given) < SHORTEST_TOKEN:
            raise TokenProblem(f"{VARIABLE} is shorter than {SHORTEST_TOKEN} characters; choose a longer one")
        yield given, None
        return
    token, path = secrets.token_urlsafe(32), folder / f"tcp-{port}.token"
    try:
        make_private_folder(folder)
        with open_private(path) as file:
            file.write(token.encode())
    except OSError as error:
        raise TokenProblem(f"{path} cannot be written ({error}); set {VARIABLE} instead") from error
    try:
        yield token, path
    finally:
        path.unlink(missing_ok=True)


def take_token(options: object) -> tuple[object, object]:
    """The token among `initializationOptions`, or None, and the options without it."""
    if not isinstance(options, Mapping):
        return None, options
    return options.get(OPTION), {name: value for name, value in options.items() if name != OPTION}


def is_same_token(shown: object, wanted: str) -> bool:
    """Compared in the same time wherever the two differ."""
    return isinstance(shown, str) and hmac.compare_digest(shown.encode("utf-8", "replace"), wanted.encode())
