"""Proves how long a body may be, however it comes, and how many requests are taken on at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from fastapi_app import limits, request_limits
from fastapi_app.request_limits import RequestLimits

BODY = b"x" * 100
MORE = {"type": "http.request", "body": BODY, "more_body": True}
LAST = {"type": "http.request", "body": BODY, "more_body": False}
GONE = {"type": "http.disconnect"}
CHUNKED = {"transfer-encoding": "chunked"}
HERE, KNOWN = "127.0.0.1", "192.0.2.7"


class Application:
    """What is behind the limits: reads the body, waits until it may go on, answers."""

    def __init__(self) -> None:
        self.bodies: list[list[Message]] = []
        self.begun = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.parts = 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        self.begun += 1
        if scope["method"] == "POST":
            self.bodies.append([await receive(), await receive()])
        if self.parts > 1:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await self.may_go_on.wait()
        if self.parts == 1:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part"})


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Application:
    """The application, and limits that a test can reach."""
    monkeypatch.setattr(limits, "MAX_BODY", 250)
    monkeypatch.setattr(limits, "MAX_BODIES", 600)
    monkeypatch.setattr(limits, "MAX_REQUESTS", 2)
    monkeypatch.setattr(limits, "MAX_HEALTH_REQUESTS", 1)
    monkeypatch.setattr(request_limits, "refusal_of", refusal)
    return Application()


def refusal(_: Request, status: int, detail: str) -> Response:
    """Answer without the pages of the whole application."""
    return JSONResponse({"status": status, "detail": detail}, status)


async def ask(
    guard: RequestLimits,
    *messages: Message,
    path: str = "/jobs",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    hold: asyncio.Event | None = None,
    who: object = "somebody",
    address: str = HERE,
) -> list[Message]:
    """Return what is sent to one whose body comes in these messages; a stranger where `who` is
    None."""
    sent: list[Message] = []
    coming = iter(messages)

    async def receive() -> Message:
        if hold is not None:
            await hold.wait()
        return next(coming, GONE)

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": raw}
    scope["state"] = {"identity": who, "address": address}
    known = SimpleNamespace(is_known=lambda address: address in (HERE, KNOWN))
    scope["app"] = SimpleNamespace(state=SimpleNamespace(access=known))
    await guard(scope, receive, send)
    return sent


def status_of(sent: Iterable[Message]) -> int:
    """Return the answer's status."""
    return int(next(iter(sent))["status"])


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("headers", "messages", "status"),
    [
        ({"content-length": "200"}, (MORE, LAST), 200),
        (CHUNKED, (MORE, LAST), 200),
        ({"content-length": "251"}, (), 413),
        ({"content-length": "9" * 4000}, (), 413),
        (CHUNKED, (MORE, MORE, MORE), 413),
        ({"content-length": "100"}, (MORE, MORE, LAST), 413),
        ({"content-length": "1", **CHUNKED}, (MORE, MORE, MORE), 413),
    ],
    ids=["short", "chunked", "said", "said at length", "not said", "false", "both"],
)
async def test_a_body_is_counted_while_it_comes(
    application: Application, headers: dict[str, str], messages: tuple[Message, ...], status: int
) -> None:
    guard = RequestLimits(application)
    assert status_of(await ask(guard, *messages, headers=headers)) == status
    assert application.begun == (status == 200)
    if status == 200:
        assert application.bodies == [
            [{"type": "http.request", "body": 2 * BODY, "more_body": False}, GONE]
        ]
    assert guard._bodies.held.total() == 0


async def test_uploads_are_not_taken(application: Application) -> None:
    headers = {"content-type": "Multipart/Form-Data; boundary=x", "content-length": "100"}
    assert status_of(await ask(RequestLimits(application), LAST, headers=headers)) == 415


async def test_who_goes_in_the_middle_of_a_body_is_told_nothing(application: Application) -> None:
    assert await ask(RequestLimits(application), MORE, GONE, headers=CHUNKED) == []
    assert application.begun == 0


