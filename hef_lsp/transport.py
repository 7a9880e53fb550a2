"""Frames of the base protocol over a pair of file descriptors: who reads, who writes, nothing else.

Owns the reader thread and the claim on stdout: the protocol gets duplicates of the descriptors 0 and 1,
after which 1 is stderr and 0 is empty, so that no library's print and no child process can reach the
client's stream. The reader is a daemon of its own and not a worker of a shared pool: a busy pool would
keep a cancel unread, and a pool is joined at exit while its read still blocks.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 1 << 30
LARGEST_HEADER = 1 << 16
_READ_BYTES = 1 << 16
_CONTENT_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,12})[ \t]*$", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")


class BrokenFrame(Exception):
    """The stream cannot be cut into messages any more; the connection must end."""


class ByteStream(Protocol):
    """Both ends of a connection, as bytes."""

    def read(self) -> bytes:
        """Some bytes, waiting for them; empty at the end."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class DescriptorStream:
    """Plain reads and writes on file descriptors: a daemon thread blocked here holds no lock at exit."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink

    def read(self) -> bytes:
        return os.read(self._source, _READ_BYTES)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._sink, rest) :]

    def close(self) -> None:
        """The source stays open: its reader may be blocked in it, and the process is about to end."""
        os.close(self._sink)


class SocketStream:
    """One accepted connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self) -> bytes:
        return self._connection.recv(_READ_BYTES)

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)

    def close(self) -> None:
        self._connection.close()


def claim_stdio() -> DescriptorStream:
    """The process's stdin and stdout for the protocol alone; prints go to stderr from here on."""
    source, sink = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    if os.name == "nt":
        _binary_mode(source, sink)
    return DescriptorStream(source, sink)


def accept_one(port: int) -> SocketStream:
    """Waits on 127.0.0.1, never on another address, for the one client that is served."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SocketStream(connection)


class FrameBuffer:
    """Cuts what was read into message bodies."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._wanted: int | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now. Raises `BrokenFrame`."""
        self._bytes += data
        bodies: list[bytes] = []
        while True:
            if self._wanted is None:
                self._wanted = self._header()
            if self._wanted is None or len(self._bytes) < self._wanted:
                return bodies
            bodies.append(bytes(self._bytes[: self._wanted]))
            del self._bytes[: self._wanted]
            self._wanted = None

    def _header(self) -> int | None:
        end = _END_OF_HEADER.search(self._bytes)
        if end is None:
            if len(self._bytes) > LARGEST_HEADER:
                raise BrokenFrame("no message header in the first 64 KiB; is this an LSP client?")
            return None
        length = _CONTENT_LENGTH.search(self._bytes[: end.start()].replace(b"\r", b""))
        if length is None or int(length.group(1)) > LARGEST_MESSAGE:
            raise BrokenFrame("a message header has no usable Content-Length")
        del self._bytes[: end.end()]
        return int(length.group(1))


def start_reader(
    stream: ByteStream, on_body: Callable[[bytes], None], on_end: Callable[[], None]
) -> threading.Thread:
    """Reads in a thread of its own; `on_body` and `on_end` are called in that thread."""

    def read() -> None:
        frames = FrameBuffer()
        try:
            while data := stream.read():
                for body in frames.feed(data):
                    on_body(body)
        except (OSError, BrokenFrame) as error:
            log.error("the client's stream ended: %s", error)
        finally:
            on_end()

    thread = threading.Thread(target=read, name="hef-reader", daemon=True)
    thread.start()
    return thread


def _binary_mode(*descriptors: int) -> None:
    import msvcrt

    for descriptor in descriptors:
        msvcrt.setmode(descriptor, os.O_BINARY)  # type: ignore[attr-defined]
