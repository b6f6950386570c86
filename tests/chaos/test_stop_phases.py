"""A run is stopped in each of its phases: a second after the grace period nothing of it is left.

Whatever a tool does: ignore the signal, start helpers that ignore it, let one flee into a session
of its own. What belongs to a run is looked for with psutil, not asked of Longshore.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.run_processes import end_all, living_processes, wait_until_gone
from tests.chaos.tracing import traced
from tests.fakes.tools import TroubledRsync
from tests.integration.running import event_of, run_to_end, wait_for_partial, wait_for_status
from tests.integration.trees import differences_beneath
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
Tell = Callable[[str], None]
GRACE_SECONDS = 1.0
MEGABYTES = 8
SPARSE_BYTES = 64 * 1024**3
"""Of holes: they take no room, and their checksum takes a quarter of a minute and more."""
HANGS = "signal=SIGSTOP"
"""What makes a system call hang as one does on a file server that does not answer: SIGTERM is not
heard, and SIGKILL ends it. (A tracer's delay would not let go of a killed process.)"""
EXIT_AFTER_SIGTERM = {"rsync": 20, "rclone": 143}
STUBBORN_PROCESSES = 4
"""The tool, two helpers, and one that fled."""


@pytest.fixture
def tool(room: Path, rsync: str) -> TroubledRsync:
    """The rsync of the server."""
    return TroubledRsync(room / "tools", rsync)


@pytest.fixture
def server(tool: TroubledRsync, make_server: MakeServer) -> Iterator[RunningServer]:
    """A server with a short grace period and one place for runs; nothing of its runs is left."""
    running = make_server(
        LONGSHORE_STOP_GRACE_SECONDS=str(GRACE_SECONDS),
        LONGSHORE_MAX_CONCURRENT_RUNS="1",
        **tool.environment,
    )
    yield running
    end_all(running.data_dir)


def slow_job(server: RunningServer, room: Path, engine: str = "rsync", **fields: Any) -> str:
    """Create a job of one file whose transfer takes half a minute."""
    make_large_file(room / "from" / "large.bin", megabytes=MEGABYTES)
    options = {"bandwidth_limit": "256K"}
    return server.create_job(room / "from", room / "to", engine=engine, options=options, **fields)


def stop(
    server: RunningServer, job_id: str, run_id: str, *, is_heeded: bool | None = True
) -> tuple[int, float]:
    """Stop a run and see all its processes end; returns how many, and how long it took.

    A runner that heeds it tells of its end; one that has to be killed cannot. That is left open
    (None) where a tool takes the whole grace period: a busy machine may give its runner too little
    of the moment that is left then.
    """
    directory = server.data_dir / "runs" / run_id
    processes = living_processes(directory)
    assert processes, "the means to find the processes finds none"
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    acknowledged = time.monotonic()
    wait_until_gone(processes, directory, seconds=GRACE_SECONDS + 1)
    took = time.monotonic() - acknowledged
    state = wait_for_status(server, job_id, "paused")
    assert "resumed" in state["message"]
    assert server.run(run_id)["outcome"] == "paused"
    heeded = server.journal(run_id)[-1]["event"] == "run_ended"
    log = (server.data_dir / "logs" / "longshore.log").read_text()
    assert heeded or f"the runner of {run_id} does not heed the stop: it is killed" in log
    assert is_heeded in (heeded, None)
    return len(processes), took


def resume(server: RunningServer, job_id: str, room: Path) -> None:
    """Start the job again, without a limit, and compare the copy."""
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    headers = {"If-Match": f'"{job["version"]}"'}
    server.http.put(f"/api/v1/jobs/{job_id}", json=job | {"options": {}}, headers=headers)
    assert run_to_end(server, job_id)["outcome"] == "completed"
    # rclone leaves the top folder's own time as it is.
    assert differences_beneath(room / "from", room / "to") == ""


def phases_of(server: RunningServer, run_id: str) -> list[tuple[str, str | None]]:
    """Return the names and outcomes of a run's phases."""
    return [(phase["name"], phase["outcome"]) for phase in server.run(run_id)["phases"]]


def report(tell: Tell, phase: str, ended: tuple[int, float]) -> None:
    """Print what was tried."""
    tell(f"stopped in {phase}: {ended[0]} processes gone after {ended[1]:.2f} s")


def test_queued(server: RunningServer, room: Path, tell: Tell) -> None:
    server.start_job(slow_job(server, room / "busy"))
    make_tree(room / "from", files=30)
    job_id = server.create_job(room / "from", room / "to")
    run_id = server.start_job(job_id)
    assert server.state(job_id)["status"] == "queued"

    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202

    assert living_processes(server.data_dir / "runs" / run_id) == {}
    assert not (server.data_dir / "runs" / run_id).exists()
    state = server.state(job_id)
    assert (state["status"], state["run_id"]) == ("pending", None)
    assert server.http.get(f"/api/v1/runs/{run_id}").status_code == 404
    tell("stopped while queued: no process, no run, the earlier status")


@pytest.mark.long
def test_preflight_of_a_source_that_hangs(
    server: RunningServer, room: Path, strace: str, tmp_path: Path, tell: Tell
) -> None:
    assert server.process is not None
    source = make_tree(room / "from", files=30)
    job_id = server.create_job(source, room / "to")
    hang = f"inject=statfs:{HANGS}"
    options = ("-f", "-P", str(source), "-e", "trace=statfs", "-e", hang)
    with traced(strace, server.process.pid, tmp_path / "trace", *options):
        run_id = server.start_job(job_id)
        wait_until(lambda: b"SIGSTOP" in (tmp_path / "trace").read_bytes(), what="the hang")

        ended = stop(server, job_id, run_id, is_heeded=False)

    assert phases_of(server, run_id) == [("preflight", "paused")]
    assert not (room / "to").exists()
    resume(server, job_id, room)
    report(tell, "a preflight that hangs", ended)


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_transfer(server: RunningServer, room: Path, engine: str, tell: Tell) -> None:
    job_id = slow_job(server, room, engine)
    run_id = server.start_job(job_id)
    if engine == "rsync":
        wait_for_partial(room / "to", 1)
    else:
        wait_until(lambda: list((room / "to").glob("*")), what="the file at the destination")

    ended = stop(server, job_id, run_id)

    assert phases_of(server, run_id)[-1] == ("transfer", "paused")
    assert server.run(run_id)["exit_code"] == EXIT_AFTER_SIGTERM[engine], "it was killed"
    resume(server, job_id, room)
    report(tell, f"a transfer of {engine}", ended)


def test_wait_for_the_next_attempt(
    server: RunningServer, tool: TroubledRsync, room: Path, tell: Tell
) -> None:
    retry = {"max_attempts": 10, "first_delay_seconds": 60, "max_delay_seconds": 60}
    job_id = slow_job(server, room, retry=retry)
    tool.trouble("transfer", "refused")
    run_id = server.start_job(job_id)
    event_of(server, run_id, "retry_scheduled")

    ended = stop(server, job_id, run_id)

    assert phases_of(server, run_id)[-1] == ("transfer", "paused")
    assert tool.transfers == 1
    tool.mend()
    resume(server, job_id, room)
    report(tell, "the wait for the next attempt", ended)


def test_settle_on_a_disk_that_hangs(
    server: RunningServer, room: Path, strace: str, tmp_path: Path, tell: Tell
) -> None:
    assert server.process is not None
    make_tree(room / "from", files=30)
    job_id = server.create_job(room / "from", room / "to", verification="checksum")
    options = ("-f", "-e", "trace=syncfs", "-e", f"inject=syncfs:{HANGS}")
    with traced(strace, server.process.pid, tmp_path / "trace", *options):
        run_id = server.start_job(job_id)
        wait_until(lambda: b"SIGSTOP" in (tmp_path / "trace").read_bytes(), what="the hang")

        ended = stop(server, job_id, run_id, is_heeded=None)

    assert phases_of(server, run_id)[-1] == ("settle", "paused")
    resume(server, job_id, room)
    report(tell, "a settle that hangs", ended)


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_verification(server: RunningServer, room: Path, engine: str, tell: Tell) -> None:
    for place in ("from", "to"):
        # Alike before the run, so that there is nothing to transfer and much to verify.
        (room / place).mkdir()
        with (room / place / "holes").open("wb") as file:
            file.truncate(SPARSE_BYTES)
        os.utime(room / place / "holes", (0, 0))
    job_id = server.create_job(room / "from", room / "to", engine=engine, verification="checksum")
    run_id = server.start_job(job_id)
    event_of(server, run_id, "helper_started")
    wait_until(
        lambda: phases_of(server, run_id)[-1:] == [("verify", None)], what="the verification"
    )

    ended = stop(server, job_id, run_id)

    assert phases_of(server, run_id)[-1] == ("verify", "paused")
    for place in ("from", "to"):
        os.truncate(room / place / "holes", 1024)  # The resumed run shall not take as long.
        os.utime(room / place / "holes", (0, 0))
    resume(server, job_id, room)
    report(tell, f"a verification of {engine}", ended)


@pytest.mark.parametrize("call", ["transfer", "scan", "verification"])
def test_a_tool_that_heeds_no_signal_and_flees(
    server: RunningServer, tool: TroubledRsync, room: Path, call: str, tell: Tell
) -> None:
    limit = {"bandwidth_limit": "256K"} if call == "scan" else {}
    make_large_file(room / "from" / "large.bin", megabytes=MEGABYTES)
    job_id = server.create_job(room / "from", room / "to", verification="checksum", options=limit)
    tool.trouble(call, "stubborn")
    run_id = server.start_job(job_id)
    wait_until(lambda: tool.escaped, what="the process that flees")

    count, took = stop(server, job_id, run_id, is_heeded=None)

    assert count >= STUBBORN_PROCESSES + 1, "not all of them were found"
    assert call == "scan" or took > GRACE_SECONDS / 2, "it was not stubborn"
    tool.mend()
    resume(server, job_id, room)
    assert tool.overlaps == 0
    report(tell, f"a {call} that heeds no signal", (count, took))