async def test_all_bodies_together_have_a_bound(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = RequestLimits(application)
    application.may_go_on.clear()
    headers = {"content-length": "200"}
    monkeypatch.setattr(limits, "MAX_REQUESTS", 10)
    under_way = [asyncio.create_task(ask(guard, MORE, LAST, headers=headers)) for _ in range(3)]
    await until(lambda: application.begun == 3)
    refused = await ask(guard, MORE, LAST, headers=headers)
    assert status_of(refused) == 503
    application.may_go_on.set()
    assert [status_of(sent) for sent in await asyncio.gather(*under_way)] == [200] * 3
    assert status_of(await ask(guard, MORE, LAST, headers=headers)) == 200


async def test_strangers_have_a_small_bound_and_take_no_room_from_others(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BODY_OF_STRANGER", 150)
    monkeypatch.setattr(limits, "MAX_BODIES_OF_STRANGERS", 250)
    monkeypatch.setattr(limits, "MAX_REQUESTS", 10)
    guard = RequestLimits(application)
    assert status_of(await ask(guard, MORE, LAST, headers=CHUNKED, who=None)) == 413
    application.may_go_on.clear()
    under_way = [asyncio.create_task(ask(guard, LAST, headers=CHUNKED, who=None)) for _ in "12"]
    await until(lambda: application.begun == 2)
    assert status_of(await ask(guard, LAST, headers=CHUNKED, who=None)) == 503
    under_way += [asyncio.create_task(ask(guard, MORE, LAST, headers=CHUNKED)) for _ in "12"]
    await until(lambda: application.begun == 4)
    application.may_go_on.set()
    assert [status_of(sent) for sent in await asyncio.gather(*under_way)] == [200] * 4


async def test_no_strangers_keep_others_from_signing_in(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BODIES_OF_STRANGERS", 500)
    monkeypatch.setattr(limits, "MAX_BODIES_OF_UNKNOWN", 300)
    monkeypatch.setattr(limits, "MAX_BODIES_OF_ADDRESS", 200)
    monkeypatch.setattr(limits, "MAX_REQUESTS", 10)
    guard = RequestLimits(application)
    application.may_go_on.clear()
    under_way: list[asyncio.Task[list[Message]]] = []

    async def sent_from(address: str) -> bool:
        """Whether another body from there is taken; if so, it is held from now on."""
        begun = application.begun
        asked = asyncio.create_task(ask(guard, LAST, headers=CHUNKED, who=None, address=address))
        await until(lambda: asked.done() or application.begun > begun)
        if asked.done():
            assert status_of(await asked) == 503
            return False
        under_way.append(asked)
        return True

    # One has as many addresses of version 6 as a network has.
    one, same, other = "2001:db8::1", "2001:db8::2:1", "198.51.100.1"
    assert [await sent_from(who) for who in (one, same, one)] == [True, True, False]
    assert [await sent_from(other) for _ in "12"] == [True, False]
    assert [await sent_from(KNOWN), await sent_from(HERE), await sent_from(HERE)] == [
        True,
        True,
        False,
    ]
    application.may_go_on.set()
    assert {status_of(sent) for sent in await asyncio.gather(*under_way)} == {200}
    assert not guard._of_strangers.held
    assert status_of(await ask(guard, LAST, headers=CHUNKED, who=None, address=one)) == 200


async def test_one_request_too_many_is_told_to_come_again(application: Application) -> None:
    guard = RequestLimits(application)
    application.may_go_on.clear()
    under_way = [asyncio.create_task(ask(guard, method="GET")) for _ in range(2)]
    await until(lambda: application.begun == 2)
    start, body = await ask(guard, method="GET")
    assert (start["status"], json.loads(body["body"])["status"]) == (503, 503)
    assert dict(start["headers"])[b"retry-after"] == b"2"
    assert application.begun == 2

    watching = asyncio.create_task(ask(guard, method="GET", path="/health/live"))
    await until(lambda: application.begun == 3)
    assert status_of(await ask(guard, method="GET", path="/health")) == 503
    application.may_go_on.set()
    answers = await asyncio.gather(*under_way, watching)
    assert [status_of(sent) for sent in answers] == [200] * 3
    assert status_of(await ask(guard, method="GET")) == 200
    assert (guard._under_way, guard._watching) == (0, 0)


async def test_who_sends_or_reads_slowly_takes_no_place(application: Application) -> None:
    guard = RequestLimits(application)
    hold = asyncio.Event()
    senders = [asyncio.create_task(ask(guard, LAST, headers=CHUNKED, hold=hold)) for _ in range(5)]
    application.parts = 2
    application.may_go_on.clear()
    readers = [asyncio.create_task(ask(guard, method="GET")) for _ in range(5)]
    await until(lambda: application.begun == 5)
    application.may_go_on.set()
    assert status_of(await ask(guard, method="GET")) == 200
    hold.set()
    await asyncio.gather(*senders, *readers)
    assert guard._under_way == 0


async def test_a_request_that_fails_gives_up_its_place() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    guard = RequestLimits(fails)
    with pytest.raises(ZeroDivisionError):
        await ask(guard, LAST, headers=CHUNKED)
    assert guard._under_way == 0
    assert not guard._bodies.held
