"""Pages are sent compressed to browsers that take it: a list of jobs says the same words often.

Only HTML that comes as a whole: a download is passed on as it is read, an API answer has an ETag of
its content. Who can have a page reflect a text beside a secret may find the secret out by the
length of the answer (BREACH): no page holds one, neither passwords nor tokens, and none may.
"""

from __future__ import annotations

import asyncio
import gzip
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LEVEL = 4
_SMALLEST = 1024
# Compressed on the event loop up to here (a millisecond), in a thread from here on.
_LARGE = 32 * 1024
_NEVER = re.compile(r"\s*q=0(\.0*)?\s*")


def accepts_gzip(headers: Headers) -> bool:
    """Whether whoever asks can read gzip (RFC 9110, 12.5.3)."""
    for part in headers.get("accept-encoding", "").split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return not _NEVER.fullmatch(weight)
    return False


class Compression:
    """ASGI middleware that compresses pages and their parts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a shorter answer where that can be."""
        if scope["type"] == "http":
            send = _Answer(send, accepts=accepts_gzip(Headers(scope=scope))).send
        await self._app(scope, receive, send)


class _Answer:
    def __init__(self, send: Send, *, accepts: bool) -> None:
        self._send = send
        self._accepts = accepts
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._start = message  # Its headers depend on the length of what follows.
            return
        if self._start is not None:
            start, self._start = self._start, None
            message = await self._shorter(start, message)
            await self._send(start)
        await self._send(message)

    async def _shorter(self, start: Message, message: Message) -> Message:
        headers = MutableHeaders(scope=start)
        headers.add_vary_header("Accept-Encoding")
        body: bytes = message.get("body", b"")
        if not self._accepts or message.get("more_body") or len(body) < _SMALLEST:
            return message
        if len(body) < _LARGE:
            body = _zipped(body)
        else:
            body = await asyncio.to_thread(_zipped, body)
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        return {**message, "body": body}


def _is_page(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    is_html = headers.get("content-type", "").startswith("text/html")
    return is_html and "content-encoding" not in headers


def _zipped(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
