"""Proves on real sockets that long, slow and many clients are refused or let go of, and that the
others are answered meanwhile."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_live

from fastapi_app import limits
from fastapi_app.connections import as_many_as_files_allow
from models.access import Role
from tests.crowds import FLOOD, HOST, SLOW, Slow, connect
from tests.integration.access_server import PASSWORDS, bear_local_token, set_password, signed_in
from tests.integration.live import live
from tests.served_app import ServedApp
from tests.support import RunningServer, wait_until

pytestmark = pytest.mark.integration
LONG = limits.MAX_BODY + 1
PARTS, PART = 3, b"x" * 4_000_000  # So long that something of it always waits to be read.
BYTES_PER_SECOND = 4_000_000
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def chunks(count: int = LONG) -> Iterator[bytes]:
    """Yield a body without telling its length."""
    yield from (b"x" * 65536 for _ in range(count // 65536 + 1))


def status_of(connection: socket.socket) -> int:
    """Read an answer's status."""
    head = b""
    while len(head) < 12:
        part = connection.recv(12 - len(head))
        assert part, head
        head += part
    return int(head[9:12])


@pytest.mark.parametrize("content", [b"x" * LONG, None], ids=["said", "chunked"])
def test_a_long_body_is_refused_for_programs_and_people(
    shared_server: RunningServer, content: bytes | None
) -> None:
    program = shared_server.http.post("/api/v1/jobs", content=content or chunks(), headers=JSON)
    assert program.status_code == 413
    assert program.headers["content-type"] == "application/problem+json"
    assert program.json()["detail"] == "A body may have 1,024 KB at most."

    page = shared_server.http.post("/jobs", content=content or chunks(), headers=FORM)
    assert (page.status_code, page.headers["content-type"]) == (413, "text/html; charset=utf-8")
    assert "A body may have 1,024 KB at most." in page.text
    assert page.headers["content-security-policy"]
    # The same connection is good for another request: what was too much is read and thrown away.
    assert shared_server.http.get("/health").is_success


