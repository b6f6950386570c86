"""The runner of a run is killed: its engine process is stopped, and the job is interrupted then.

Never do two engine processes write to one destination: the rsync of these tests holds a lock of its
own for each destination as long as any process of it lives, and takes note when it is held.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.run_processes import end_all, lives, living_processes, wait_until_gone
from tests.chaos.tracing import traced
from tests.fakes.tools import TroubledRsync
from tests.integration.running import event_of, run_to_end, wait_for_partial, wait_for_status
from tests.support import RunningServer, make_large_file, rsync_differences, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
Tell = Callable[[str], None]
GRACE_SECONDS = 2.0
NOTICED_SECONDS = 3.0
MEGABYTES = 4
ENGINE_STARTED_LINE = 5
"""Of the journal: after the runner's own start, the preflight's two and the transfer's first."""
IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
RESUMED = [("", False), ("stubborn", True), *([("", True), ("stubborn", False)] if IS_FULL else [])]
"""What is the matter with the tool, and whether the server is down when the runner is killed."""


@pytest.fixture
def tool(room: Path, rsync: str) -> TroubledRsync:
    """The rsync of the server."""
    return TroubledRsync(room / "tools", rsync)


@pytest.fixture
def start_server(tool: TroubledRsync, make_server: MakeServer) -> Iterator[MakeServer]:
    """Start a server with this rsync and a short grace period; nothing of its runs is left."""
    started: list[RunningServer] = []

    def start(**environment: str) -> RunningServer:
        grace = {"LONGSHORE_STOP_GRACE_SECONDS": str(GRACE_SECONDS)}
        started.append(make_server(**grace, **tool.environment, **environment))
        return started[-1]

    yield start
    for server in started:
        end_all(server.data_dir)


def slow_job(server: RunningServer, room: Path, rate: str = "256K") -> str:
    """Create a job of one file."""
    make_large_file(room / "from" / "large.bin", megabytes=MEGABYTES)
    options = {"bandwidth_limit": rate}
    return server.create_job(room / "from", room / "to", options=options)


def kill_runner(server: RunningServer, run_id: str) -> float:
    """Kill a run's runner; returns when."""
    os.kill(event_of(server, run_id, "run_started")["runner"]["pid"], signal.SIGKILL)
    return time.monotonic()


def wait_for_notice(server: RunningServer, job_id: str, killed_at: float) -> float:
    """Wait until the job is shown as something else than running; returns after how long."""
    seconds = NOTICED_SECONDS - (time.monotonic() - killed_at)
    wait_for_status(server, job_id, "stopping", "interrupted", seconds=seconds)
    return time.monotonic() - killed_at


def check_interrupted(server: RunningServer, job_id: str, run_id: str) -> None:
    """Check that run and job are interrupted, and that nothing of the run lives any more."""
    state = wait_for_status(server, job_id, "interrupted")
    assert living_processes(server.data_dir / "runs" / run_id) == {}
    assert state["message"]
    run = server.run(run_id)
    assert (run["outcome"], run["status"]) == ("interrupted", "interrupted")
    assert all(phase["ended_at"] for phase in run["phases"])


def resume(server: RunningServer, job_id: str, room: Path) -> None:
    """Start the job again, without a limit, and compare the copy."""
    lift_limit(server, job_id)
    assert run_to_end(server, job_id)["outcome"] == "completed"
    assert rsync_differences(room / "from", room / "to") == ""


def lift_limit(server: RunningServer, job_id: str) -> None:
    """Let the next run of the job be quick."""
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    headers = {"If-Match": f'"{job["version"]}"'}
    server.http.put(f"/api/v1/jobs/{job_id}", json=job | {"options": {}}, headers=headers)


def test_its_engine_process_is_stopped_and_the_job_can_be_resumed(
    start_server: MakeServer, tool: TroubledRsync, room: Path, tell: Tell
) -> None:
    server = start_server()
    job_id = slow_job(server, room)
    run_id = server.start_job(job_id)
    wait_for_partial(room / "to", 1)

    noticed = wait_for_notice(server, job_id, kill_runner(server, run_id))

    check_interrupted(server, job_id, run_id)
    resume(server, job_id, room)
    assert (tool.transfers, tool.overlaps) == (2, 0)
    tell(f"a killed runner was noticed after {noticed:.2f} s")


