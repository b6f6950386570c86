"""Proves that a run can be stopped at any time, leaves no process behind, and is resumed cheaply.

Also the queue: further runs wait, can be withdrawn, and begin when there is room.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import (
    event_of,
    processes_of,
    run_to_end,
    wait_for_bytes,
    wait_for_status,
)
from tests.integration.trees import hash_of
from tests.support import (
    RunningServer,
    make_large_file,
    make_tree,
    rsync_differences,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
MEGABYTES = 24
SIZE = MEGABYTES * 1024 * 1024
THROTTLED = {"bandwidth_limit": "6M"}
SLOW = {"bandwidth_limit": "500K"}


def stop(server: RunningServer, job_id: str) -> float:
    """Stop a job; returns how many seconds it took until its run had ended."""
    began = time.monotonic()
    answer = server.http.post(f"/api/v1/jobs/{job_id}/stop")
    assert answer.status_code == 202, answer.text
    wait_for_status(server, job_id, "paused")
    return time.monotonic() - began


def start_and_reach_half(server: RunningServer, job_id: str) -> tuple[str, dict[str, Any]]:
    """Start a job of one large file and wait until nearly half is done."""
    run_id = server.start_job(job_id)
    return run_id, wait_for_bytes(server, job_id, int(SIZE * 0.42))


@pytest.mark.parametrize("verification", ["off", "checksum"])
def test_a_large_file_stopped_at_half_is_resumed_and_not_sent_again(
    shared_server: RunningServer, room: Path, verification: str
) -> None:
    source, destination = room / "from", room / "to"
    large = make_large_file(source / "deep" / "large.bin", megabytes=MEGABYTES)
    job_id = shared_server.create_job(
        source, destination, options=THROTTLED, verification=verification
    )
    first_id, progress = start_and_reach_half(shared_server, job_id)
    engine = event_of(shared_server, first_id, "engine_started")["engine"]["pid"]
    assert processes_of(first_id, group=engine), "the means to find the processes finds none"

    seconds = stop(shared_server, job_id)

    assert seconds < 3
    assert processes_of(first_id, group=engine) == []
    state, first = shared_server.state(job_id), shared_server.run(first_id)
    assert (state["status"], first["outcome"], first["status"]) == ("paused", "paused", "paused")
    assert "resumed" in state["message"]
    assert first["phases"][-1]["outcome"] == "paused"
    assert progress["bytes_done"] <= first["bytes_done"] < SIZE
    assert state["progress"]["percent"] == first["progress"]["percent"] < 100
    assert not (destination / "deep" / "large.bin").exists(), (
        "a cut file stands under its final name"
    )

    second = run_to_end(shared_server, job_id)

    assert second["id"] != first_id
    assert second["outcome"] == "completed"
    assert second["bytes_sent"] < 0.6 * SIZE
    assert second["bytes_done"] == SIZE
    assert hash_of(destination / "deep" / "large.bin") == hash_of(large)
    assert rsync_differences(source, destination) == ""
    left = sorted(path.name for path in destination.rglob("*"))
    assert left == ["deep", "large.bin"]


def test_a_source_named_through_a_link_is_resumed_as_well(
    shared_server: RunningServer, room: Path
) -> None:
    make_large_file(room / "real" / "deep" / "large.bin", megabytes=MEGABYTES)
    source, destination = room / "link", room / "to"
    source.symlink_to(room / "real")
    job_id = shared_server.create_job(source, destination, options=THROTTLED)
    start_and_reach_half(shared_server, job_id)
    stop(shared_server, job_id)

    second = run_to_end(shared_server, job_id)

    assert second["bytes_sent"] < 0.6 * SIZE
    assert rsync_differences(room / "real", destination) == ""


def test_discard_removes_the_partial_files_alone_and_makes_the_job_pending(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a whole file").write_bytes(b"whole")
    make_large_file(source / "sub" / "large.bin", megabytes=MEGABYTES)
    job_id = shared_server.create_job(source, destination, options=THROTTLED)
    start_and_reach_half(shared_server, job_id)
    stop(shared_server, job_id)
    kept = [path for path in destination.rglob("large.bin") if path.stat().st_size]
    assert len(kept) == 1, "nothing partial was kept: the test would prove nothing"

    answer = shared_server.http.post(f"/api/v1/jobs/{job_id}/discard")

    assert answer.status_code == 200
    state = answer.json()["state"]
    assert (state["status"], state["progress"], state["message"]) == ("pending", None, None)
    assert list(destination.rglob("*large*")) == []
    files = [path for path in destination.rglob("*") if not path.is_dir()]
    assert [path.name for path in files] == ["a whole file"]
    assert shared_server.http.post(f"/api/v1/jobs/{job_id}/discard").status_code == 409


def test_a_tool_that_does_not_heed_the_stop_is_killed_after_the_grace_period(
    make_server: MakeServer, room: Path, rsync: str
) -> None:
    folder = room / "bin"
    folder.mkdir()
    deaf = folder / "rsync"
    deaf.write_text(
        f"""#!/bin/sh
        for argument in "$@"; do
            case "$argument" in --dry-run|--version) exec {rsync} "$@";; esac
        done
        trap '' TERM INT HUP
        sleep 60"""
    )
    deaf.chmod(0o755)
    server = make_server(PATH=f"{folder}:{os.environ['PATH']}", LONGSHORE_STOP_GRACE_SECONDS="0.5")
    job_id = server.create_job(make_tree(room / "from", files=3), room / "to")
    run_id = server.start_job(job_id)
    engine = event_of(server, run_id, "engine_started")["engine"]["pid"]

    seconds = stop(server, job_id)

    assert 0.5 <= seconds < 4
    assert processes_of(run_id, group=engine) == []


def test_runs_wait_for_room_can_be_withdrawn_and_begin_in_their_order(
    make_server: MakeServer, room: Path
) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="1")
    large = make_large_file(room / "large" / "file.bin", megabytes=4).parent
    small = make_tree(room / "small", files=5)
    first = server.create_job(large, room / "1", options=SLOW)
    second, third = (server.create_job(small, room / number) for number in "23")
    run_to_end(server, second)

    server.start_job(first)
    withdrawn = server.start_job(second)
    never_begun = server.start_job(third)
    for job_id in (second, third):
        state = server.state(job_id)
        assert (state["status"], bool(state["message"])) == ("queued", True)
        assert server.http.post(f"/api/v1/jobs/{job_id}/start").status_code == 409
    assert server.run(withdrawn)["started_at"] is None

    # The one has been completed before, the other has never run: each is again what it was.
    for job_id, earlier in ((second, "completed"), (third, "pending")):
        assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
        assert server.state(job_id)["status"] == earlier
    for run_id in (withdrawn, never_begun):
        assert server.http.get(f"/api/v1/runs/{run_id}").status_code == 404
        assert not (server.data_dir / "runs" / run_id).exists()
    assert server.state(first)["status"] == "running"

    earlier_run, later_run = server.start_job(third), server.start_job(second)
    stop(server, first)
    ended = [server.wait_for_end(run_id) for run_id in (earlier_run, later_run)]

    assert [run["outcome"] for run in ended] == ["completed", "completed"]
    assert ended[0]["ended_at"] <= ended[1]["started_at"], "two runs were under way at once"


def test_what_waits_goes_on_waiting_through_a_restart(make_server: MakeServer, room: Path) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="1")
    large = make_large_file(room / "large" / "file.bin", megabytes=8).parent
    first = server.create_job(large, room / "1", options=SLOW)
    second = server.create_job(make_tree(room / "small", files=5), room / "2")
    server.start_job(first)
    waiting = server.start_job(second)

    server.kill()
    server.start()

    assert server.state(first)["status"] == "running"
    assert server.state(second)["status"] == "queued"
    stop(server, first)
    assert server.wait_for_end(waiting)["outcome"] == "completed"
    assert rsync_differences(room / "small", room / "2") == ""


def test_a_stop_right_after_the_start_is_heard(shared_server: RunningServer, room: Path) -> None:
    large = make_large_file(room / "large" / "file.bin", megabytes=8).parent
    job_id = shared_server.create_job(large, room / "to", options=SLOW)

    for _ in range(3):
        run_id = shared_server.start_job(job_id)
        assert stop(shared_server, job_id) < 3
        assert shared_server.run(run_id)["outcome"] == "paused"
        wait_until(lambda run_id=run_id: processes_of(run_id) == [], what="its last process")  # type: ignore[misc]
