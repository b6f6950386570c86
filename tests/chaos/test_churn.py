"""Many short runs without a pause, and many runs started and stopped: nothing piles up.

No zombie, no process of a run, no descriptor, no inotify watch, no memory. 50 short runs within
`make test`, 1,000 in `make chaos`; 100 starts and stops there, 50 here.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.run_processes import living_processes
from tests.support import (
    ENDED,
    RunningServer,
    make_large_file,
    make_tree,
    rsync_differences,
    wait_until,
)

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("rsync"),
]
Tell = Callable[[str], None]
SHORT_RUNS = 1000 if os.environ.get("LONGSHORE_CHAOS") == "full" else 50
STOPPED_RUNS = 100 if SHORT_RUNS > 50 else 50
WARM_UP_RUNS = 20
"""Before the first measurement: code is imported, threads are there, caches have their first
entries, and every job has run."""
JOBS_AT_ONCE = 8
CALM_SECONDS = 5.0
MORE_DESCRIPTORS = 2
MORE_BYTES = 8 * 1024 * 1024
LONGEST_LIFE_SECONDS = 0.3
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Holdings:
    """What a server holds, as the kernel tells it."""

    descriptors: int
    watches: int
    resident_bytes: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.watches} watches, {self.threads} threads, "
            f"{self.resident_bytes / 2**20:.1f} MiB"
        )


def holdings_of(server: RunningServer) -> Holdings:
    """Measure a server."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    return Holdings(
        descriptors=process.num_fds(),
        watches=watches_of(process.pid),
        resident_bytes=process.memory_info().rss,
        threads=process.num_threads(),
    )


def watches_of(pid: int) -> int:
    """Count the inotify watches of a process (proc(5), /proc/<pid>/fdinfo)."""
    files = Path(f"/proc/{pid}/fdinfo").iterdir()
    return sum(file.read_text().count("inotify wd:") for file in files)


def zombies_of(server: RunningServer) -> list[psutil.Process]:
    """Return the ended children that the server has not waited for."""
    assert server.process is not None
    children = psutil.Process(server.process.pid).children(recursive=True)
    return [child for child in children if child.status() == psutil.STATUS_ZOMBIE]


def identities_in(server: RunningServer, run_id: str) -> set[tuple[int, int]]:
    """Return every process that a run's journal tells of: its pid and start time."""
    told = (line.get("runner") or line.get("engine") for line in server.journal(run_id))
    return {(one["pid"], one["start_ticks"]) for one in told if one}


def still_there(identities: set[tuple[int, int]]) -> list[int]:
    """Return the pids of those that the kernel knows still, zombies included."""
    return [pid for pid, began in identities if start_of(pid) == began]


def start_of(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot, or None when there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


class Churn:
    """The jobs of one server, kept busy without a pause."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._cold = holdings_of(server)
        self._warm = self._cold
        self._stop_at: dict[str, float] = {}
        self._identities: set[tuple[int, int]] = set()
        self._begun: dict[str, str] = {}
        self.outcomes: Counter[str] = Counter()

    def run(self, count: int, *, lifetime: Callable[[], float] | None = None) -> None:
        """Start this many runs, each job again as soon as it is at rest, and see them end.

        With a lifetime (seconds) each is stopped when it has run for so long.
        """
        started = 0
        while started < count or self._begun:
            for job in self._server.jobs():
                state = job["state"]
                if state["status"] in {*ENDED, "pending"}:
                    self._note_end(job["id"], state)
                    if started < count:
                        started += 1
                        self._begun[job["id"]] = self._server.start_job(job["id"])
                        if lifetime is not None:
                            self._stop_at[job["id"]] = time.monotonic() + lifetime()
                elif state["status"] == "running":
                    self._stop_if_due(job["id"])
            time.sleep(
                _POLL_SECONDS
            )  # Asked without a break the server would have no time to work.

    def warm_up(self, *, lifetime: Callable[[], float] | None = None) -> None:
        """Do some runs, and take the measure that all others are compared with."""
        self.run(WARM_UP_RUNS, lifetime=lifetime)
        self._warm = holdings_of(self._server)

    def check_nothing_piled_up(self) -> str:
        """Check that the server holds no more than when it was warm, and that no process is left;
        returns what it held."""
        try:
            wait_until(self._is_calm, seconds=CALM_SECONDS)
        except AssertionError:
            left = still_there(self._identities), zombies_of(self._server)
            raise AssertionError(f"{self._figures()}; left: {left}") from None
        more = holdings_of(self._server).resident_bytes - self._warm.resident_bytes
        assert more < MORE_BYTES, self._figures()
        for directory in (self._server.data_dir / "runs").glob("*/"):
            assert living_processes(directory) == {}
        return self._figures()

    def _is_calm(self) -> bool:
        now = holdings_of(self._server)
        return (
            now.descriptors <= self._warm.descriptors + MORE_DESCRIPTORS
            and now.watches <= self._cold.watches
            and not zombies_of(self._server)
            and not still_there(self._identities)
        )

    def _figures(self) -> str:
        return f"{self._cold} at first; {self._warm} warm; {holdings_of(self._server)} after"

    def _note_end(self, job_id: str, state: dict[str, Any]) -> None:
        run_id = self._begun.pop(job_id, None)
        if run_id is not None:
            assert state["run_id"] == run_id
            self._identities |= identities_in(self._server, run_id)
            self.outcomes[state["status"]] += 1

    def _stop_if_due(self, job_id: str) -> None:
        if time.monotonic() >= self._stop_at.get(job_id, float("inf")):
            del self._stop_at[job_id]
            assert self._server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202


@pytest.fixture
def server(make_server: Callable[..., RunningServer]) -> RunningServer:
    """A server that lets all jobs of a test run at once."""
    return make_server(LONGSHORE_MAX_CONCURRENT_RUNS=str(JOBS_AT_ONCE))


def make_jobs(server: RunningServer, room: Path, **fields: Any) -> None:
    """Create some jobs of the same source."""
    for number in range(JOBS_AT_ONCE):
        server.create_job(room / "from", room / f"to-{number}", name=f"Job {number}", **fields)


def test_short_runs_in_a_row(server: RunningServer, room: Path, tell: Tell) -> None:
    make_tree(room / "from", files=20)
    make_jobs(server, room, verification="checksum")
    churn = Churn(server)
    churn.warm_up()

    churn.run(SHORT_RUNS)

    figures = churn.check_nothing_piled_up()
    assert churn.outcomes == {"completed": WARM_UP_RUNS + SHORT_RUNS}
    for number in range(JOBS_AT_ONCE):
        assert rsync_differences(room / "from", room / f"to-{number}") == ""
    tell(f"{SHORT_RUNS} short runs: {figures}")


def test_starts_and_stops_in_a_row(server: RunningServer, room: Path, tell: Tell) -> None:
    make_large_file(room / "from" / "large.bin", megabytes=8)
    make_jobs(server, room, options={"bandwidth_limit": "64K"})
    generator = random.Random(1)
    churn = Churn(server)

    def lifetime() -> float:
        return generator.random() * LONGEST_LIFE_SECONDS

    churn.warm_up(lifetime=lifetime)

    churn.run(STOPPED_RUNS, lifetime=lifetime)

    figures = churn.check_nothing_piled_up()
    assert churn.outcomes == {"paused": WARM_UP_RUNS + STOPPED_RUNS}
    tell(f"{STOPPED_RUNS} starts and stops: {figures}")