def test_an_engine_process_that_heeds_no_signal_is_shown_as_stopping_until_it_is_gone(
    start_server: MakeServer, tool: TroubledRsync, room: Path, tell: Tell
) -> None:
    server = start_server()
    job_id = slow_job(server, room)
    tool.trouble("transfer", "stubborn")
    run_id = server.start_job(job_id)
    directory = server.data_dir / "runs" / run_id
    wait_until(lambda: tool.escaped, what="the process that flees")
    processes = living_processes(directory)

    killed_at = kill_runner(server, run_id)
    noticed = wait_for_notice(server, job_id, killed_at)
    assert server.state(job_id)["status"] == "stopping"
    assert server.http.post(f"/api/v1/jobs/{job_id}/start").status_code == 409
    assert any(map(lives, processes)), "it is shown as stopping without a reason"

    wait_until_gone(processes, directory, seconds=GRACE_SECONDS + NOTICED_SECONDS)
    took = time.monotonic() - killed_at
    wait_for_status(server, job_id, "interrupted", seconds=NOTICED_SECONDS)
    check_interrupted(server, job_id, run_id)
    tool.mend()
    resume(server, job_id, room)
    assert (tool.transfers, tool.overlaps) == (2, 0)
    tell(
        f"a killed runner was noticed after {noticed:.2f} s, its {len(processes)} stubborn "
        f"processes were gone after {took:.2f} s; a start meanwhile was refused"
    )


def test_a_runner_killed_before_it_could_tell_of_its_engine_process(
    start_server: MakeServer,
    tool: TroubledRsync,
    room: Path,
    strace: str,
    tmp_path: Path,
    tell: Tell,
) -> None:
    server = start_server(LONGSHORE_MAX_CONCURRENT_RUNS="1")
    first_id = slow_job(server, room / "first")
    first_run = server.start_job(first_id)
    job_id = slow_job(server, room)
    run_id = server.start_job(job_id)
    journal = server.data_dir / "runs" / run_id / "journal.jsonl"
    kill = f"inject=write:signal=SIGKILL:when={ENGINE_STARTED_LINE}"
    options = ("-f", "-P", str(journal), "-e", "trace=write", "-e", kill)
    assert server.process is not None
    with traced(strace, server.process.pid, tmp_path / "trace", *options):
        server.http.post(f"/api/v1/jobs/{first_id}/stop")
        wait_until(lambda: b"SIGKILL" in (tmp_path / "trace").read_bytes(), what="the kill")
    killed_at = time.monotonic()
    server.wait_for_end(first_run)

    noticed = wait_for_notice(server, job_id, killed_at)

    events = [line["event"] for line in server.journal(run_id)]
    assert events == ["run_started", "phase_started", "phase_ended", "phase_started"]
    check_interrupted(server, job_id, run_id)
    resume(server, job_id, room)
    # The one that nobody heard of may have been ended before it could count itself.
    assert tool.transfers in (2, 3)
    assert tool.overlaps == 0
    tell(f"a runner killed before it told of its rsync was noticed after {noticed:.2f} s")


@pytest.mark.parametrize(("matter", "server_is_down"), RESUMED)
def test_the_job_goes_on_by_itself_where_that_is_wanted(
    start_server: MakeServer,
    tool: TroubledRsync,
    room: Path,
    matter: str,
    server_is_down: bool,
    tell: Tell,
) -> None:
    server = start_server(LONGSHORE_RESUME_INTERRUPTED="true")
    job_id = slow_job(server, room, rate="2M")
    if matter:
        tool.trouble("transfer", matter)
    run_id = server.start_job(job_id)
    if matter:
        wait_until(lambda: tool.escaped, what="the process that flees")
        tool.mend()
    else:
        wait_for_partial(room / "to", 1)

    if server_is_down:
        server.kill()
    kill_runner(server, run_id)
    if server_is_down:
        server.start()

    wait_for_status(server, job_id, "completed")
    newest, first = runs_of(server, job_id)
    assert (newest["outcome"], first["outcome"]) == ("completed", "interrupted")
    assert first["id"] == run_id
    assert living_processes(server.data_dir / "runs" / run_id) == {}
    assert rsync_differences(room / "from", room / "to") == ""
    assert (tool.transfers, tool.overlaps) == (2, 0)
    tell(f"went on by itself: rsync {matter or 'as usual'}, server down: {server_is_down}")


def runs_of(server: RunningServer, job_id: str) -> list[dict[str, Any]]:
    """Return a job's runs, newest first."""
    runs: list[dict[str, Any]] = server.http.get(f"/api/v1/jobs/{job_id}/runs").json()["items"]
    return runs
