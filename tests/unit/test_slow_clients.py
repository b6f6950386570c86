"""Proves what the protocol does with heads, bodies, readers and connections that have no end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from fastapi_app import limits
from fastapi_app.connections import Connections
from fastapi_app.slow_clients import PatientProtocol, protocol_of

GET = b"GET /x HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
SHORT = 0.05
"""A patience that a test can wait for."""


class Wire(asyncio.Transport):
    """A connection without a network: what was written, and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: PatientProtocol | None = None
        self.written = bytearray()
        self.unread = 0
        self.reads = 0
        """So much is read between two looks at it."""
        self.looks = 0
        self.end = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it, unless there is nobody any more."""
        if not self.end:
            self.written += data

    def is_closing(self) -> bool:
        """Whether it was ended."""
        return bool(self.end)

    def close(self) -> None:
        """End it as soon as everything was read."""
        self._ends("closed")

    def abort(self) -> None:
        """End it at once."""
        self._ends("aborted")

    def get_write_buffer_size(self) -> int:
        """Return what was not read."""
        self.looks += 1
        self.unread -= self.reads
        return self.unread

    def pause_reading(self) -> None:
        """Be told to wait."""

    def resume_reading(self) -> None:
        """Be told to go on."""

    def status(self) -> int:
        """Return the status of the last answer."""
        return int(self.written.rpartition(b"HTTP/1.1 ")[2][:3])

    def _ends(self, how: str) -> None:
        assert self.protocol is not None
        if not self.end:
            self.end = how
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Stage:
    """A server whose application answers what it is told to, once it may."""

    def __init__(self) -> None:
        self.may_read, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_read.set()
        self.may_answer.set()
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.gone = 0
        self.room = Connections(most=3)
        self.state = ServerState()
        self.config = Config(
            self._app, http=protocol_of(self.room), lifespan="off", interface="asgi3"
        )
        self.config.load()

    def connect(self) -> Wire:
        """Open a connection."""
        wire = Wire()
        protocol = protocol_of(self.room)(self.config, self.state, {})
        wire.protocol = protocol
        protocol.connection_made(wire)
        return wire

    def send(self, wire: Wire, data: bytes) -> None:
        """Have bytes arrive."""
        assert wire.protocol is not None
        wire.protocol.data_received(data)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        self.headers = list(scope["headers"])
        body = b""
        await self.may_read.wait()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await self.may_answer.wait()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send({**start, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def until(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def has_answers(wire: Wire, count: int) -> bool:
    """Whether so many answers have come."""
    return wire.written.count(b"200 OK") == count


def hurry(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Have patience end sooner."""
    for name, value in seconds.items():
        monkeypatch.setattr(limits, name, value)


async def test_a_request_is_answered_and_the_next_one_too() -> None:
    stage = Stage()
    wire = stage.connect()
    for count in (1, 2):
        stage.send(wire, GET + b"\r\n")
        await until(partial(has_answers, wire, count))
    assert wire.end == ""


async def test_a_connection_without_a_word_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, HEADER_SECONDS=SHORT)
    wire = Stage().connect()
    await until(lambda: wire.end)
    assert (wire.end, bytes(wire.written)) == ("closed", b"")


@pytest.mark.parametrize("dripped", [b"a", b"\r\n"], ids=repr)
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_head_must_be_whole_in_time_however_often_something_comes(
    monkeypatch: pytest.MonkeyPatch, is_first: bool, dripped: bytes
) -> None:
    stage = Stage()
    wire = stage.connect()
    hurry(monkeypatch, HEADER_SECONDS=3 * SHORT)
    if is_first:
        wire = stage.connect()
    else:
        stage.send(wire, GET + b"\r\n")
        await until(lambda: b"200 OK" in wire.written)
    if dripped != b"\r\n":  # Empty lines before a request are passed over (RFC 9112, 2.2).
        stage.send(wire, GET)
    began = asyncio.get_running_loop().time()
    while not wire.end:
        stage.send(wire, dripped)
        await asyncio.sleep(SHORT / 5)
        assert asyncio.get_running_loop().time() - began < 5
    assert (wire.status(), wire.end) == (408, "closed")
    document = json.loads(wire.written.rpartition(b"\r\n\r\n")[2])
    assert (document["status"], document["title"]) == (408, "Request Timeout")


