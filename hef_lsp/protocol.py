"""JSON-RPC and the life of a connection: pygls' protocol with its faults put right.

Owns which message is served, and that every request gets exactly one answer. Knows no feature.
What differs from pygls 2.1:

- requests with invalid params are answered (-32602), as are those before `initialize` (-32002), after
  `shutdown` (-32600), unreadable (-32700) and of unknown methods (-32601);
- a handler's synchronous part runs as soon as its message is read, so that what it takes of a document
  is of the version asked for, whatever is read next;
- `exit` sets an exit code, 1 without `shutdown`, and ends the loop instead of raising in it;
- pygls keeps no copy of the documents, and no message's body is logged at any level.

Everything here is called by the event loop alone.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from lsprotocol import types as lsp
from pygls.capabilities import ServerCapabilitiesBuilder
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
    JsonRpcRequestCancelled,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol

from hef_lsp.tcp_token import REFUSAL, is_same_token, take_token
from hef_lsp.transport import ByteStream

log = logging.getLogger(__name__)

Message = dict[str, Any]
MessageId = int | str
Handler = Callable[[Any], Any]


class HefProtocol(LanguageServerProtocol):
    """The connection's states go one way: waiting for `initialize`, serving, shut down, ended."""

    exit_code: int | None = None
    stream: ByteStream | None = None
    token: str | None = None
    _initialized = False

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        self._running: dict[MessageId, asyncio.Task[Any]] = {}
        self.own_params: dict[str, type] = {}  # of methods that the protocol does not have
        self.on_ended: Callable[[], None] = lambda: None
        self.on_parent: Callable[[int | None], object] = lambda process_id: None

    def _register_builtin_features(self) -> None:
        """Only what concerns the connection; documents and folders are the session's."""
        self.fm.add_builtin_feature(lsp.INITIALIZE, self._initialize)
        self.fm.add_builtin_feature(lsp.SHUTDOWN, self._shut_down)
        self.fm.add_builtin_feature(lsp.EXIT, self._exit)
        self.fm.add_builtin_feature(lsp.SET_TRACE, lambda params: None)
        self.fm.add_builtin_feature(lsp.WORKSPACE_EXECUTE_COMMAND, self._execute_command)

    @property
    def is_shut_down(self) -> bool:
        """Whether `shutdown` was asked for."""
        return self._shutdown

    # Reading.

    def receive(self, body: bytes) -> None:
        """Serves one message. Never raises."""
        if self.exit_code is not None:
            return
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            log.warning("a message of %d bytes is not JSON", len(body))
            self._answer_error(None, JsonRpcParseError("the message is not JSON"))
            return
        if not isinstance(message, dict) or not isinstance(message.get("method", ""), str):
            self._answer_error(None, JsonRpcInvalidRequest("the message is no JSON-RPC object"))
        elif "method" not in message:
            self._receive_response(message)
        elif "id" in message:
            self._receive_request(message)
        else:
            self._receive_notification(message)

    def end(self, exit_code: int) -> None:
        """Serves nothing any more; the first exit code stands."""
        if self.exit_code is None:
            self.exit_code = exit_code
            self.on_ended()

    def connection_lost(self) -> None:
        """The client is gone; that is in order only after `shutdown`."""
        self.end(0 if self._shutdown else 1)

    def _receive_request(self, message: Message) -> None:
        msg_id, method = message["id"], message["method"]
        if not isinstance(msg_id, int | str) or isinstance(msg_id, bool):
            self._answer_error(None, JsonRpcInvalidRequest("a request's id must be a number or a string"))
            return
        log.debug("request %r: %s", msg_id, method)
        try:
            self._check_state(method)
            handler = self._get_handler(method)
            result = handler(self._params(message))
        except Exception as error:  # noqa: BLE001 - the handlers' edge
            self._answer_error(msg_id, self._named(error, method))
            return
        if not inspect.iscoroutine(result):
            self._answer(msg_id, method, result)
            return
        task = asyncio.ensure_future(result)
        self._running[msg_id] = task
        task.add_done_callback(partial(self._answer_from, msg_id, method))

    def _check_state(self, method: str) -> None:
        if self._shutdown:
            raise JsonRpcInvalidRequest("the server was shut down; only `exit` may follow")
        if not self._initialized and method != lsp.INITIALIZE:
            raise JsonRpcServerNotInitialized(f"{method} before `initialize`")
        if self._initialized and method == lsp.INITIALIZE:
            raise JsonRpcInvalidRequest("`initialize` may be sent only once")

    def _receive_notification(self, message: Message) -> None:
        method = message["method"]
        log.debug("notification: %s", method)
        if method != lsp.EXIT and (self._shutdown or not self._initialized):
            return
        try:
            handler: Handler | None = self.fm.builtin_features.get(method) or self.fm.features.get(method)
            if method == lsp.CANCEL_REQUEST:
                self._cancel(self._params(message).id)
            elif handler is not None:
                handler(self._params(message))
        except Exception as error:  # noqa: BLE001 - the handlers' edge
            self._named(error, method)

    def _cancel(self, msg_id: MessageId) -> None:
        """A request that was answered already is no news: the two messages crossed."""
        task = self._running.get(msg_id)
        if task is not None:
            task.cancel()

    def _receive_response(self, message: Message) -> None:
        msg_id = message.get("id")
        future = self._request_futures.pop(msg_id, None)  # type: ignore[arg-type]
        result_type = self._result_types.pop(msg_id, None)  # type: ignore[arg-type]
        if future is None or future.done():
            return
        error = message.get("error")
        if isinstance(error, dict):
            code = error.get("code")
            text = str(error.get("message", ""))
            future.set_exception(JsonRpcException(text, code if isinstance(code, int) else -32001))
            return
        try:
            typed = self._converter.structure(message, result_type) if result_type else None
            future.set_result(typed.result if typed is not None else message.get("result"))
        except Exception as broken:  # noqa: BLE001 - whoever asked must hear it
            future.set_exception(broken)

    def _params(self, message: Message) -> Any:
        """The params as lsprotocol types them. Raises `JsonRpcInvalidParams`."""
        method, params = message["method"], message.get("params")
        message_type = self.get_message_type(method)
        try:
            if method in self.own_params:
                return self._converter.structure(params, self.own_params[method])
            if message_type is None:
                return params
            return getattr(
                self._converter.structure({"jsonrpc": "2.0", **message}, message_type), "params", None
            )
        except Exception as error:
            raise JsonRpcInvalidParams(f"invalid params for {method}") from error

    # Answering.

    def _answer_from(self, msg_id: MessageId, method: str, task: asyncio.Task[Any]) -> None:
        if self._running.get(msg_id) is task:
            del self._running[msg_id]
        if task.cancelled():
            self._answer_error(msg_id, JsonRpcRequestCancelled("the request was cancelled"))
        elif (error := task.exception()) is not None:
            self._answer_error(msg_id, self._named(error, method))
        else:
            self._answer(msg_id, method, task.result())

    def _answer(self, msg_id: MessageId, method: str, result: Any) -> None:
        try:
            self._send_response(msg_id, result)
        except (TypeError, ValueError, AttributeError) as error:
            self._answer_error(msg_id, self._named(error, method))

    def _answer_error(self, msg_id: MessageId | None, error: JsonRpcException) -> None:
        # lsprotocol omits a null id, but the answer to an unreadable message must have one.
        body = {"code": error.code, "message": error.message}
        self._send_data({"jsonrpc": self.VERSION, "id": msg_id, "error": body})

    def _named(self, error: BaseException, method: str) -> JsonRpcException:
        """What the client is told. Only a fault of our own is logged as one."""
        if isinstance(error, JsonRpcException):
            log.info("%s: %s", method, error.message)
            return error
        log.error("%s failed", method, exc_info=error)
        return JsonRpcInternalError(f"{method} failed: {type(error).__name__}; see the server's log")

    def _send_data(self, data: Any) -> None:
        """Writes one message; a client that is gone ends the connection. Raises what cannot be JSON."""
        body = json.dumps(data, default=self._serialize_message, separators=(",", ":")).encode(self.CHARSET)
        if self.stream is None or self.exit_code is not None:
            return
        try:
            self.stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except OSError as error:
            log.error("the client cannot be reached: %s", error)
            self.connection_lost()

    # The life of the connection.

    def _initialize(self, params: lsp.InitializeParams) -> lsp.InitializeResult:
        if self.token is not None:
            self._check_token(params)
        self.client_capabilities = params.capabilities
        encoding = ServerCapabilitiesBuilder.choose_position_encoding(params.capabilities)
        self.fm.features[lsp.INITIALIZE](params, str(getattr(encoding, "value", encoding)))
        self.server_capabilities = ServerCapabilitiesBuilder(
            params.capabilities,
            {*self.fm.features, *self.fm.builtin_features},
            self.fm.feature_options,
            list(self.fm.commands),
            lsp.TextDocumentSyncKind.Incremental,
            None,
            encoding,
        ).build()  # type: ignore[no-untyped-call]
        self._initialized = True
        self.on_parent(params.process_id)
        return lsp.InitializeResult(self.server_capabilities, self.server_info)

    def _check_token(self, params: lsp.InitializeParams) -> None:
        """The connection ends after the refusal, so that nobody can try one token after another."""
        assert self.token is not None, "only where one is asked for"
        shown, params.initialization_options = take_token(params.initialization_options)
        if not is_same_token(shown, self.token):
            asyncio.get_running_loop().call_soon(self.end, 1)
            raise JsonRpcInvalidRequest(REFUSAL)

    def _shut_down(self, params: None) -> None:
        self._shutdown = True
        for task in self._running.values():
            task.cancel()
        for asked in list(self._request_futures.values()):
            asked.cancel()
        self.fm.features[lsp.SHUTDOWN](params)

    def _exit(self, params: None) -> None:
        self.end(0 if self._shutdown else 1)

    def _execute_command(self, params: lsp.ExecuteCommandParams) -> Any:
        handler = self.fm.commands.get(params.command)
        if handler is None:
            known = ", ".join(sorted(self.fm.commands))
            raise JsonRpcInvalidParams(f"no such command: {params.command}; known: {known}")
        return handler(list(params.arguments or ()))
