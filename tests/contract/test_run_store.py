"""The contract of a RunStore, held by the SQLite history and by the one in memory alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.ports import RunStore
from models.errors import RunNotFound
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import MAX_DRY_RUNS, DayTotal, Phase, Run, outline_of
from models.run_history import close_run
from models.run_spec import RunKind
from storage.database import Database
from storage.run_repository import RunRepository
from tests.fakes.builders import a_run
from tests.fakes.stores import InMemoryRunStore


@pytest_asyncio.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunStore]:
    """An empty store."""
    if request.param == "memory":
        yield InMemoryRunStore()
        return
    database = await Database.open(tmp_path)
    yield RunRepository(database)
    await database.close()


def at(minute: int, job_id: str = "photos-0001", **fields: object) -> Run:
    """Return a run that was queued at this minute."""
    queued_at = f"2026-11-23T12:{minute:02d}:00.000Z"
    return a_run(f"{job_id}-{minute:02d}", job_id=job_id, queued_at=queued_at, **fields)


def ended(run: Run, outcome: RunOutcome = RunOutcome.COMPLETED) -> Run:
    """Return the run as ended."""
    return close_run(run, outcome, ended_at="2026-11-23T13:00:00.000Z", message=None)


async def test_a_run_comes_back_as_it_was(store: RunStore) -> None:
    run = replace(
        a_run(),
        status=JobStatus.COMPLETED,
        outcome=RunOutcome.WARNING,
        started_at="2026-11-23T12:00:01.000Z",
        ended_at="2026-11-23T12:00:02.000Z",
        phases=(Phase("transfer", "a", "b", "warning", "Some 🚢\n' files"), Phase("verify", "c")),
        attempts=2,
        bytes_done=2**60,
        bytes_sent=3,
        files_done=4,
        files_skipped=5,
        files_failed=6,
        files_deleted=7,
        exit_code=-9,
        message="why",
        progress=Progress(percent=100.0, current_file="a\\xff"),
        attempt_times=("2026-11-23T12:00:01.000Z", "2026-11-23T12:00:02.000Z"),
    )
    await store.add(run)
    assert await store.get(run.id) == run
    read = (await store.list_runs()).items[0]
    assert read == run
    assert isinstance(read.outcome, RunOutcome)
    assert isinstance(read.status, JobStatus)


async def test_an_unknown_run_is_refused(store: RunStore) -> None:
    with pytest.raises(RunNotFound) as caught:
        await store.get("nobody")
    assert caught.value.run_id == "nobody"
    await store.remove("nobody")


async def test_a_published_run_is_seen_before_it_is_saved(store: RunStore) -> None:
    await store.add(at(1))
    shown = replace(at(1), bytes_done=50)
    store.publish(shown)
    assert await store.get(shown.id) == shown
    assert (await store.list_runs()).items == (shown,)
    assert await store.recent_by_job(["photos-0001"], 5) == {"photos-0001": (shown,)}


async def test_a_saved_end_replaces_what_was_published(store: RunStore) -> None:
    await store.add(at(1))
    store.publish(replace(at(1), bytes_done=50))
    over = ended(replace(at(1), bytes_done=100))
    await store.save(over)
    assert await store.get(over.id) == over
    assert (await store.list_runs()).total == 1


async def test_a_removed_run_is_gone(store: RunStore) -> None:
    await store.add(at(1))
    store.publish(at(1))
    await store.remove(at(1).id)
    with pytest.raises(RunNotFound):
        await store.get(at(1).id)
    assert (await store.list_runs()).total == 0


async def test_pages_are_newest_first_and_leave_nothing_out(store: RunStore) -> None:
    # The clock was set back meanwhile: newest is what was added last.
    runs = [at(minute, job) for minute in (3, 4, 0, 1, 1) for job in ("a", "b")]
    runs = [replace(run, id=f"{run.id}-{number}") for number, run in enumerate(runs)]
    for run in runs:
        await store.add(run)
    await store.save(replace(runs[0], bytes_done=1))
    runs[0] = replace(runs[0], bytes_done=1)
    expected = runs[::-1]
    seen: list[Run] = []
    cursor = None
    while True:
        page = await store.list_runs(limit=3, cursor=cursor)
        assert page.total == 10
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == 3
    assert seen == expected


async def test_a_page_stays_where_it_was_when_a_newer_run_comes(store: RunStore) -> None:
    for minute in range(4):
        await store.add(at(minute))
    first = await store.list_runs(limit=2)
    await store.add(at(9))
    second = await store.list_runs(limit=2, cursor=first.next_cursor)
    assert [run.id for run in second.items] == [at(1).id, at(0).id]
    assert second.next_cursor is None


async def test_the_history_of_one_job(store: RunStore) -> None:
    for minute in range(3):
        await store.add(at(minute, "a"))
        await store.add(at(minute, "b"))
    page = await store.list_runs(job_id="b")
    assert [run.id for run in page.items] == [at(2, "b").id, at(1, "b").id, at(0, "b").id]
    assert page.total == 3
    assert (await store.list_runs(job_id="nobody")).items == ()


@pytest.mark.parametrize(("limit", "length"), [(-5, 1), (0, 1), (1, 1), (2, 2), (10**6, 3)])
async def test_a_limit_is_held_within_bounds(store: RunStore, limit: int, length: int) -> None:
    for minute in range(3):
        await store.add(at(minute))
    assert len((await store.list_runs(limit=limit)).items) == length


@pytest.mark.parametrize("cursor", ["", "nonsense", "'; DROP TABLE runs; --"])
async def test_a_cursor_that_is_none_begins_at_the_start(store: RunStore, cursor: str) -> None:
    await store.add(at(1))
    assert len((await store.list_runs(cursor=cursor)).items) == 1


async def test_recent_runs_are_the_newest_oldest_first(store: RunStore) -> None:
    for minute in range(4):
        await store.add(at(minute, "a"))
    await store.add(at(7, "b"))
    recent = await store.recent_by_job(["a", "b", "nobody"], 2)
    assert dict(recent) == {"a": (at(2, "a"), at(3, "a")), "b": (at(7, "b"),)}
    assert dict(await store.recent_by_job([], 2)) == {}


async def test_what_was_added_last_is_the_newest_whatever_the_clock_says(store: RunStore) -> None:
    for minute in (5, 9, 1, 3):
        await store.add(ended(at(minute)))
    recent = await store.recent_by_job(["photos-0001"], 2)
    assert [run.id for run in recent["photos-0001"]] == [at(1).id, at(3).id]
    asked = [at(minute).id for minute in (1, 3, 5, 7)]
    assert await store.oldest_first(asked) == (at(5).id, at(1).id, at(3).id)
    assert set(await store.prune("photos-0001", keep=2)) == {at(5).id, at(9).id}


async def test_prune_forgets_the_oldest_ended_runs_of_that_job_alone(store: RunStore) -> None:
    for minute in range(5):
        await store.add(ended(at(minute, "a")))
    await store.add(ended(at(0, "b")))
    await store.add(at(9, "a"))
    forgotten = await store.prune("a", keep=2)
    assert set(forgotten) == {at(minute, "a").id for minute in range(3)}
    left = {run.id for run in (await store.list_runs()).items}
    assert left == {at(3, "a").id, at(4, "a").id, at(9, "a").id, at(0, "b").id}
    assert await store.prune("a", keep=2) == ()


async def test_prune_with_nothing_to_keep_leaves_what_is_under_way(store: RunStore) -> None:
    await store.add(ended(at(1)))
    await store.add(at(2))
    assert await store.prune("photos-0001", keep=0) == (at(1).id,)
    assert (await store.get(at(2).id)).outcome is None


async def test_prune_of_all_jobs_by_number_and_by_age(store: RunStore) -> None:
    for minute in range(4):
        for job in "ab":
            run = at(minute, job)
            await store.add(replace(ended(run), ended_at=run.queued_at))
    await store.add(at(9, "a"))
    cutoff = at(2, "a").queued_at
    forgotten = await store.prune(None, keep=3, ended_before=cutoff)
    assert set(forgotten) == {at(minute, job).id for minute in (0, 1) for job in "ab"}
    forgotten = await store.prune(None, keep=3, ended_before="9999-01-01T00:00:00.000Z")
    assert set(forgotten) == {at(2, job).id for job in "ab"}, "the last one of a job is kept"
    left = {run.id for run in (await store.list_runs()).items}
    assert left == {at(3, "a").id, at(3, "b").id, at(9, "a").id}


async def test_known_tells_which_runs_there_are(store: RunStore) -> None:
    await store.add(ended(at(1)))
    await store.add(at(2))
    asked = [at(1).id, at(2).id, *(f"stranger-{number}" for number in range(1200))]
    assert await store.known(asked) == {at(1).id, at(2).id}
    assert await store.known(()) == frozenset()


async def test_unfinished_runs_are_those_without_an_end(store: RunStore) -> None:
    await store.add(at(1))
    await store.add(ended(at(2)))
    assert await store.unfinished() == (at(1).id,)


async def test_dry_runs_are_listed_by_kind_and_kept_apart(store: RunStore) -> None:
    for minute in range(14):
        await store.add(ended(at(minute, kind=RunKind.DRY_RUN)))
    await store.add(ended(at(20)))
    await store.add(ended(at(21)))
    await store.add(ended(at(22, kind=RunKind.DRY_RUN)))
    page = await store.list_runs(job_id="photos-0001", kind=RunKind.TRANSFER, limit=1)
    assert ([run.id for run in page.items], page.total) == ([at(21).id], 2)
    newest = (await store.list_runs(kind=RunKind.DRY_RUN, limit=1)).items[0]
    assert (newest.id, newest.kind) == (at(22).id, "dry_run")
    recent = await store.recent_by_job(["photos-0001"], 5)
    assert [run.id for run in recent["photos-0001"]] == [at(20).id, at(21).id]
    forgotten = await store.prune("photos-0001", keep=50)
    assert set(forgotten) == {at(minute).id for minute in range(14 - MAX_DRY_RUNS + 1)}
    forgotten = await store.prune(None, keep=50, ended_before="9999-01-01T00:00:00.000Z")
    assert len(forgotten) == MAX_DRY_RUNS
    left = {run.id for run in (await store.list_runs()).items}
    assert left == {at(21).id, at(22).id}, "the last one of each kind is kept"


async def test_runs_are_found_by_outcome_and_by_words_of_the_job(store: RunStore) -> None:
    photos = ended(at(1, job_name="Photos to NAS"), RunOutcome.FAILED)
    music = ended(at(2, "music-0001", job_name="Music 100%_"), RunOutcome.COMPLETED)
    again = ended(at(3, job_name="Photos to NAS"), RunOutcome.COMPLETED)
    for run in (photos, music, again, at(4, job_name="Photos to NAS")):
        await store.add(run)

    async def found(**wanted: Any) -> list[str]:
        page = await store.list_runs(**wanted)
        assert page.total == len(page.items)
        return [run.id for run in page.items]

    assert await found(outcome=RunOutcome.FAILED) == [photos.id]
    assert await found(q="PHOTOS", outcome=RunOutcome.COMPLETED) == [again.id]
    assert await found(q="%_") == [music.id]
    assert await found(q="nothing") == []
    first = await store.list_runs(q="photos", limit=1)
    rest = await store.list_runs(q="photos", limit=2, cursor=first.next_cursor)
    assert [run.id for run in rest.items] == [again.id, photos.id]


async def test_outlines_are_those_of_the_recent_runs(store: RunStore) -> None:
    phases = (Phase("preflight", "a", "b", "completed", None, 0.5),)
    measured = replace(at(2), phases=(*phases, Phase("transfer", "a", "b", "failed", None, 2.0)))
    unmeasured = replace(at(3), phases=(*phases, Phase("transfer", "a")), notices=("Look.", "ü"))
    for run in (ended(at(1)), ended(measured, RunOutcome.FAILED), ended(unmeasured), at(1, "b")):
        await store.add(replace(run, started_at="2026-11-23T12:00:01.000Z"))
    await store.add(ended(at(4, kind=RunKind.DRY_RUN)))
    await store.add(at(5))
    store.publish(replace(at(5), status=JobStatus.STOPPING))
    job_ids = ["photos-0001", "b", "nobody"]
    for limit in (1, 3, 50):
        runs = await store.recent_by_job(job_ids, limit)
        outlines = await store.outlines_by_job(job_ids, limit)
        assert outlines == {job: tuple(map(outline_of, of)) for job, of in runs.items()}
    newest = (await store.outlines_by_job(job_ids, 50))["photos-0001"]
    assert [one.duration_seconds for one in newest] == [None, 2.5, None, None]
    assert newest[2].notices == ("Look.", "ü")
    assert newest[3].status is JobStatus.STOPPING


async def test_days_tell_how_their_runs_ended_and_what_they_sent(store: RunStore) -> None:
    last_moment, next_day = "2026-11-23T23:59:59.999Z", "2026-11-24T00:00:00.000Z"
    for minute, ended_at, outcome, sent in (
        (1, last_moment, RunOutcome.COMPLETED, 5),
        (2, last_moment, RunOutcome.FAILED, 7),
        (3, last_moment, RunOutcome.COMPLETED, 10),
        (4, next_day, RunOutcome.WARNING, 1),
    ):
        run = close_run(at(minute, bytes_sent=sent), outcome, ended_at=ended_at, message=None)
        await store.add(run)
    await store.add(at(5))
    await store.add(ended(at(6, kind=RunKind.DRY_RUN)))
    first_day = (
        DayTotal("2026-11-23", RunOutcome.COMPLETED, 2, 15),
        DayTotal("2026-11-23", RunOutcome.FAILED, 1, 7),
    )
    last_day = (DayTotal("2026-11-24", RunOutcome.WARNING, 1, 1),)
    assert await store.totals_by_day("2026-11-23") == first_day + last_day
    assert await store.totals_by_day("2026-11-24") == last_day
    assert await store.totals_by_day("2026-11-25") == ()


async def test_a_run_counts_once_and_as_it_ended_last(store: RunStore) -> None:
    await store.add(at(1))
    assert await store.totals_by_day("2026-01-01") == ()
    over = ended(at(1, bytes_sent=5), RunOutcome.INTERRUPTED)
    for _ in range(2):
        await store.save(over)
    assert await store.totals_by_day("2026-01-01") == (
        DayTotal("2026-11-23", RunOutcome.INTERRUPTED, 1, 5),
    )
    await store.save(ended(at(1, bytes_sent=9)))
    assert await store.totals_by_day("2026-01-01") == (
        DayTotal("2026-11-23", RunOutcome.COMPLETED, 1, 9),
    )


async def test_a_day_still_tells_of_runs_that_are_forgotten(store: RunStore) -> None:
    for minute in range(5):
        await store.add(ended(at(minute, bytes_sent=10)))
    assert len(await store.prune("photos-0001", keep=1)) == 4
    assert await store.totals_by_day("2026-11-23") == (
        DayTotal("2026-11-23", RunOutcome.COMPLETED, 5, 50),
    )


def success(minute: int, ended_at: str, **fields: Any) -> Run:
    """Return a run that ended well."""
    run = at(minute, **fields)
    return close_run(run, RunOutcome.COMPLETED, ended_at=ended_at, message=None)


async def test_the_last_success_of_each_job_outlives_its_run(store: RunStore) -> None:
    first, second = "2026-11-23T13:00:00.000Z", "2026-11-24T13:00:00.000Z"
    await store.add(success(1, first, job_id="music-0001"))
    for minute, ended_at in ((1, first), (2, second)):
        await store.add(success(minute, ended_at))
    for minute in range(3, 8):
        await store.add(ended(at(minute), RunOutcome.FAILED))
    await store.prune(None, keep=1)
    assert await store.last_successes() == {"music-0001": first, "photos-0001": second}


async def test_a_warning_is_a_success_and_what_leaves_work_undone_is_none(store: RunStore) -> None:
    await store.add(ended(at(1), RunOutcome.INTERRUPTED))
    await store.add(ended(at(2, kind=RunKind.DRY_RUN)))
    await store.add(ended(at(3, leaves_job=JobStatus.FAILED)))
    assert await store.last_successes() == {}
    await store.add(ended(at(4), RunOutcome.WARNING))
    assert await store.last_successes() == {"photos-0001": "2026-11-23T13:00:00.000Z"}


async def test_the_success_of_a_job_without_any_run_is_forgotten(store: RunStore) -> None:
    await store.add(ended(at(1)))
    await store.remove(at(1).id)
    await store.prune(None, keep=1)
    assert await store.last_successes() == {}