async def test_a_body_must_keep_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, BODY_GRACE_SECONDS=SHORT, BODY_BYTES_PER_SECOND=1000)
    stage = Stage()
    slow, quick = stage.connect(), stage.connect()
    for wire in (slow, quick):
        stage.send(wire, POST)
    sent = 0
    while sent < 1000:
        if not slow.end:
            stage.send(slow, b"a")
        stage.send(quick, b"a" * 50)
        sent += 50
        await asyncio.sleep(SHORT / 5)
    assert (slow.status(), slow.end) == (408, "closed")
    await until(lambda: quick.written)
    assert quick.status() == 200
    await until(lambda: stage.gone == 1)


async def test_a_body_must_come_in_time_at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, BODY_GRACE_SECONDS=SHORT, BODY_SECONDS=4 * SHORT)
    stage = Stage()
    wire = stage.connect()
    stage.send(wire, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    began = asyncio.get_running_loop().time()
    while not wire.end:
        stage.send(wire, b"1000\r\n" + b"a" * 0x1000 + b"\r\n")
        await asyncio.sleep(SHORT / 5)
    assert asyncio.get_running_loop().time() - began >= 4 * SHORT
    assert (wire.status(), wire.end) == (408, "closed")


async def test_whoever_waits_for_us_is_not_called_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, BODY_GRACE_SECONDS=SHORT, BODY_SECONDS=2 * SHORT)
    stage = Stage()
    stage.may_read.clear()
    wire = stage.connect()
    stage.send(wire, POST.replace(b"1000", b"200000") + b"a" * 100_000)
    await asyncio.sleep(6 * SHORT)
    assert wire.end == ""
    stage.may_read.set()
    await asyncio.sleep(SHORT / 2)
    stage.send(wire, b"a" * 100_000)
    await until(lambda: b"200 OK" in wire.written)
    assert len(stage.bodies[0]) == 200_000


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * limits.MAX_REQUEST_LINE + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /?" + b"a" * 300_000, 414),
        (GET + b"x: y\r\n" * limits.MAX_HEADERS + b"\r\n", 431),
        (GET + b"x: " + b"y" * limits.MAX_HEADER_BYTES + b"\r\n\r\n", 431),
        (GET + b"x: " + b"y" * 300_000, 431),
        (GET + b"y" * 300_000, 431),
        (GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + b"x: y\r\n" * 100 + b"\r\n", 431),
    ],
    ids=["line", "endless line", "many", "long", "endless value", "endless name", "upgrade"],
)
@pytest.mark.parametrize("step", [1000, 400_000])
async def test_a_head_has_a_length(head: bytes, status: int, step: int) -> None:
    stage = Stage()
    wire = stage.connect()
    for place in range(0, len(head), step):
        if not wire.end:
            stage.send(wire, head[place : place + step])
    assert (wire.status(), wire.end) == (status, "closed")
    assert stage.asked == []


