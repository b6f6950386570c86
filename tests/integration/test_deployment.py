"""Proves that the dashboard can be run as a service.

Told to end, it lets go and ends with 0 whatever its clients and its disk do; its runs take no note
of it, and the next start adopts them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fastapi_app.limits import MAX_PIPELINED
from tests.conftest import need
from tests.integration.control_group import ControlGroup
from tests.integration.running import event_of, start_ticks, wait_for_status
from tests.support import PROJECT_ROOT, RunningServer, make_large_file, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("real_starts", "rsync")]
MEGABYTES = 32
UNIT = (PROJECT_ROOT / "deploy" / "longshore.service").read_text(encoding="utf-8")
STOP_SECONDS = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0])
"""How long the service manager waits before it kills; the server means to take less than five."""


def told_to_end(server: RunningServer, number: int = signal.SIGTERM) -> tuple[int, str]:
    """Signal the server; returns its exit code and what it printed."""
    assert server.process is not None
    server.process.send_signal(number)
    try:
        output, _ = server.process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        pytest.fail("the server does not end")
    code, server.process = server.process.wait(), None
    return code, output.decode()


class LiveRuns:
    """Two runs that take their time, and the engine processes that must not notice anything."""

    def __init__(self, server: RunningServer, room: Path) -> None:
        self.server = server
        make_large_file(room / "from" / "large.bin", megabytes=MEGABYTES)
        options = {"bandwidth_limit": "500K"}
        self.job_ids = [
            server.create_job(room / "from", room / name, options=options) for name in ("a", "b")
        ]
        self.run_ids = [server.start_job(job_id) for job_id in self.job_ids]
        self.engines = [event_of(server, run_id, "engine_started")["engine"] for run_id in self]

    def __iter__(self) -> Iterator[str]:
        return iter(self.run_ids)

    def pids(self) -> set[int]:
        """Return the pids of runners and engine processes."""
        runners = (event_of(self.server, run_id, "run_started")["runner"] for run_id in self)
        return {process["pid"] for process in (*runners, *self.engines)}

    def assert_untouched(self) -> None:
        """Check that the engine processes are the same ones still."""
        for engine in self.engines:
            assert start_ticks(engine["pid"]) == engine["start_ticks"]

    def assert_adopted(self) -> None:
        """Check that the present server follows them, and that they go on."""
        for job_id, run_id in zip(self.job_ids, self.run_ids, strict=True):
            assert self.server.state(job_id)["status"] == "running"
            before = self.server.run(run_id)["bytes_done"]
            wait_until(
                lambda run_id=run_id, before=before: (  # type: ignore[misc]
                    self.server.run(run_id)["bytes_done"] > before
                ),
                what="progress after the restart",
            )
        self.assert_untouched()


@pytest.fixture
def runs(server: RunningServer, room: Path) -> LiveRuns:
    """Two live runs of the server."""
    return LiveRuns(server, room)


# ---- Told to end -------------------------------------------------------------------------------


@contextmanager
def endless_body(server: RunningServer) -> Iterator[None]:
    """A request whose body never comes to its end, under way."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        )
        assert b"100 Continue" in client.recv(1000)  # Sent when the application asks for the body.
        client.sendall(b'{"name":')
        yield


