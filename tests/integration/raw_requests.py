"""Requests whose line goes over a raw socket as it is: no client library tidies its path."""

from __future__ import annotations

import http.client
import re
import socket
from typing import NamedTuple

_BREAKS_THE_LINE = re.compile(rb"[\x00-\x20\x7f]")
_PATIENCE_SECONDS = 30.0


class Answer(NamedTuple):
    """What came back; a status of 0 is a connection that was closed without a word."""

    status: int
    content: bytes
    location: str


class Wire:
    """One connection after the other to a server, kept for as long as that keeps it."""

    def __init__(self, port: int, *headers: str) -> None:
        self._port = port
        self._head = "\r\n".join([f"Host: 127.0.0.1:{port}", *headers]).encode()
        self._socket: socket.socket | None = None

    def ask(self, method: str, target: bytes, body: bytes = b"", kind: str = "") -> Answer:
        """Send one request, and return the whole answer."""
        lines = [b"%s %s HTTP/1.1" % (method.encode(), target), self._head]
        if method not in {"GET", "HEAD"}:
            lines += [b"Content-Length: %d" % len(body), b"Content-Type: " + kind.encode()]
        once = _BREAKS_THE_LINE.search(target) is not None
        if once:
            # Whatever it is taken for, nothing of it is left for the next one.
            self.close()
            lines.append(b"Connection: close")
        is_new = self._socket is None
        try:
            return self._answer(method, b"\r\n".join([*lines, b"", body]), once=once)
        except (ConnectionError, http.client.HTTPException):
            self.close()
            # One that was kept may have been closed meanwhile.
            return Answer(0, b"", "") if is_new else self.ask(method, target, body, kind)

    def _answer(self, method: str, request: bytes, *, once: bool) -> Answer:
        if self._socket is None:
            address = ("127.0.0.1", self._port)
            self._socket = socket.create_connection(address, timeout=_PATIENCE_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        with http.client.HTTPResponse(self._socket, method=method) as response:
            response.begin()
            content = response.read()
            ends = once or response.will_close
            answer = Answer(response.status, content, response.headers.get("location", ""))
        if ends:
            self.close()
        return answer

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
