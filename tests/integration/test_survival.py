"""Proves that a transfer outlives the dashboard, and that a dead runner is noticed.

The server and the runner are really killed. That the engine process went on is read from the
kernel (its pid and start time); that progress is new, from journal lines written after the restart.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.running import (
    event_of,
    processes_of,
    run_to_end,
    seconds_since_epoch,
    start_ticks,
    wait_for_bytes,
    wait_for_partial,
    wait_for_status,
)
from tests.integration.trees import hash_of
from tests.support import RunningServer, make_large_file, rsync_differences, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
MEGABYTES = 16
SIZE = MEGABYTES * 1024 * 1024


def kill_group(server: RunningServer) -> None:
    """Kill the server's whole process group, as a closed terminal or an out-of-memory kill may."""
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGKILL)
    server.kill()


def start_large(server: RunningServer, room: Path, rate: str) -> tuple[str, str]:
    """Create and start a job of one large file; returns the ids of job and run."""
    make_large_file(room / "from" / "large.bin", megabytes=MEGABYTES)
    options = {"bandwidth_limit": rate}
    job_id = server.create_job(room / "from", room / "to", options=options, verification="checksum")
    return job_id, server.start_job(job_id)


@pytest.mark.parametrize(
    "end", [RunningServer.kill, RunningServer.terminate, kill_group], ids=["KILL", "TERM", "group"]
)
def test_a_transfer_goes_on_while_the_server_ends_and_starts_again(
    server: RunningServer, room: Path, end: Callable[[RunningServer], None]
) -> None:
    job_id, run_id = start_large(server, room, "2500K")
    wait_for_bytes(server, job_id, 1)
    engine = event_of(server, run_id, "engine_started")["engine"]
    assert start_ticks(engine["pid"]) == engine["start_ticks"]

    end(server)
    assert start_ticks(engine["pid"]) == engine["start_ticks"]
    server.start()
    restarted = time.time()

    def newer_progress() -> float | None:
        state = server.state(job_id)
        assert state["status"] == "running", state
        updated = seconds_since_epoch(state["progress"]["updated_at"]) if state["progress"] else 0
        return updated if updated > restarted else None

    assert wait_until(newer_progress, what="progress from after the restart")
    assert start_ticks(engine["pid"]) == engine["start_ticks"]
    assert processes_of(run_id, group=engine["pid"])
    journalled = [
        line
        for line in server.journal(run_id)
        if line["event"] == "progress" and seconds_since_epoch(line["t"]) > restarted
    ]
    assert journalled, "nothing was journalled after the restart"

    run = server.wait_for_end(run_id)

    assert (run["outcome"], run["attempts"], run["bytes_done"]) == ("completed", 1, SIZE)
    assert run["bytes_sent"] >= SIZE
    started = [line for line in server.journal(run_id) if line["event"] == "engine_started"]
    assert len(started) == 1, "the engine process was started again"
    assert hash_of(room / "to" / "large.bin") == hash_of(room / "from" / "large.bin")
    assert rsync_differences(room / "from", room / "to") == ""
    assert wait_for_status(server, job_id, "completed")["progress"]["percent"] == 100


def test_a_run_that_ended_while_the_server_was_down_is_shown_with_its_outcome(
    server: RunningServer, room: Path
) -> None:
    job_id, run_id = start_large(server, room, "10M")
    event_of(server, run_id, "engine_started")

    server.kill()
    wait_until(
        (server.data_dir / "runs" / run_id / "result.json").exists, what="the end of the run"
    )
    wait_until(lambda: not processes_of(run_id), what="the end of the runner")
    ended_at = server.journal(run_id)[-1]["t"]
    server.start()

    run, state = server.run(run_id), server.state(job_id)
    assert (run["outcome"], run["bytes_done"], run["ended_at"]) == ("completed", SIZE, ended_at)
    assert [phase["outcome"] for phase in run["phases"]] == ["completed"] * 4
    assert (state["status"], state["progress"]["percent"]) == ("completed", 100)
    assert state["last_good_at"] == ended_at
    assert rsync_differences(room / "from", room / "to") == ""


def test_a_stop_is_heard_by_a_run_of_an_earlier_server(server: RunningServer, room: Path) -> None:
    job_id, run_id = start_large(server, room, "1M")
    engine = event_of(server, run_id, "engine_started")["engine"]["pid"]
    server.kill()
    server.start()

    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202

    wait_for_status(server, job_id, "paused", seconds=3)
    assert processes_of(run_id, group=engine) == []


@pytest.mark.parametrize("server_is_down", [False, True])
def test_a_killed_runner_leaves_an_interrupted_job_that_can_be_resumed(
    server: RunningServer, room: Path, server_is_down: bool
) -> None:
    job_id, run_id = start_large(server, room, "1M")
    wait_for_partial(room / "to", SIZE // 16)
    runner = event_of(server, run_id, "run_started")["runner"]["pid"]
    engine = event_of(server, run_id, "engine_started")["engine"]["pid"]

    if server_is_down:
        server.kill()
    os.kill(runner, signal.SIGKILL)
    if server_is_down:
        server.start()

    state = wait_for_status(server, job_id, "interrupted", seconds=3)
    assert state["message"]
    assert processes_of(run_id, group=engine) == []
    run = server.run(run_id)
    assert (run["outcome"], run["status"]) == ("interrupted", "interrupted")
    assert run["ended_at"] is not None
    assert all(phase["ended_at"] for phase in run["phases"])
    assert not (room / "to" / "large.bin").exists()

    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    headers = {"If-Match": f'"{job["version"]}"'}
    server.http.put(f"/api/v1/jobs/{job_id}", json=job | {"options": {}}, headers=headers)
    resumed = run_to_end(server, job_id)

    assert resumed["outcome"] == "completed"
    assert rsync_differences(room / "from", room / "to") == ""
    assert list((room / "to").iterdir()) == [room / "to" / "large.bin"]


def test_a_killed_engine_process_is_started_again_and_goes_on(
    server: RunningServer, room: Path
) -> None:
    _, run_id = start_large(server, room, "6M")
    wait_for_partial(room / "to", SIZE // 4)
    engine = event_of(server, run_id, "engine_started")["engine"]["pid"]

    os.killpg(engine, signal.SIGKILL)

    run = server.wait_for_end(run_id)
    assert (run["outcome"], run["attempts"]) == ("completed", 2)
    # rsync killed in this way cannot remove its temporary file: the runner keeps it as a partial
    # one, so that less is sent than the file and what was sent before.
    assert run["bytes_sent"] < 1.2 * SIZE
    assert rsync_differences(room / "from", room / "to") == ""
    (retry,) = [line for line in server.journal(run_id) if line["event"] == "retry_scheduled"]
    assert (retry["next_attempt"], retry["max_attempts"]) == (2, 10)


def test_a_dead_runner_is_noticed_beside_a_busy_one(server: RunningServer, room: Path) -> None:
    busy_id, _ = start_large(server, room / "busy", "1M")
    job_id, run_id = start_large(server, room / "dead", "1M")
    runner = event_of(server, run_id, "run_started")["runner"]["pid"]
    wait_for_partial(room / "dead" / "to", SIZE // 16)

    os.kill(runner, signal.SIGKILL)

    wait_for_status(server, job_id, "interrupted", seconds=3)
    assert server.state(busy_id)["status"] == "running"


def test_the_end_of_the_server_leaves_no_process_of_its_own(server: RunningServer) -> None:
    assert server.process is not None
    group = server.process.pid
    server.terminate()

    assert processes_of("no run", group=group) == []
