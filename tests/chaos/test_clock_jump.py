"""Proves that a clock which is set in mid-run upsets nothing: no duration, time-out, order or page.

libfaketime shows the server, its runners and their tools another time of day; what the kernel
counts from boot stays true, as it does when a real clock is set.
"""

from __future__ import annotations

import asyncio
import glob
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastapi_app import formatting
from tests.conftest import need
from tests.integration.live import live, shows
from tests.integration.pages import Page
from tests.integration.running import (
    event_of,
    run_to_end,
    seconds_since_epoch,
    wait_for_bytes,
    wait_for_partial,
    wait_for_status,
)
from tests.support import (
    RunningServer,
    make_large_file,
    make_tree,
    rsync_differences,
    wait_until,
)

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
Tell = Callable[[str], None]
HOUR = 3600
JUMPS = pytest.mark.parametrize(
    "jump", [-HOUR, pytest.param(HOUR, marks=pytest.mark.long)], ids=["back", "forward"]
)
MEGABYTES = 6
SIZE = MEGABYTES * 1024 * 1024
THROTTLED = {"bandwidth_limit": "800K"}
SLOW = {"bandwidth_limit": "300K"}


class SetClock:
    """The time of day as the processes with this environment see it."""

    def __init__(self, library: str, path: Path) -> None:
        self._path = path
        self.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(path),
            # It looks at the file once a second: each time that somebody asks for the time would
            # cost more than all else that the processes do.
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # A clock that is set changes no file's times.
            "NO_FAKE_STAT": "1",
        }
        self.set_by(0)

    def set_by(self, seconds: int) -> None:
        """Set it so many seconds off the true time, within a second for all; never half written."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._path)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[SetClock]:
    """A clock that a test may set."""
    libraries = [
        path
        for folder in ("/usr/lib*/faketime", "/usr/lib/*/faketime")
        for path in glob.glob(f"{folder}/libfaketimeMT.so.1")
    ]
    need("libfaketime", libraries)
    yield SetClock(libraries[0], tmp_path / "clock")
    # A process that was killed could not remove what libfaketime shares in memory.
    for path in Path("/dev/shm").glob("*faketime_s*_*"):
        pid = path.name.rpartition("_")[2]
        if not Path("/proc", pid).exists():
            path.unlink(missing_ok=True)


def start_large(server: RunningServer, room: Path, **fields: Any) -> tuple[str, str]:
    """Create and start a job of one large file; returns the ids of job and run."""
    make_large_file(room / "from" / "large.bin", megabytes=MEGABYTES)
    fields = {"options": THROTTLED, "verification": "checksum", **fields}
    job_id = server.create_job(room / "from", room / "to", **fields)
    return job_id, server.start_job(job_id)


def steps_of(journal: list[dict[str, Any]]) -> list[int]:
    """Return the whole hours between the lines of a journal that are further apart than half one;
    so a test knows that the runner's clock jumped."""
    times = [seconds_since_epoch(line["t"]) for line in journal]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return [round(gap / HOUR) for gap in gaps if abs(gap) > HOUR / 2]


