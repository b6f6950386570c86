"""The server is killed again and again while many runs are under way: each goes on, is adopted
within two seconds, and comes to its right end, with no event of its journal lost or counted twice.

Twenty runs and four kills within `make test`, fifty and ten in `make chaos`.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.journal_fold import lines_shown
from tests.integration.live import live, shows
from tests.integration.running import seconds_since_epoch, start_ticks
from tests.support import RunningServer, make_large_file, rsync_differences, wait_until

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("rsync"),
]
RUNS = 50 if os.environ.get("LONGSHORE_CHAOS") == "full" else 20
KILLS = 10 if RUNS > 20 else 4
ADOPTION_SECONDS = 2.0
RATE = 100 * 1024
FIRST_SECONDS, SHORTEST_SECONDS, LONGEST_SECONDS, SECOND_RUN_SECONDS = 4, 30, 36, 20
"""Of transfers at that rate: of their first file, of the shortest one and of the longest one, and
of a run that is started in the place of one that has ended too soon."""
GONE_FILES = 3
LONGEST_LIFE_SECONDS = 0.5
Engines = dict[str, tuple[int, int]]
"""Of each run: the pid of its engine process, and when it began."""


@dataclass
class Vessel:
    """One job, and its run under way."""

    job_id: str
    source: Path
    destination: Path
    loses_files: bool
    """Whether files of its source go away while it runs: its outcome is a warning."""
    run_id: str = ""
    lines_shown: int = 0

    @property
    def expected(self) -> tuple[str, int, int]:
        """The outcome, the attempts and the files that failed."""
        return ("warning", 1, GONE_FILES) if self.loses_files else ("completed", 1, 0)


class Fleet:
    """The jobs of one server, each with a run under way."""

    def __init__(self, server: RunningServer, room: Path) -> None:
        self._server = server
        self.vessels = [self._build(room, number) for number in range(RUNS)]

    def set_sail(self) -> Engines:
        """Start every job that does not run; returns the engine processes once all are under way.

        On a slow machine some come to their end before the last kill.
        """
        while True:
            idle = [one for one in self.vessels if not one.run_id or self.has_ended(one)]
            for vessel in idle:
                self._start(vessel)
            engines = self.engines()
            if len(engines) == RUNS:
                return engines

    def has_ended(self, vessel: Vessel) -> bool:
        """Whether a run has left its result."""
        return (self._server.data_dir / "runs" / vessel.run_id / "result.json").exists()

    def ended_count(self) -> int:
        """How many runs have left their result."""
        return sum(map(self.has_ended, self.vessels))

    def engines(self) -> Engines:
        """Return the engine process of each transfer under way, as the kernel knows it.

        Fails when one is gone before its transfer has ended, or was started again.
        """
        found = {}
        for vessel in self.vessels:
            (started,) = self._events(vessel, "engine_started")
            pid = started["engine"]["pid"]
            try:
                found[vessel.run_id] = (pid, start_ticks(pid))
            except FileNotFoundError:
                wait_until(lambda at=vessel: self._has_transferred(at), what="its transfer's end")  # type: ignore[misc]
        return found

    def check_engines(self, before: Engines) -> None:
        """Check that those of before are the same ones still, or have done their work."""
        now = self.engines()
        for vessel in self.vessels:
            identity = now.get(vessel.run_id)
            assert identity == before[vessel.run_id] or self._has_transferred(vessel)

    def wait_for_adoption(self, restarted: float) -> None:
        """Wait until every run has a live process that holds its lock, and something that it wrote
        after the server's start is shown."""

        missing: dict[str, dict[str, Any]] = {}

        def all_adopted() -> bool:
            states = {job["id"]: job["state"] for job in self._server.jobs()}
            held = held_inodes()
            missing.clear()
            for vessel in self.vessels:
                state = states[vessel.job_id]
                if not self._is_adopted(vessel, state, held, restarted):
                    missing[vessel.run_id] = state
            return not missing

        try:
            wait_until(all_adopted, seconds=ADOPTION_SECONDS)
        except AssertionError:
            raise AssertionError(f"{len(missing)} of {RUNS} are not adopted: {missing}") from None

    def check_figures(self) -> None:
        """Compare what is shown of each run with its journal; what is shown never goes back."""
        for vessel in self.vessels:
            run = self._server.run(vessel.run_id)
            shown = lines_shown(self._server.journal(vessel.run_id), run)
            assert shown >= vessel.lines_shown, "what is shown of a run went back"
            vessel.lines_shown = shown

    def check_end(self, vessel: Vessel) -> None:
        """Check the outcome of a run, every figure of it, its pages and its copy."""
        run = self._server.wait_for_end(vessel.run_id, seconds=LONGEST_SECONDS + 60)
        assert (run["outcome"], run["attempts"], run["files_failed"]) == vessel.expected
        journal = self._server.journal(vessel.run_id)
        assert lines_shown(journal, run) == len(journal)
        kinds = [line["event"] for line in journal]
        assert kinds.count("engine_started") == kinds.count("run_ended") == 1
        wait_until(
            lambda: self._server.state(vessel.job_id)["status"] == "completed", what="its state"
        )
        for page in (f"/jobs/{vessel.job_id}", f"/runs/{vessel.run_id}"):
            assert f'data-status="{run["outcome"]}"' in self._server.http.get(page).text
        assert rsync_differences(vessel.source, vessel.destination) == ""

    def _start(self, vessel: Vessel) -> None:
        if vessel.run_id:
            self.check_end(vessel)
            shutil.rmtree(vessel.destination)
            os.truncate(vessel.source / "c-second", RATE * (SECOND_RUN_SECONDS - FIRST_SECONDS))
        gone = [vessel.source / f"b-gone-{number}" for number in range(GONE_FILES)]
        for path in gone if vessel.loses_files else ():
            path.write_text("soon gone")
        listed = vessel.source.stat()
        vessel.lines_shown = 0
        vessel.run_id = self._server.start_job(vessel.job_id)
        # rsync has listed the whole source when it writes the first file, and takes its time.
        wait_until(lambda: list(vessel.destination.glob("*")), what="its first file")
        for path in gone if vessel.loses_files else ():
            path.unlink()
        os.utime(vessel.source, ns=(listed.st_atime_ns, listed.st_mtime_ns))

    def _events(self, vessel: Vessel, kind: str) -> list[dict[str, Any]]:
        journal = self._server.journal(vessel.run_id)
        return [line for line in journal if line["event"] == kind]

    def _has_transferred(self, vessel: Vessel) -> bool:
        return "transfer" in {line["name"] for line in self._events(vessel, "phase_ended")}

    def _is_adopted(
        self, vessel: Vessel, state: dict[str, Any], held: set[int], restarted: float
    ) -> bool:
        assert state["run_id"] == vessel.run_id
        if self.has_ended(vessel):
            return bool(state["status"] == "completed")
        assert state["status"] == "running" or self.has_ended(vessel), state
        progress = state["progress"]
        is_shown = bool(progress) and seconds_since_epoch(progress["updated_at"]) > restarted
        lock = self._server.data_dir / "runs" / vessel.run_id / "lock"
        return is_shown and lock.stat().st_ino in held

    def _build(self, room: Path, number: int) -> Vessel:
        source, destination = room / f"from-{number}", room / f"to-{number}"
        seconds = SHORTEST_SECONDS + (LONGEST_SECONDS - SHORTEST_SECONDS) * number / RUNS
        for name, length in (("a-first", FIRST_SECONDS), ("c-second", seconds - FIRST_SECONDS)):
            path = make_large_file(source / name, megabytes=5, seed=number)
            os.truncate(path, int(RATE * length))
        job_id = self._server.create_job(
            source,
            destination,
            name=f"Vessel {number}",
            options={"bandwidth_limit": f"{RATE // 1024}K"},
            verification="checksum",
        )
        return Vessel(job_id, source, destination, loses_files=number % 4 == 0)


