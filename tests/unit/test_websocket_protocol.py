"""Proves that a browser can let nothing gather in the server by its WebSocket."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest_asyncio
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from fastapi_app import limits
from fastapi_app.websocket.protocol import PatientWebSocket

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, CONTINUED, PING = 1, 0, 9


class Wire(asyncio.Transport):
    """A connection without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.end = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it."""
        self.written += data

    def is_closing(self) -> bool:
        """Whether it was ended."""
        return bool(self.end)

    def close(self) -> None:
        """End it as soon as everything was read."""
        self.end = self.end or "closed"

    def abort(self) -> None:
        """End it at once."""
        self.end = "aborted"

    def pause_reading(self) -> None:
        """Be told to wait."""

    def resume_reading(self) -> None:
        """Be told to go on."""


def frame(opcode: int, content: bytes = b"", *, is_last: bool = True) -> bytes:
    """Return a browser's frame."""
    mask = os.urandom(4)
    head = bytes([(0x80 if is_last else 0) | opcode])
    if len(content) < 126:
        head += bytes([0x80 | len(content)])
    elif len(content) < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", len(content))
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", len(content))
    return head + mask + bytes(one ^ mask[at % 4] for at, one in enumerate(content))


class Served:
    """An application with a WebSocket that keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        config = Config(
            self._app, lifespan="off", interface="asgi3", ws_max_size=limits.MAX_MESSAGE
        )
        self.wire = Wire()
        self.protocol = PatientWebSocket(config, ServerState(), {})
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(HANDSHAKE)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] == "websocket.receive":
                self.received.append(message["text"])


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest_asyncio.fixture
async def served() -> Served:
    """One, behind a handshake."""
    served = Served()
    await until(lambda: b"101" in served.wire.written)
    return served


async def test_a_message_has_a_length(served: Served) -> None:
    served.protocol.data_received(frame(TEXT, b"a" * limits.MAX_MESSAGE))
    await until(lambda: served.received)
    served.protocol.data_received(frame(TEXT, b"a" * (limits.MAX_MESSAGE + 1)))
    await until(lambda: served.wire.end)
    assert len(served.received) == 1
    assert struct.pack(">H", 1009) in served.wire.written


async def test_a_message_comes_in_few_parts(served: Served) -> None:
    parts = [frame(TEXT, b"a", is_last=False)]
    parts += [frame(CONTINUED, is_last=False)] * (limits.MAX_FRAGMENTS - 2)
    for part in [*parts, frame(CONTINUED, b"b")]:
        served.protocol.data_received(part)
    await until(lambda: served.received == ["ab"])
    for part in [*parts, *parts[1:]]:
        served.protocol.data_received(part)
    assert served.wire.end == "aborted"


async def test_who_does_not_read_gets_no_answers_to_pings(served: Served) -> None:
    before = len(served.wire.written)
    served.protocol.data_received(frame(PING, b"x" * 100))
    assert len(served.wire.written) > before
    served.protocol.pause_writing()
    before = len(served.wire.written)
    served.protocol.data_received(frame(PING, b"x" * 100))
    assert (len(served.wire.written), served.wire.end) == (before, "aborted")