@JUMPS
async def test_a_transfer_whose_clock_is_set(
    make_server: MakeServer,
    clock: SetClock,
    room: Path,
    tell: Tell,
    jump: int,
) -> None:
    server = make_server(**clock.environment)
    async with live(server) as client:
        began = time.monotonic()
        job_id, run_id = start_large(server, room)
        await client.send(subscribe=[job_id])
        # Read from the disk: on a busy machine a page may be some seconds behind.
        await asyncio.to_thread(wait_for_partial, room / "to", SIZE // 8)
        clock.set_by(jump)
        await client.until(shows(job_id, "completed"), seconds=60)
        elapsed = time.monotonic() - began

    journal = server.journal(run_id)
    assert steps_of(journal) == [jump // HOUR], "the clock did not jump in mid-run"
    percents = [patch["percent"] or 0 for patch in client.patches_of(job_id)]
    assert percents == sorted(percents)
    # Half of the file was sent after the jump: the page saw it come.
    assert len({percent for percent in percents if 50 < percent < 100}) >= 3, percents
    times_left = [line["progress"]["eta_seconds"] for line in journal if "progress" in line]
    assert all(0 <= left < HOUR / 2 for left in times_left if left is not None)
    assert any(left is not None for left in times_left)

    run = server.run(run_id)
    assert (run["outcome"], run["attempts"], run["bytes_done"]) == ("completed", 1, SIZE)
    assert not [line for line in journal if line["event"] == "retry_scheduled"]
    assert rsync_differences(room / "from", room / "to") == ""
    durations = {phase["name"]: phase["duration_seconds"] for phase in run["phases"]}
    assert list(durations) == ["preflight", "transfer", "settle", "verify"]
    assert min(durations.values()) >= 0
    # At this rate it cannot have been quicker; it cannot have been slower than the test saw it.
    assert SIZE / 819_200 / 2 < durations["transfer"] < run["duration_seconds"] < elapsed
    assert_shown(server, job_id, run)
    tell(f"clock set by {jump:+d} s: {run['duration_seconds']:.1f} s shown of {elapsed:.1f} s")


def assert_shown(server: RunningServer, job_id: str, run: dict[str, Any]) -> None:
    """Check that pages and command line tell the true durations."""
    took = formatting.duration(run["duration_seconds"])
    page = Page(server.http.get(f"/runs/{run['id']}").text).text
    assert f"took {took}" in page
    for phase in run["phases"]:
        assert formatting.duration(phase["duration_seconds"]) in page
    assert f' UTC, {took}"' in server.http.get(f"/jobs/{job_id}").text
    assert took in Page(server.http.get("/runs").text).text
    assert took in server.cli("runs", "show", run["id"]).stdout


@pytest.mark.long
@JUMPS
def test_a_stop_and_a_wait_after_the_clock_was_set(
    make_server: MakeServer, clock: SetClock, room: Path, jump: int
) -> None:
    server = make_server(**clock.environment)
    retry = {"max_attempts": 5, "first_delay_seconds": 2, "max_delay_seconds": 2}
    job_id, run_id = start_large(server, room, options=SLOW, retry=retry)
    engine = event_of(server, run_id, "engine_started")["engine"]["pid"]
    wait_for_bytes(server, job_id, SIZE // 20)
    os.killpg(engine, signal.SIGKILL)
    event_of(server, run_id, "retry_scheduled")

    clock.set_by(jump)

    def of_second_attempt() -> list[dict[str, Any]]:
        lines = server.journal(run_id)
        starts = [n for n, line in enumerate(lines) if line["event"] == "engine_started"]
        return lines[starts[1] :] if len(starts) > 1 else []

    def at_work() -> bool:
        return [line["event"] for line in of_second_attempt()].count("progress") > 2

    wait_until(at_work, what="progress of the second attempt")
    assert of_second_attempt()[0]["attempt"] == 2
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    wait_for_status(server, job_id, "paused")
    run = server.run(run_id)
    assert (run["outcome"], run["attempts"]) == ("paused", 2)
    assert 0 < run["duration_seconds"] < HOUR / 2
    assert steps_of(server.journal(run_id)) == [jump // HOUR]
    # Told to stop, rsync keeps its partial file; killed it could not.
    assert run["exit_code"] == 20


@pytest.mark.long
@pytest.mark.parametrize("restarts", [False, True])
def test_who_waited_first_goes_first_though_the_clock_was_set_back(
    make_server: MakeServer, clock: SetClock, room: Path, restarts: bool
) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="1", **clock.environment)
    small = make_tree(room / "small", files=5)
    waiting = [server.create_job(small, room / f"to {number}") for number in range(3)]
    job_id, _ = start_large(server, room, options=SLOW)
    wait_for_bytes(server, job_id, 1)
    run_ids = []
    for hours, waiting_id in enumerate(waiting):
        clock.set_by(-hours * HOUR)
        run_ids.append(server.start_job(waiting_id))
        assert server.state(waiting_id)["status"] == "queued"

    if restarts:
        server.kill()
        server.start()
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    ended = [server.wait_for_end(waiting_run) for waiting_run in run_ids]

    assert [run["outcome"] for run in ended] == ["completed"] * 3
    # By the kernel's count from boot, which nobody sets.
    starts = [event_of(server, one, "run_started")["runner"]["start_ticks"] for one in run_ids]
    assert starts == sorted(starts)


@pytest.mark.long
def test_the_newest_run_is_the_newest_though_the_clock_was_set_back(
    make_server: MakeServer, clock: SetClock, room: Path
) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="1", **clock.environment)
    job_id = server.create_job(make_tree(room / "small", files=5), room / "to")
    run_ids = []
    for hours in range(3):
        clock.set_by(-hours * HOUR)
        run_ids.append(run_to_end(server, job_id)["id"])

    def history() -> list[str]:
        items = server.http.get(f"/api/v1/jobs/{job_id}/runs?limit=200").json()["items"]
        return [run["id"] for run in items]

    assert history() == [*reversed(run_ids)]
    # A queued run that is withdrawn leaves the job as the run before it did.
    large_id, _ = start_large(server, room / "large", options=SLOW)
    withdrawn = server.start_job(job_id)
    assert history()[0] == withdrawn
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    state = server.state(job_id)
    assert (state["status"], state["run_id"]) == ("completed", run_ids[-1])
    assert server.http.post(f"/api/v1/jobs/{large_id}/stop").status_code == 202
