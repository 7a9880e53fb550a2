"""The editor at the other end: what it can do, and everything that is said to or asked of it.

Owns no state of ours but what was said once. Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from hef_lsp.convert import ItemSupport
from hef_lsp.documents import PositionEncoding
from hef_lsp.protocol import HefProtocol

log = logging.getLogger(__name__)

STATUS = "hef/status"
ANSWER_S = 5.0
"""How long an editor may take to answer; some never answer what they announced."""


class NoAnswer(Exception):
    """The editor refused, or did not answer in time."""


class Client:
    """Capabilities are the protocol's least until `introduce`."""

    def __init__(self, protocol: HefProtocol) -> None:
        self._protocol = protocol
        self._said: set[str] = set()
        self._capabilities = lsp.ClientCapabilities()
        self.encoding = PositionEncoding.UTF16
        self.items = ItemSupport()

    def introduce(self, capabilities: lsp.ClientCapabilities, encoding: str) -> None:
        """Takes what `initialize` brought."""
        self._capabilities = capabilities
        self.encoding = PositionEncoding(encoding)
        self.items = ItemSupport.of(capabilities)

    @property
    def can_watch_files(self) -> bool:
        """Whether it watches files for us when asked to."""
        workspace = self._capabilities.workspace
        watched = workspace.did_change_watched_files if workspace else None
        return bool(watched and watched.dynamic_registration)

    @property
    def can_configure(self) -> bool:
        """Whether it answers `workspace/configuration`."""
        workspace = self._capabilities.workspace
        return bool(workspace and workspace.configuration)

    @property
    def wants_configuration_registered(self) -> bool:
        """Whether it tells of changed settings only to those who registered."""
        workspace = self._capabilities.workspace
        configuration = workspace.did_change_configuration if workspace else None
        return bool(configuration and configuration.dynamic_registration)

    @property
    def can_show_progress(self) -> bool:
        window = self._capabilities.window
        return bool(window and window.work_done_progress)

    def notify(self, method: str, params: Any) -> None:
        self._protocol.notify(method, params)

    async def ask(self, method: str, params: Any) -> Any:
        """The editor's answer. Raises `NoAnswer`."""
        try:
            return await asyncio.wait_for(self._protocol.send_request_async(method, params), ANSWER_S)
        except TimeoutError:
            raise NoAnswer(f"the editor did not answer {method} within {ANSWER_S:.0f} s") from None
        except JsonRpcException as error:
            raise NoAnswer(f"the editor refused {method}: {error.message}") from error
        except (TypeError, ValueError) as error:
            raise NoAnswer(f"the editor's answer to {method} cannot be read") from error
        except asyncio.CancelledError:
            if self._protocol.exit_code is None and not self._protocol.is_shut_down:
                raise
            raise NoAnswer(f"the server ends before the editor answered {method}") from None

    def say_once(self, text: str, kind: lsp.MessageType = lsp.MessageType.Warning) -> None:
        """Shows `text` to the user, the first time only."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)
            message = lsp.ShowMessageParams(type=kind, message=f"hef-lsp: {text}")
            self.notify(lsp.WINDOW_SHOW_MESSAGE, message)
