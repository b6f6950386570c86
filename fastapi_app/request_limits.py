"""How long a body may be, and how many requests may be under way.

Pure ASGI. A body is received here as a whole, before anything is done for the request: whoever
sends slowly holds a connection and no place among the requests, and no route meets half a body.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.access.attempts import network_of
from core.access.registry import Access
from fastapi_app import limits
from fastapi_app.errors import refusal_of, title_of
from fastapi_app.peers import is_of_this_machine

_UPLOAD = "multipart/"
_WATCHED = "/health"
_BUSY = "More is asked for at this moment than can be answered. Try again in a few seconds."
_ALL, _UNKNOWN = "all", "unknown"
"""Of whom bodies are counted together, beside those of one address."""
Refusal = tuple[int, str]


class RequestLimits:
    """ASGI middleware that refuses what is too long, and what is one too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies = _Bodies(limits.MAX_BODY)
        self._of_strangers = _Bodies(limits.MAX_BODY_OF_STRANGER)
        self._under_way = 0
        self._watching = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the body in, and pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = _refusal_of(headers)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
        elif _has_body(headers):
            async with self._body_of(scope) as body:
                refusal = await body.take(receive)
                if refusal is None:
                    await self._pass_on(scope, body.receive, send)
                elif refusal[0]:
                    await _refuse(refusal, scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    def _body_of(self, scope: Scope) -> _Body:
        state = scope["state"]
        if state["identity"] is not None:
            return _Body(self._bodies, ((_ALL, limits.MAX_BODIES),))
        address: str = state["address"]
        access: Access = scope["app"].state.access
        bounds = [(_ALL, limits.MAX_BODIES_OF_STRANGERS)]
        if not access.is_known(address):
            bounds.append((_UNKNOWN, limits.MAX_BODIES_OF_UNKNOWN))
        if not is_of_this_machine(address):
            bounds.append((network_of(address), limits.MAX_BODIES_OF_ADDRESS))
        return _Body(self._of_strangers, bounds)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_watching = _path_of(scope).startswith(_WATCHED)
        if self._is_full(is_watching=is_watching):
            await _say_busy(send)
            return
        place = _Place(self, is_watching=is_watching)
        try:
            await self._app(scope, receive, place.until_it_streams(send))
        finally:
            place.leave()

    def _is_full(self, *, is_watching: bool) -> bool:
        if is_watching:
            return self._watching >= limits.MAX_HEALTH_REQUESTS
        return self._under_way >= limits.MAX_REQUESTS

    def count(self, by: int, *, is_watching: bool) -> None:
        """Take note of a request that begins or ends."""
        if is_watching:
            self._watching += by
        else:
            self._under_way += by


class _Place:
    """A request's place among those under way.

    An answer that comes in parts, such as a log, goes at the pace of whoever reads it: from its
    first part on it holds a connection alone.
    """

    def __init__(self, counted_by: RequestLimits, *, is_watching: bool) -> None:
        self._counted_by = counted_by
        self._is_watching = is_watching
        self._is_held = True
        counted_by.count(1, is_watching=is_watching)

    def leave(self) -> None:
        """Give it up; may be called twice."""
        if self._is_held:
            self._is_held = False
            self._counted_by.count(-1, is_watching=self._is_watching)

    def until_it_streams(self, send: Send) -> Send:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.body" and message.get("more_body"):
                self.leave()
            await send(message)

        return send_on


class _Bodies:
    """What is held of bodies, of those who are signed in or of strangers: of all of them, and of
    some together."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.held: Counter[str] = Counter()


class _Body:
    """A body that is received up to the limit, and then told to the application as it came. What is
    held of it counts in each of `bounds`: among whom, and how much there may be of theirs."""

    def __init__(self, among: _Bodies, bounds: Sequence[tuple[str, int]]) -> None:
        self._among = among
        self._bounds = bounds
        self._parts = bytearray()
        self._held = 0
        self._is_told = False
        self._ask: Callable[[], Awaitable[Message]] | None = None

    async def __aenter__(self) -> _Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._forget()

    async def take(self, receive: Receive) -> Refusal | None:
        """Receive it; returns why not. A status of 0 is nobody there any more to be told."""
        self._ask = receive
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return 0, ""
            part: bytes = message.get("body", b"")
            if len(self._parts) + len(part) > self._among.longest:
                self._forget()
                return _too_long(self._among.longest)
            held = self._among.held
            if any(held[whose] + len(part) > most for whose, most in self._bounds):
                self._forget()
                return 503, _BUSY
            self._hold(len(part))
            self._parts += part
            if not message.get("more_body"):
                return None

    async def receive(self) -> Message:
        """Return it as one message, and after that what comes then."""
        if self._is_told:
            assert self._ask is not None
            return await self._ask()
        self._is_told = True
        body, self._parts = bytes(self._parts), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    def _hold(self, size: int) -> None:
        self._held += size
        for whose, _ in self._bounds:
            self._among.held[whose] += size
            if not self._among.held[whose]:
                del self._among.held[whose]

    def _forget(self) -> None:
        self._hold(-self._held)
        self._parts = bytearray()


def _too_long(longest: int) -> Refusal:
    return 413, f"A body may have {longest // limits.KILOBYTE:,} KB at most."


def _refusal_of(headers: Headers) -> Refusal | None:
    """Return what is wrong with a request by its headers alone."""
    if headers.get("content-type", "").strip().lower().startswith(_UPLOAD):
        return 415, "No files are taken, and no forms of that type: send the fields as they are."
    length = headers.get("content-length", "").strip()
    # The parser has seen to it that it is a number; what is received is counted all the same.
    if length.isascii() and length.isdigit() and int(length[:20]) > limits.MAX_BODY:
        return _too_long(limits.MAX_BODY)
    return None


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip() != "0"


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    status, detail = refusal
    if status == 503:
        await _say_busy(send)
        return
    answer = refusal_of(Request(scope, receive), status, detail)
    await answer(scope, receive, send)


async def _say_busy(send: Send) -> None:
    # The same few bytes for programs and people: a page would be what there is no time for.
    problem = {"title": title_of(503), "status": 503, "detail": _BUSY}
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(limits.RETRY_AFTER_SECONDS).encode()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
