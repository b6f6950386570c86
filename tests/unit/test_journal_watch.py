"""Proves what is heard of journals: what is written, that one is closed, and all of it again after
the listening ended and began anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fastapi_app.journal_watch import JournalWatch

SECONDS = 5.0


class Runs:
    """Directories of runs, with journals that are written by hand."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def path_of(self, run_id: str) -> Path:
        """Return the directory of a run."""
        return self._top / run_id

    def write(self, run_id: str) -> None:
        """Write a line, and close the journal as a runner that ends does."""
        self.path_of(run_id).mkdir(exist_ok=True)
        with (self.path_of(run_id) / "journal.jsonl").open("a") as file:
            file.write("{}\n")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Two runs whose journals have a line each."""
    made = Runs(tmp_path)
    made.write("one")
    made.write("two")
    return made


async def heard(watch: JournalWatch, count: int = 1) -> set[str]:
    """Return the runs that were heard of, so many of them."""
    found: set[str] = set()
    while len(found) < count:
        written = await watch.written(SECONDS)
        assert written, "heard nothing"
        found |= written
    return found


async def test_what_is_there_counts_as_written_and_then_what_is_written(runs: Runs) -> None:
    watch = JournalWatch(runs.path_of)
    watch.follow("one")
    watch.follow("two")
    async with watch.listening(("one", "two")):
        assert await heard(watch, 2) == {"one", "two"}
        runs.write("two")
        assert await heard(watch) == {"two"}
        await asyncio.wait_for(watch.rest(60.0), SECONDS)


async def test_a_run_that_is_forgotten_is_not_heard_of(runs: Runs) -> None:
    watch = JournalWatch(runs.path_of)
    for run_id in ("one", "two"):
        watch.follow(run_id)
    async with watch.listening(("one", "two")):
        await heard(watch, 2)
        watch.forget("one")
        watch.forget("one")
        runs.write("one")
        runs.write("two")
        assert await heard(watch) == {"two"}


async def test_a_journal_that_cannot_be_watched_is_looked_at_once(runs: Runs) -> None:
    watch = JournalWatch(runs.path_of)
    watch.follow("without a directory")
    assert await watch.written(SECONDS) == {"without a directory"}
    watch.forget("without a directory")


async def test_who_waits_is_woken_for_nothing_and_in_time(runs: Runs) -> None:
    watch = JournalWatch(runs.path_of)
    assert await watch.written(-1.0) == set()
    watch.wake()
    assert await watch.written(None) == set()
    await watch.rest(0.0)


async def test_begun_anew_it_hears_of_what_was_followed_meanwhile(runs: Runs) -> None:
    watch = JournalWatch(runs.path_of)
    watch.follow("one")
    async with watch.listening(("one",)):
        await heard(watch)
    watch.follow("two")
    assert await heard(watch) == {"two"}
    watch.forget("one")
    async with watch.listening(("one", "two")):
        assert await heard(watch, 2) == {"one", "two"}
        runs.write("one")
        runs.write("two")
        assert await heard(watch, 2) == {"one", "two"}
