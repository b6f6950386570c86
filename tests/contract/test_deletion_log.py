"""The contract of a DeletionLog, held by the record in SQLite and by the one in memory alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from core.ports import DeletionLog
from models.deleted_sources import DeletingRun
from models.source_deletions import RECORD_NAME, Deletion, DeletionOutcome
from storage.database import Database
from storage.deletion_repository import DeletionRepository
from tests.fakes.builders import NOON
from tests.fakes.deletion_logs import InMemoryDeletionLog

LATER = "2026-12-24T12:00:00.000Z"
DELETED, TRASHED = DeletionOutcome.DELETED, DeletionOutcome.TRASHED
KEPT, CUT_OFF = DeletionOutcome.KEPT, DeletionOutcome.INTENDED


class Scene(NamedTuple):
    """A log, and what makes a run leave its record."""

    log: DeletionLog
    leave: Callable[[str, list[Deletion]], None]


def lines_of(deletions: list[Deletion]) -> str:
    """Return a record as a runner writes it: what it intends, then what became of it."""
    told: list[dict[str, object]] = [{"format": 1}]
    for one in deletions:
        known = {"n": one.number, "path": one.path, "t": one.time}
        proof = {"size": one.size, "mtime_ns": one.mtime_ns, "hash": one.hash}
        why = {"reason": one.reason} if one.reason else {}
        if one.outcome == KEPT:
            told.append(known | why | {"outcome": KEPT})
            continue
        told.append(known | proof | {"outcome": CUT_OFF})
        if one.outcome != CUT_OFF:
            told.append({"n": one.number, "outcome": one.outcome, "t": one.time} | why)
    return "".join(json.dumps(line) + "\n" for line in told)


@pytest_asyncio.fixture(params=["sqlite", "memory"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty log."""
    if request.param == "memory":
        memory = InMemoryDeletionLog()
        yield Scene(memory, memory.records.__setitem__)
        return

    def leave(run_id: str, deletions: list[Deletion]) -> None:
        directory = tmp_path / "runs" / run_id
        directory.mkdir(parents=True)
        (directory / RECORD_NAME).write_text(lines_of(deletions))

    database = await Database.open(tmp_path)
    yield Scene(DeletionRepository(database, tmp_path), leave)
    await database.close()


def a_run(run_id: str = "run-1", *, trash_until: str | None = None) -> DeletingRun:
    """Return a run that deletes."""
    return DeletingRun(run_id, "photos-0001", "Photos", "/srv", "/mnt", NOON, trash_until)


def one(number: int, outcome: str, path: str | None = None, reason: str | None = None) -> Deletion:
    """Return a source with what became of it."""
    if outcome == KEPT:
        return Deletion(number, path or f"file {number}", outcome, NOON, reason=reason or "why")
    proof = {"size": number, "mtime_ns": 10**18, "hash": "sha256:ab"}
    return Deletion(number, path or f"file {number}", outcome, NOON, reason=reason, **proof)  # type: ignore[arg-type]


async def test_what_a_run_left_is_counted(scene: Scene) -> None:
    outcomes = (DELETED, DELETED, TRASHED, KEPT, CUT_OFF)
    scene.leave("run-1", [one(number, outcome) for number, outcome in enumerate(outcomes, 1)])

    await scene.log.take(a_run(trash_until=LATER))

    run = await scene.log.run("run-1")
    assert run is not None
    assert (run.deleted, run.trashed, run.kept, run.restored, run.cut_off) == (2, 1, 1, 0, 1)
    assert (run.job_name, run.source, run.ended_at) == ("Photos", "/srv", NOON)
    assert (run.trash_until, run.can_be_put_back) == (LATER, True)


async def test_a_run_that_left_no_record_is_not_known(scene: Scene) -> None:
    await scene.log.take(a_run())
    assert await scene.log.run("run-1") is None


async def test_taken_again_it_is_as_it_was(scene: Scene) -> None:
    scene.leave("run-1", [one(1, TRASHED), one(2, TRASHED)])
    await scene.log.take(a_run())
    await scene.log.note_put_back("run-1", [(b"file 1", None)], now=LATER, is_all=True)
    noted = await scene.log.run("run-1")

    await scene.log.take(a_run())

    assert await scene.log.run("run-1") == noted
    assert noted is not None
    assert (noted.trashed, noted.restored) == (1, 1)


async def test_what_is_in_the_trash_is_told_with_names_as_on_disk(scene: Scene) -> None:
    odd = "\x1b \udcff\n<b>"
    outcomes = (DELETED, TRASHED, KEPT, CUT_OFF, TRASHED)
    scene.leave("run-1", [one(n, outcome, f"{odd}{n}") for n, outcome in enumerate(outcomes, 1)])
    await scene.log.take(a_run())

    found: list[Deletion] = []
    while some := await scene.log.in_trash("run-1", after=found[-1].number if found else 0):
        found += some

    assert [(one.number, one.path) for one in found] == [(n, f"{odd}{n}") for n in (2, 4, 5)]
    assert found[0].size == 2


async def test_what_was_put_back_and_what_stays_is_noted(scene: Scene) -> None:
    scene.leave(
        "run-1", [one(1, TRASHED, "a\udcff"), one(2, CUT_OFF), one(3, DELETED), one(4, KEPT)]
    )
    await scene.log.take(a_run(trash_until=LATER))

    results = [(b"a\xff", None), (b"file 2", "It is taken."), (b"file 3", None), (b"file 4", None)]
    await scene.log.note_put_back("run-1", results, now=LATER, is_all=False)
    await scene.log.note_put_back("run-1", [(b"nobody", None)], now=LATER, is_all=True)

    run = await scene.log.run("run-1")
    assert run is not None
    # What never was in the trash was not put back out of it.
    assert (run.restored, run.trashed, run.deleted, run.kept, run.cut_off) == (1, 1, 1, 1, 0)
    (left,) = await scene.log.in_trash("run-1", after=0)
    assert (left.path, left.outcome, left.reason, left.time) == (
        "file 2",
        TRASHED,
        "It is taken.",
        LATER,
    )


async def test_trash_is_due_when_its_days_are_over_and_until_it_was_emptied(scene: Scene) -> None:
    scene.leave("run-1", [one(1, TRASHED)])
    scene.leave("run-2", [one(1, DELETED)])
    scene.leave("run-3", [one(1, TRASHED)])
    for run_id, until in (("run-1", LATER), ("run-2", LATER), ("run-3", None)):
        await scene.log.take(a_run(run_id, trash_until=until))

    assert await scene.log.trash_due(NOON) == ()
    assert [run.run_id for run in await scene.log.trash_due(LATER)] == ["run-1"]
    await scene.log.note_purged("run-1", now=LATER)
    assert await scene.log.trash_due(LATER) == ()
    run = await scene.log.run("run-1")
    assert run is not None
    assert (run.purged_at, run.trashed, run.can_be_put_back) == (LATER, 1, False)


@pytest.mark.parametrize(
    "odd", [one(2, TRASHED, reason="It could not be put back."), one(2, CUT_OFF)]
)
async def test_trash_with_something_unproven_in_it_is_never_due(
    scene: Scene, odd: Deletion
) -> None:
    scene.leave("run-1", [one(1, TRASHED), odd])
    await scene.log.take(a_run(trash_until=NOON))

    assert await scene.log.trash_due(LATER) == ()
    run = await scene.log.run("run-1")
    assert run is not None
    assert (run.unproven, run.can_be_put_back) == (1, True)