def held_inodes() -> set[int]:
    """Return the inodes that are locked by flock: as long as a process lives that holds them."""
    with open("/proc/locks", encoding="ascii") as file:
        entries = [line.split() for line in file]
    return {int(entry[5].rpartition(":")[2]) for entry in entries if entry[1] == "FLOCK"}


async def check_cards(server: RunningServer, fleet: Fleet) -> None:
    """Check that a browser that comes is told the final state of every job."""
    async with live(server) as client:
        await client.send(subscribe=[vessel.job_id for vessel in fleet.vessels])
        missing = {shows(vessel.job_id, vessel.expected[0]) for vessel in fleet.vessels}
        while missing:
            frame = await client.receive()
            missing = {is_shown for is_shown in missing if not is_shown(frame)}


def test_every_run_outlives_ten_servers(
    make_server: Callable[..., RunningServer], room: Path, tell: Callable[[str], None]
) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="100")
    fleet = Fleet(server, room)
    generator = random.Random(1)
    adoptions, starts = [], []

    for _ in range(KILLS):
        time.sleep(generator.random() * LONGEST_LIFE_SECONDS)  # The fault is its random moment.
        engines = fleet.set_sail()
        server.kill()
        fleet.check_engines(engines)
        began = time.monotonic()
        server.start()
        answered, restarted = time.monotonic(), time.time()
        fleet.wait_for_adoption(restarted)
        adoptions.append(time.monotonic() - answered)
        starts.append(answered - began)
        fleet.check_engines(engines)
        fleet.check_figures()

    # Some come to their end while they are followed, some while no server is there.
    wait_until(lambda: fleet.ended_count() >= RUNS // 3, seconds=120, what="the first ends")
    server.kill()
    wait_until(lambda: fleet.ended_count() >= RUNS * 2 // 3, seconds=120, what="further ends")
    server.start()
    for vessel in fleet.vessels:
        fleet.check_end(vessel)
    asyncio.run(check_cards(server, fleet))
    tell(
        f"{KILLS} kills with {RUNS} runs under way, none lost; all adopted "
        f"{', '.join(f'{seconds:.2f}' for seconds in adoptions)} s after the first answer, "
        f"which came {min(starts):.2f} to {max(starts):.2f} s after the start"
    )