@contextmanager
def unread_answers(server: RunningServer) -> Iterator[None]:
    """A client that asks for more than all buffers hold, and does not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        request = b"GET /static/vendor/htmx.min.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        client.sendall(request * MAX_PIPELINED)
        samples = [-1]

        def is_stuck() -> bool:
            samples.append(unsent_bytes(server.port, client.getsockname()[1]))
            return samples[-1] > 0 and len(set(samples[-20:])) == 1

        wait_until(is_stuck, what="a connection that is stuck")
        yield


def unsent_bytes(port: int, client_port: int) -> int:
    """Return how many bytes the kernel holds for a client that does not take them (proc(5))."""
    for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local[-4:], remote[-4:]) == (f"{port:04X}", f"{client_port:04X}"):
            return int(queues.partition(":")[0], 16)
    return 0


@contextmanager
def browser(server: RunningServer) -> Iterator[None]:
    """A page that is open: it is told that the server restarts."""
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as page:
        page.recv(timeout=10)
        yield
        # What came before the end is read first.
        wait_until(lambda: is_closed(page), what="the end of the connection")
        assert page.close_code == 1012


def is_closed(page: ClientConnection) -> bool:
    """Receive one message; True when there is none any more."""
    try:
        page.recv(timeout=10)
    except ConnectionClosed:
        return True
    return False


@contextmanager
def all_of_them(server: RunningServer) -> Iterator[None]:
    with endless_body(server), unread_answers(server), browser(server):
        yield


@pytest.mark.parametrize(
    "client", [nullcontext, browser, endless_body, unread_answers, all_of_them]
)
def test_told_to_end_it_ends_with_0_and_its_runs_are_adopted(
    server: RunningServer,
    runs: LiveRuns,
    client: Callable[[RunningServer], AbstractContextManager[None]],
) -> None:
    with client(server):
        code, output = told_to_end(server)

    assert code == 0
    assert "cut off" not in output
    runs.assert_untouched()
    server.start()
    runs.assert_adopted()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_does_not_wait_for_requests_and_still_closes_its_store(
    server: RunningServer, number: int
) -> None:
    assert server.process is not None
    log = server.data_dir / "logs" / "longshore.log"

    with endless_body(server):
        server.process.send_signal(number)
        wait_until(lambda: "Waiting for connections" in log.read_text(), what="the drain")
        code, output = told_to_end(server, number)

    assert code == 0
    assert "cut off" not in output
    assert "timeout graceful shutdown exceeded" not in log.read_text()
    assert "Waiting for application shutdown" in log.read_text()


@pytest.mark.parametrize("starts", [False, True], ids=["at-work", "starting"])
def test_a_disk_that_hangs_does_not_keep_it(
    server: RunningServer, runs: LiveRuns, starts: bool
) -> None:
    if starts:
        server.kill()
    with hanging(server.data_dir / "runs" / runs.run_ids[0] / "journal.jsonl"):
        if starts:
            server.process = subprocess.Popen(
                [sys.executable, "-m", "fastapi_app.cli", "serve"],
                cwd=PROJECT_ROOT,
                env=server.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        assert server.process is not None
        wait_until_a_thread_hangs(server.process.pid)
        code, output = told_to_end(server)

    assert code == 0
    assert "cut off" in output
    runs.assert_untouched()
    server.start()
    runs.assert_adopted()


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Let whoever opens this file wait for ever."""
    aside = path.rename(path.with_suffix(".aside"))
    os.mkfifo(path)  # Nobody writes to it.
    try:
        yield
    finally:
        aside.replace(path)


def wait_until_a_thread_hangs(pid: int) -> None:
    """Wait until a thread of a process waits for somebody to open the other end of a FIFO."""
    need("the kernel's word on what a process waits for", Path("/proc/self/wchan").exists())

    def hangs() -> bool:
        return any(
            path.read_text() == "wait_for_partner"
            for path in Path(f"/proc/{pid}/task").glob("*/wchan")
        )

    wait_until(hangs, what="a thread that hangs")


def test_what_was_acknowledged_before_the_end_is_there_after_it(
    server: RunningServer, room: Path
) -> None:
    acknowledged: list[str] = []
    refused: list[int] = []
    (room / "from").mkdir()
    definition = {"name": "A job", "engine": "rsync", "source": str(room / "from")}

    def write() -> None:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
            try:
                while True:
                    body = definition | {"destination": str(room / uuid.uuid4().hex)}
                    answer = http.post("/api/v1/jobs", json=body)
                    if answer.status_code == 201:
                        acknowledged.append(answer.json()["id"])
                    else:
                        refused.append(answer.status_code)
            except httpx.TransportError:
                return

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(acknowledged) > 40, what="forty jobs")
    code, _ = told_to_end(server)
    for writer in writers:
        writer.join()
    server.start()

    assert code == 0
    assert refused == []
    assert set(acknowledged) <= {job["id"] for job in server.jobs()}


# ---- Its group, its control group -------------------------------------------------------------


def test_sigterm_to_its_whole_process_group_leaves_the_runs_alone(
    server: RunningServer, runs: LiveRuns
) -> None:
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGTERM)
    assert server.process.wait(timeout=STOP_SECONDS) == 0

    runs.assert_untouched()
    server.terminate()
    server.start()
    runs.assert_adopted()


@pytest.fixture
def control_group() -> Iterator[ControlGroup]:
    """A control group; before the server's fixture, so that it is removed after it."""
    group = ControlGroup()
    yield group
    group.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "crashed"])
def test_runs_go_on_in_the_control_group_of_a_service_that_ended(
    control_group: ControlGroup, server: RunningServer, room: Path, number: int
) -> None:
    """As systemd ends it: with KillMode=process only the main process is signalled."""
    assert server.process is not None
    main = server.process.pid
    control_group.take(main)
    runs = LiveRuns(server, room)
    assert control_group.pids() >= runs.pids() | {main}

    code, _ = told_to_end(server, number)

    assert code == (0 if number == signal.SIGTERM else -number)
    assert control_group.pids() >= runs.pids()
    assert main not in control_group.pids()
    server.start()
    control_group.take(server.process.pid)
    runs.assert_adopted()
    for job_id in runs.job_ids:
        server.http.post(f"/api/v1/jobs/{job_id}/stop")
        wait_for_status(server, job_id, "paused")
    wait_until(
        lambda: control_group.pids() == {server.process and server.process.pid},
        what="a control group with the server alone",
    )