async def test_what_follows_a_body_has_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DISCARDED", 100_000)
    stage = Stage()
    wire = stage.connect()
    stage.send(wire, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    for _ in range(40):
        if not wire.end:
            stage.send(wire, b"x: " + b"y" * 3000 + b"\r\n")
    assert wire.end == "aborted"


async def test_what_follows_a_body_is_no_header() -> None:
    stage = Stage()
    wire = stage.connect()
    stage.send(
        wire,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        b"Remote-User: admin\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n",
    )
    await until(partial(has_answers, wire, 1))
    assert stage.bodies == [b"x"]
    assert {name for name, _ in stage.headers} == {b"host", b"transfer-encoding"}


async def test_whoever_still_sends_a_body_goes_before_whoever_is_answered() -> None:
    stage = Stage()
    stage.may_answer.clear()
    wires = [stage.connect() for _ in range(3)]
    stage.send(wires[0], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
    for wire in wires[1:]:
        stage.send(wire, GET + b"\r\n")
    newest = stage.connect()
    assert [one.end for one in (*wires, newest)] == ["aborted", "", "", ""]
    stage.may_answer.set()
    for wire in (*wires[1:], newest):
        wire.abort()
    await until(lambda: not stage.state.connections)


async def test_a_connection_holds_few_requests_that_wait() -> None:
    stage = Stage()
    stage.may_answer.clear()
    wire = stage.connect()
    stage.send(wire, (GET + b"\r\n") * (limits.MAX_PIPELINED + 1))
    assert wire.end == ""
    stage.send(wire, GET + b"\r\n")
    assert wire.end == "aborted"


async def test_of_long_requests_a_connection_holds_no_more_than_one_that_waits() -> None:
    stage = Stage()
    stage.may_answer.clear()
    wire = stage.connect()
    long = GET + b"X-Long: " + b"x" * (limits.MAX_HEADER_BYTES * 3 // 4) + b"\r\n\r\n"
    stage.send(wire, long)
    stage.send(wire, long)
    assert wire.end == ""
    stage.send(wire, long)
    assert wire.end == "aborted"


async def test_what_was_answered_meanwhile_is_not_held_against_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    turns = asyncio.Semaphore(0)
    monkeypatch.setattr(stage.may_answer, "wait", turns.acquire)
    wire = stage.connect()
    long = GET + b"X-Long: " + b"x" * (limits.MAX_HEADER_BYTES // 3) + b"\r\n\r\n"
    stage.send(wire, long * 2)
    for answered in range(1, 6):
        # Two wait at a time, and there is never none.
        stage.send(wire, long)
        assert wire.end == ""
        turns.release()
        await until(partial(has_answers, wire, answered))


@pytest.mark.parametrize("reads", [True, False])
async def test_an_answer_is_given_up_when_it_makes_no_way(
    monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    hurry(monkeypatch, UNREAD_SECONDS=SHORT)
    stage = Stage()
    wire = stage.connect()
    stage.send(wire, GET + b"\r\n")
    await until(lambda: b"200 OK" in wire.written)
    wire.unread = 100 * limits.LEAST_READ
    assert wire.protocol is not None
    wire.protocol.pause_writing()
    wire.protocol.resume_writing()
    wire.protocol.pause_writing()  # More was written: what is left is no longer what was.
    # A byte now and then is no reading.
    wire.reads = limits.LEAST_READ if reads else 1
    await until(lambda: wire.end or wire.looks > 12)
    assert wire.end == ("" if reads else "aborted")
    if reads:
        wire.unread = wire.reads = 0
        wire.protocol.resume_writing()
        await asyncio.sleep(2 * SHORT)
        assert wire.end == ""


async def test_when_it_is_full_the_one_that_waited_longest_goes() -> None:
    stage = Stage()
    stage.may_answer.clear()
    works = stage.connect()
    stage.send(works, GET + b"\r\n")
    first, second = stage.connect(), stage.connect()
    third = stage.connect()
    assert [one.end for one in (works, first, second, third)] == ["", "aborted", "", ""]
    await until(lambda: len(stage.state.connections) == 3)
    stage.send(second, GET + b"\r\n")
    stage.send(third, GET + b"\r\n")
    fourth = stage.connect()
    assert fourth.end == "aborted"
    assert [one.end for one in (works, second, third)] == ["", "", ""]
    stage.may_answer.set()
    await until(lambda: all(b"200 OK" in one.written for one in (works, second, third)))
    assert len(stage.room._idle) == 3
    for one in (works, second, third):
        one.abort()
    await until(lambda: not stage.state.connections)
    assert stage.room._idle == {}
