"""uvicorn's HTTP protocol with patience that ends: for heads, bodies, answers and idle connections.

It overrides what the parser and the transport call by their own documents (httptools, asyncio), and
of uvicorn's attributes uses `transport`, `loop`, `flow`, `cycle`, `pipeline`, `connections` and
`server_state`. What is counted is raw bytes: the parser holds what is not whole yet.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import struct
import termios
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import Any

from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fastapi_app import limits
from fastapi_app.connections import Connections


class _Reading(Enum):
    """What comes next on a connection."""

    NOTHING = "the first byte of another request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"


class PatientProtocol(HttpToolsProtocol):
    """One connection, until it becomes a WebSocket. `protocol_of` makes its class for a server."""

    room: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reading = _Reading.NOTHING
        self._since = self._looked_at = 0.0
        self._received = 0
        """Bytes of the present head or body, as they came."""
        self._line_bytes = self._header_bytes = self._header_count = self._body_bytes = 0
        self._is_refused = False
        self._patience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._left: int | None = None
        """What had not been read of the answers when that was last looked at; None when that says
        nothing, because more was written since."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection on, where there is room for it."""
        has_room = self.room.make_room(len(self.connections))
        super().connection_made(transport)  # type: ignore[arg-type]
        if not has_room:
            self._is_refused = True
            self.transport.abort()
            return
        self._waits_for(_Reading.HEAD)
        self.room.idles(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._is_refused:
            return
        if self._reading is _Reading.NOTHING:
            self._waits_for(_Reading.HEAD)
        self._received += len(data)
        super().data_received(data)
        if self._is_over():
            return
        if self._reading is _Reading.HEAD and self._received > _longest_head():
            self._refuse(431 if self._line_bytes <= limits.MAX_REQUEST_LINE else 414)
        elif self._received > limits.MAX_DISCARDED:
            self.let_go()

    def pause_writing(self) -> None:
        """Watch what is not read."""
        super().pause_writing()
        self._left = None
        self._watch_the_reader()

    def resume_writing(self) -> None:
        """Take note that it was read."""
        super().resume_writing()
        self._left = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins, perhaps in the middle of what was received."""
        self._line_bytes = self._header_bytes = self._header_count = 0
        if self._reading is not _Reading.HEAD:
            self._waits_for(_Reading.HEAD)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._line_bytes += len(url)
        if self._line_bytes <= limits.MAX_REQUEST_LINE:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or what follows a body in chunks."""
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        # What follows a body in chunks is no header, whatever its name (RFC 9110, 6.5.1).
        if not self._is_too_much() and self._reading is not _Reading.BODY:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._is_refused:
            return
        if self._line_bytes > limits.MAX_REQUEST_LINE:
            self._refuse(414)
        elif self._is_too_much():
            self._refuse(431)
        elif self._is_too_far_ahead():
            self.let_go()
        else:
            self._waits_for(_Reading.BODY)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(body)
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._is_refused:
            return
        self.room.works(self)
        self._reading = _Reading.NOTHING
        self._received = 0
        self._wait_no_more()
        super().on_message_complete()

    # What uvicorn calls.

    def on_response_complete(self) -> None:
        """The answer is written, and perhaps not read."""
        super().on_response_complete()
        self._left = None
        if self.transport.get_write_buffer_size():
            self._watch_the_reader()
        if not self.pipeline and self._reading is not _Reading.BODY:
            self.room.idles(self)

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket, which has limits of its own."""
        if self._is_refused:
            return
        self._forget()
        super().handle_websocket_upgrade()

    # Patience.

    def let_go(self) -> None:
        """End at once."""
        self._is_refused = True
        self.transport.abort()

    def _is_over(self) -> bool:
        return self._is_refused or self.transport.is_closing()

    def _forget(self) -> None:
        self.room.works(self)
        self._wait_no_more()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _waits_for(self, reading: _Reading) -> None:
        self._wait_no_more()
        self._reading = reading
        self._received = self._body_bytes = 0
        self._since = self._looked_at = self.loop.time()
        is_head = reading is _Reading.HEAD
        self._patience = self.loop.call_later(
            limits.HEADER_SECONDS if is_head else limits.BODY_GRACE_SECONDS,
            self._head_is_late if is_head else self._look_at_the_sender,
        )

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _head_is_late(self) -> None:
        self._patience = None
        if self._received:
            self._refuse(408)
        else:
            self.transport.close()

    def _look_at_the_sender(self) -> None:
        self._patience = None
        now = self.loop.time()
        if self.flow.read_paused:
            self._since += now - self._looked_at  # It is we who do not read on.
        self._looked_at = now
        lasted = now - self._since
        owed = 0.0
        if lasted >= limits.BODY_GRACE_SECONDS:
            owed = lasted * limits.BODY_BYTES_PER_SECOND
        if lasted >= limits.BODY_SECONDS or self._body_bytes < owed:
            self._refuse(408)
            return
        pause = limits.BODY_GRACE_SECONDS / 8
        self._patience = self.loop.call_later(pause, self._look_at_the_sender)

    def _watch_the_reader(self) -> None:
        if self._unread is None:
            self._left = self._not_read()
            self._unread = self.loop.call_later(limits.UNREAD_SECONDS, self._look_at_the_reader)

    def _look_at_the_reader(self) -> None:
        self._unread = None
        if not self.transport.get_write_buffer_size():
            return
        before, self._left = self._left, self._not_read()
        if before is not None and self._left > before - min(limits.LEAST_READ, before):
            self.let_go()
            return
        if not self.flow.write_paused and not self.cycle.response_complete:
            self._left = None  # More of the answer may come at any time.
        self._unread = self.loop.call_later(limits.UNREAD_SECONDS, self._look_at_the_reader)

    def _not_read(self) -> int:
        """Return how many bytes the other side has not taken: ours, and the system's of ours."""
        size = self.transport.get_write_buffer_size()
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):  # tcp(7), SIOCOUTQ; elsewhere ours alone must do.
                held = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
                size += struct.unpack("i", held)[0]
        return size

    def _is_too_far_ahead(self) -> bool:
        if not self.pipeline:
            return False
        before = sum(_head_bytes(cycle.scope) for cycle, _ in self.pipeline)
        together = before + self._line_bytes + self._header_bytes
        return len(self.pipeline) >= limits.MAX_PIPELINED or together > limits.MAX_PIPELINED_BYTES

    # Refusals.

    def _is_too_much(self) -> bool:
        return (
            self._header_count > limits.MAX_HEADERS or self._header_bytes > limits.MAX_HEADER_BYTES
        )

    def _refuse(self, status: int) -> None:
        """Say why, unless that would be taken for another answer, and end."""
        cycle: RequestResponseCycle | None = self.cycle
        self._is_refused = True
        is_its_own = cycle is None or cycle.response_complete
        if self._reading is _Reading.BODY:
            is_its_own = not (cycle is None or cycle.response_started or self.pipeline)
        if not is_its_own:
            self.transport.abort()
            return
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # Whatever is still done for it, nobody hears of it.
        self.transport.write(_words_of(status))
        self.transport.close()
        self.loop.call_later(limits.LAST_WORD_SECONDS, self.transport.abort)


def protocol_of(connections: Connections) -> type[PatientProtocol]:
    """Return the protocol of one server, whose connections these are."""
    return type("ServerProtocol", (PatientProtocol,), {"room": connections})


def _head_bytes(scope: HTTPScope) -> int:
    """Return what a request that waits holds of its address and headers."""
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + headers


def _longest_head() -> int:
    # With what stands between: a colon, spaces and the end of each line.
    return limits.MAX_REQUEST_LINE + limits.MAX_HEADER_BYTES + 8 * limits.MAX_HEADERS


_DETAILS = {
    408: "The request did not come in time.",
    414: "The address is too long.",
    431: "The headers are too many or too long.",
}


def _words_of(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase
    body = json.dumps({"title": phrase, "status": status, "detail": _DETAILS[status]}).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\n"
        "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