def test_an_upload_is_refused(shared_server: RunningServer) -> None:
    answer = shared_server.http.post("/jobs", files={"file": b"content"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("length", "status"), [(LONG, 413), (10**18, 413), ("9" * 200, 400), ("-1", 400)], ids=str
)
def test_a_length_alone_is_refused(
    shared_server: RunningServer, length: int | str, status: int
) -> None:
    request = f"POST /jobs HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n"
    with connect(shared_server, request) as connection:
        assert status_of(connection) == status


def test_a_long_head_is_refused(shared_server: RunningServer) -> None:
    get = shared_server.http.get
    assert get("/jobs", params={"q": "a" * 9000}).status_code == 414
    assert get("/jobs", headers={"Cookie": "a" * 40_000}).status_code == 431
    many = {f"X-{number}": "a" for number in range(limits.MAX_HEADERS)}
    answer = get("/jobs", headers=many)
    assert (answer.status_code, answer.json()["status"]) == (431, 431)
    assert get("/jobs", params={"q": "a" * 200}, headers={"Cookie": "a" * 8000}).is_success


async def test_a_long_message_ends_a_websocket(shared_server: RunningServer) -> None:
    async with live(shared_server) as client:
        await client.send(subscribe=[f"job-{number:060}" for number in range(500)])
        await client.send(subscribe=["a" * limits.MAX_MESSAGE])
        with pytest.raises(ConnectionClosed) as told:
            await client.until(lambda _: False)
    assert told.value.rcvd is not None
    assert told.value.rcvd.code == 1009


async def test_what_nobody_could_mean_ends_a_websocket_and_is_no_fault_of_ours(
    shared_server: RunningServer,
) -> None:
    async with live(shared_server) as client:
        await client.connection.send("[" * 60_000)
        with pytest.raises(ConnectionClosed) as told:
            await client.until(lambda _: False)
    assert told.value.rcvd is not None
    assert told.value.rcvd.code == 1008
    assert shared_server.http.get("/api/v1/errors").json()["total"] == 0


async def test_one_browser_too_many_is_told_to_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS", 1)
    server = ServedApp(tmp_path / "data")
    server.start()
    try:
        async with live(server):
            with pytest.raises(ConnectionClosed) as told:
                async with live(server):
                    pass
        assert told.value.rcvd is not None
        assert told.value.rcvd.code == 1013
        await asyncio.to_thread(wait_until, lambda: not server.seats_taken, what="a free seat")
        async with live(server):
            assert server.seats_taken == 1
    finally:
        await asyncio.to_thread(server.close)


def test_a_session_has_a_share_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS_OF_SESSION", 1)
    server = ServedApp(tmp_path / "data")
    set_password(server, "passwd", "admin", password=PASSWORDS[Role.ADMIN])
    bear_local_token(server)
    server.start()
    with ExitStack() as stack:
        stack.callback(server.close)
        browsers = [signed_in(server, Role.ADMIN) for _ in range(2)]
        for browser in browsers:
            stack.callback(browser.close)
        mine, yours = (browser.cookies for browser in browsers)

        def hello(cookies: httpx.Cookies) -> str:
            headers = {
                "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
                "Origin": server.url,
            }
            address = f"ws://127.0.0.1:{server.port}/ws"
            socket = connect_live(address, additional_headers=headers, proxy=None)
            return str(stack.enter_context(socket).recv(10))

        assert "hello" in hello(mine)
        with pytest.raises(ConnectionClosed) as told:
            hello(mine)
        assert told.value.rcvd is not None
        assert told.value.rcvd.code == 1013
        assert "hello" in hello(yours)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a second and a half instead of ten."""
    monkeypatch.setattr(limits, "HEADER_SECONDS", 1.5)
    monkeypatch.setattr(limits, "BODY_GRACE_SECONDS", 1.5)
    monkeypatch.setattr(limits, "UNREAD_SECONDS", 1.0)


@pytest.mark.parametrize("most", [None, SLOW + 20], ids=["with room", "without room"])
@pytest.mark.usefixtures("hurried")
def test_slow_clients_and_a_flood_hold_up_nobody(tmp_path: Path, most: int | None) -> None:
    assert as_many_as_files_allow() > SLOW + FLOOD
    server = ServedApp(tmp_path / "data", most_connections=most)
    server.start()
    with ExitStack() as stack:
        stack.callback(server.close)
        slow = Slow(server, stack)
        flood = [stack.enter_context(connect(server)) for _ in range(FLOOD)]
        answered = 0
        deadline = time.monotonic() + 60
        while slow.left or not answered:
            for path in ("/", "/health", "/api/v1/jobs"):
                with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as somebody:
                    assert somebody.get(path).status_code == 200
                answered += 1
            assert time.monotonic() < deadline, f"{slow.left} slow ones are left"
        wait_until(lambda: all(map(is_ended, flood)), what="the end of the flood")
        assert (server.connections.turned_away > 0) is (most is not None)


def is_ended(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection on which it says nothing."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def rest_of(connection: socket.socket) -> int:
    """Read until the other side's end, whatever kind of end it is; returns how much came."""
    size = 0
    with suppress(ConnectionResetError):
        while part := connection.recv(1024 * 1024):
            size += len(part)
    return size


def large() -> FastAPI:
    """Return an application with one long answer."""
    app = FastAPI()

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.get("/large")
    async def large_answer() -> StreamingResponse:
        return StreamingResponse(PART for _ in range(PARTS))

    return app


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[FastAPI], ServedApp]]:
    """Serve an application until the test ends."""
    with ExitStack() as stack:

        def start(app: FastAPI) -> ServedApp:
            server = ServedApp(tmp_path / "data", app=app)
            server.start()
            server.http.close()  # Its connection would be kept for another request.
            stack.callback(server.terminate)
            return server

        yield start


@pytest.mark.usefixtures("hurried")
def test_who_reads_slowly_gets_all_of_it_and_who_does_not_read_is_let_go(
    serve: Callable[[FastAPI], ServedApp],
) -> None:
    server = serve(large())
    request = f"GET /large HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    with ExitStack() as stack:
        reads = stack.enter_context(connect(server, request, buffer=256 * 1024))
        does_not = stack.enter_context(connect(server, request, buffer=256 * 1024))
        began, size, pause = time.monotonic(), 0, selectors.DefaultSelector()
        while part := reads.recv(1024 * 1024):
            size += len(part)
            pause.select(size / BYTES_PER_SECOND - (time.monotonic() - began))
        assert size > PARTS * len(PART)
        assert time.monotonic() - began > 2 * limits.UNREAD_SECONDS
        wait_until(lambda: not server.open_connections, what="the end of who does not read")
        assert rest_of(does_not) < size  # What the system had taken for it already.
