"""Proves which jobs are listed, in which order, and that paging leaves none out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from core.job_queries import MAX_PAGE, JobFilter, JobQueries, JobSort
from models.errors import JobNotFound
from models.job_state import DamagedJob, JobState
from models.job_status import JobStatus
from tests.fakes.builders import a_job
from tests.fakes.changes import anything, save_job
from tests.fakes.stores import InMemoryJobStore, InMemoryRunStore

JOBS = [
    ("b-1", "Beta", JobStatus.FAILED, "rsync", ["home"], "/srv/Photos"),
    ("a-1", "Alpha", JobStatus.COMPLETED, "rclone", [], "/srv/music"),
    ("a-2", "alpha", JobStatus.RUNNING, "rsync", ["home", "nas"], "/srv/mail"),
    ("c-1", "ÄRGER", JobStatus.QUEUED, "rsync", [], "/etc"),
]


@pytest.fixture
async def jobs() -> InMemoryJobStore:
    """A store with a few jobs, put in out of order."""
    store = InMemoryJobStore()
    for job_id, name, status, engine, tags, source in JOBS:
        job = a_job(job_id, name=name, engine=engine, tags=tags, source=source)
        await store.create(job, JobState(job_id, status=status))
    return store


@pytest.fixture
def queries(jobs: InMemoryJobStore) -> JobQueries:
    """The queries over it."""
    return JobQueries(jobs, InMemoryRunStore())


def ids(queries: JobQueries, **wanted: Any) -> list[str]:
    """Return the ids of those that a filter accepts."""
    return [record.job.id for record in queries.list_jobs(JobFilter(**wanted)).items]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["a-1", "a-2", "b-1", "c-1"]),
        ({"status": ""}, ["a-1", "a-2", "b-1", "c-1"]),
        ({"status": "failed"}, ["b-1"]),
        ({"status": "dancing"}, []),
        ({"engine": "rclone"}, ["a-1"]),
        ({"tag": "home"}, ["a-2", "b-1"]),
        ({"tag": "hom"}, []),
        ({"q": "ALPHA"}, ["a-1", "a-2"]),
        ({"q": "ärger"}, ["c-1"]),
        ({"q": "srv/photos"}, ["b-1"]),
        ({"q": "/mnt/nas"}, ["a-1", "a-2", "b-1", "c-1"]),
        ({"q": "alpha", "engine": "rsync", "tag": "nas", "status": "running"}, ["a-2"]),
    ],
)
async def test_filters(queries: JobQueries, wanted: dict[str, str], expected: list[str]) -> None:
    assert ids(queries, **wanted) == expected


async def test_overdue_jobs_are_found_and_rank_with_those_that_failed(
    jobs: InMemoryJobStore,
) -> None:
    queries = JobQueries(jobs, InMemoryRunStore(), overdue={"a-1", "a-2"})
    assert ids(queries, is_overdue=True) == ["a-1", "a-2"]
    assert ids(queries, is_overdue=True, engine="rclone") == ["a-1"]
    page = queries.list_jobs(JobFilter(is_overdue=True), limit=1)
    assert (page.total, page.next_cursor) == (2, "alpha~a-1")
    urgent = queries.list_jobs(sort=JobSort.URGENCY)
    assert [record.job.id for record in urgent.items] == ["a-2", "c-1", "a-1", "b-1"]


async def test_pages_leave_nothing_out(queries: JobQueries) -> None:
    seen: list[str] = []
    cursor = None
    for _ in JOBS:
        page = queries.list_jobs(limit=1, cursor=cursor)
        assert page.total == len(JOBS)
        seen += [record.job.id for record in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == ["a-1", "a-2", "b-1", "c-1"]


async def test_a_page_goes_on_although_its_last_job_does_not_match_any_more(
    jobs: InMemoryJobStore, queries: JobQueries
) -> None:
    first = queries.list_jobs(JobFilter(engine="rsync"), limit=2)
    assert [record.job.id for record in first.items][-1] == "b-1"
    await save_job(jobs, a_job("b-1", version=2, name="Beta", engine="rclone"), expected_version=1)
    second = queries.list_jobs(JobFilter(engine="rsync"), limit=5, cursor=first.next_cursor)
    assert [record.job.id for record in second.items] == ["c-1"]


async def test_a_page_goes_on_although_its_last_job_is_gone(
    jobs: InMemoryJobStore, queries: JobQueries
) -> None:
    first = queries.list_jobs(limit=2)
    await jobs.delete(first.items[-1].job.id, allow=anything)
    second = queries.list_jobs(limit=5, cursor=first.next_cursor)
    assert [record.job.id for record in second.items] == ["b-1", "c-1"]


@pytest.mark.parametrize(("limit", "length"), [(-1, 1), (0, 1), (2, 2), (10**9, 4)])
async def test_a_limit_is_held_within_bounds(queries: JobQueries, limit: int, length: int) -> None:
    assert len(queries.list_jobs(limit=limit).items) == length
    assert MAX_PAGE == 500


async def test_damaged_jobs_stand_beside_the_list(
    jobs: InMemoryJobStore, queries: JobQueries
) -> None:
    jobs.broken = (DamagedJob("x", "is empty"),)
    page = queries.list_jobs(JobFilter(q="alpha"))
    assert (page.total, page.damaged) == (2, jobs.broken)


async def test_one_job(queries: JobQueries) -> None:
    assert queries.get_job("b-1").job.name == "Beta"
    assert queries.get_job_status("b-1").status is JobStatus.FAILED
    for look in (queries.get_job, queries.get_job_status):
        with pytest.raises(JobNotFound):
            look("nobody")
    with pytest.raises(JobNotFound):
        await queries.list_runs(job_id="nobody")


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (JobSort.NAME, ["a-1", "a-2", "b-1", "c-1"]),
        (JobSort.URGENCY, ["a-2", "c-1", "b-1", "a-1"]),
        (JobSort.CHANGED, ["b-1", "c-1", "a-1", "a-2"]),
        (JobSort.LAST_GOOD, ["a-2", "c-1", "a-1", "b-1"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_each_order_is_paged_without_leaving_one_out(
    jobs: InMemoryJobStore, queries: JobQueries, sort: JobSort, expected: list[str], limit: int
) -> None:
    times = {"b-1": ("2026-11-24", "2026-11-20"), "a-1": ("2026-11-22", "2026-11-01")}
    for job_id, (changed, good) in {**times, "c-1": ("2026-11-23", None)}.items():
        state = replace(queries.get_job_status(job_id), changed_at=changed, last_good_at=good)
        jobs.publish_state(state)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = queries.list_jobs(sort=sort, limit=limit, cursor=cursor)
        assert page.total == len(expected)
        found += [record.job.id for record in page.items]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert found == expected


@pytest.mark.parametrize("cursor", ["nonsense", "[1]", "{}", "[" * 5_000, '["a"', "null"])
def test_a_strange_cursor_begins_at_the_beginning(queries: JobQueries, cursor: str) -> None:
    page = queries.list_jobs(sort=JobSort.URGENCY, cursor=cursor)
    assert [record.job.id for record in page.items] == ["a-2", "c-1", "b-1", "a-1"]


async def test_how_many_jobs_have_which_status_is_kept_with_each_change(
    jobs: InMemoryJobStore, queries: JobQueries
) -> None:
    def counted() -> Counter[str]:
        return Counter(record.state.status for record in queries.all_jobs().values())

    assert dict(queries.all_jobs().status_counts) == counted()
    for status in (JobStatus.RUNNING, JobStatus.RUNNING, JobStatus.COMPLETED):
        state = replace(queries.get_job_status("a-2"), status=status)
        jobs.publish_state(state)
        assert dict(queries.all_jobs().status_counts) == counted()
    await jobs.create(a_job("d-1"), JobState("d-1", JobStatus.PENDING))
    assert dict(queries.all_jobs().status_counts) == counted()
    await jobs.delete("a-2", allow=anything)
    assert dict(queries.all_jobs().status_counts) == counted()


async def test_tags_are_those_that_some_job_has(
    jobs: InMemoryJobStore, queries: JobQueries
) -> None:
    assert queries.tags() == ("home", "nas")
    await jobs.transform(
        "a-2", lambda one: replace(one, job=one.job.model_copy(update={"tags": ("home", "Zoo")}))
    )
    assert queries.tags() == ("home", "Zoo")
    await jobs.delete("a-2", allow=anything)
    assert queries.tags() == ("home",)
