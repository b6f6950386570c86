"""Proves which jobs are overdue, that each is told once, and when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core import overdue as overdue_module
from core.overdue import OVERDUE, OverdueJobs
from models.job_state import JobRecord, JobState
from tests.fakes.builders import a_job
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.stores import InMemoryJobStore
from tests.support import wait_until_async
from utils.timestamps import utc_timestamp

HOUR = 3600
CREATED = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC).timestamp()


class Scene:
    """Jobs, an error log, and a clock that is set by the test and goes on as the real one does."""

    def __init__(self) -> None:
        self.jobs = InMemoryJobStore()
        self.log = InMemoryErrorLog()
        self.shown: list[str] = []
        self.successes: dict[str, str] = {}
        self._offset = CREATED - time.time()
        self._tasks: list[asyncio.Task[None]] = []
        self.overdue = self.made()

    def made(self) -> OverdueJobs:
        return OverdueJobs(
            self.jobs,
            self.log,
            successes=self.successes,
            changed=self._show,
            clock=lambda: time.time() + self._offset,
        )

    def _show(self, job_ids: Collection[str]) -> None:
        self.shown += job_ids

    def set_clock(self, seconds_after_creation: float) -> None:
        self._offset = CREATED + seconds_after_creation - time.time()

    async def restart(self) -> None:
        """Begin anew, as a dashboard does; its loop runs until the test is over."""
        await self.stop()
        self.overdue = self.made()
        self._tasks.append(asyncio.create_task(self.overdue.run()))
        await self.settled()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def settled(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def create(self, job_id: str, within: int | None = HOUR) -> None:
        job = a_job(job_id, monitoring={"success_within_seconds": within})
        await self.jobs.create(job, JobState(job_id))
        self.overdue.jobs_changed([job_id])

    async def change(self, job_id: str, **fields: object) -> None:
        """Change a job's state, or its definition with `within` or `name`."""

        def change(record: JobRecord) -> JobRecord:
            job, state = record.job, record.state
            if "within" in fields:
                monitoring = job.monitoring.model_copy(
                    update={"success_within_seconds": fields["within"]}
                )
                job = job.model_copy(update={"monitoring": monitoring})
            if "name" in fields:
                job = job.model_copy(update={"name": fields["name"]})
            if "last_good_at" in fields:
                state = replace(state, last_good_at=str(fields["last_good_at"]))
            return JobRecord(job, state)

        await self.jobs.transform(job_id, change)
        self.overdue.jobs_changed([job_id])
        await self.settled()

    @property
    def ids(self) -> list[str]:
        return [job.job_id for job in self.overdue.now()]

    @property
    def told(self) -> list[tuple[str | None, bool]]:
        """Whose events there are, and whether they are resolved."""
        return [(event.job_id, event.resolved) for event in self.log.events]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Nothing is overdue yet, and the loop is not running."""
    made = Scene()
    yield made
    await made.stop()


def at(seconds_after_creation: float) -> str:
    """Return a time as states have it."""
    return utc_timestamp(CREATED + seconds_after_creation)


async def test_what_is_expected_counts_from_the_creation_then_from_the_last_success(
    scene: Scene,
) -> None:
    await scene.create("a-1")
    await scene.create("free-1", within=None)
    await scene.restart()
    assert scene.ids == []
    scene.set_clock(HOUR + 1)
    await scene.restart()
    assert scene.ids == ["a-1"]
    job = scene.overdue.now()[0]
    assert (job.since, job.success_within_seconds) == (at(HOUR), HOUR)
    assert job.last_success_at is None
    await scene.change("a-1", last_good_at=at(HOUR))
    assert scene.ids == []
    scene.set_clock(2 * HOUR + 1)
    await scene.restart()
    assert scene.overdue.now()[0].last_success_at == at(HOUR)


async def test_each_is_told_once_and_settled_by_a_success(scene: Scene) -> None:
    await scene.create("a-1")
    scene.set_clock(HOUR + 1)
    await scene.restart()
    event = scene.log.events[0]
    assert (event.error_type, event.severity, event.component, event.job_name) == (
        OVERDUE,
        "high",
        "job_manager",
        "Photos",
    )
    assert event.message == (
        "“Photos” is overdue: a success is expected within 1 hour, and it has had none."
    )
    await scene.change("a-1", name="Pictures")
    assert scene.overdue.now()[0].job_name == "Pictures"
    assert scene.told == [("a-1", False)]
    assert scene.log.events[0].count == 1
    await scene.change("a-1", last_good_at=at(HOUR + 1))
    assert scene.told == [("a-1", True)]
    assert "a-1" not in scene.overdue


async def test_a_restart_tells_nothing_again_not_even_what_a_person_has_resolved(
    scene: Scene,
) -> None:
    await scene.create("a-1")
    await scene.create("b-1")
    scene.set_clock(HOUR + 1)
    await scene.restart()
    await scene.log.resolve("2")
    await scene.restart()
    assert scene.told == [("a-1", False), ("b-1", True)]
    assert [event.count for event in scene.log.events] == [1, 1]
    # What is over while no dashboard runs is settled by the next one.
    await scene.stop()
    await scene.jobs.delete("a-1", allow=lambda _record: None)
    await scene.restart()
    assert scene.told == [("a-1", True), ("b-1", True)]


async def test_another_expectation_is_told_anew_and_none_settles(scene: Scene) -> None:
    await scene.create("a-1")
    scene.set_clock(2 * HOUR + 1)
    await scene.restart()
    await scene.change("a-1", within=2 * HOUR)
    assert scene.told == [("a-1", True), ("a-1", False)]
    await scene.change("a-1", within=3 * HOUR)
    assert scene.told == [("a-1", True), ("a-1", True)]
    await scene.change("a-1", within=60)
    await scene.change("a-1", within=None)
    assert scene.ids == []
    assert all(resolved for _, resolved in scene.told)


async def test_a_deleted_job_is_settled(scene: Scene) -> None:
    await scene.create("a-1")
    scene.set_clock(HOUR + 1)
    await scene.restart()
    await scene.jobs.delete("a-1", allow=lambda _record: None)
    scene.overdue.jobs_changed(["a-1"])
    await scene.settled()
    assert (scene.ids, scene.told) == ([], [("a-1", True)])


async def test_it_is_noticed_when_the_time_comes_and_shown(scene: Scene) -> None:
    await scene.create("late-1", within=2 * HOUR)
    await scene.create("a-1")
    scene.set_clock(HOUR - 0.05)
    await scene.restart()
    assert scene.ids == []

    async def is_shown() -> bool:
        return scene.shown == ["a-1"]

    await wait_until_async(is_shown)
    await scene.settled()
    assert scene.told == [("a-1", False)]


async def test_a_clock_that_was_set_is_noticed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue_module, "LONGEST_SLEEP_SECONDS", 0.02)
    await scene.create("a-1")
    await scene.restart()
    scene.set_clock(HOUR + 1)

    async def are(expected: list[str]) -> bool:
        return scene.ids == expected

    await wait_until_async(lambda: are(["a-1"]))
    scene.set_clock(HOUR / 2)
    await wait_until_async(lambda: are([]))
    await scene.settled()
    assert scene.told == [("a-1", True)]
    assert scene.shown == ["a-1", "a-1"]


async def test_a_clock_that_was_set_keeps_no_job_that_is_gone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue_module, "LONGEST_SLEEP_SECONDS", 0.02)
    await scene.create("a-1")
    await scene.create("a-2")
    scene.set_clock(HOUR + 1)
    await scene.restart()
    # The word of it is still on its way.
    await scene.jobs.delete("a-1", allow=lambda _record: None)
    scene.set_clock(2 * HOUR)

    async def is_gone() -> bool:
        return scene.ids == ["a-2"]

    await wait_until_async(is_gone)
    scene.overdue.jobs_changed(["a-1"])
    await scene.settled()
    assert scene.told == [("a-1", True), ("a-2", False)]


async def test_a_lost_state_does_not_make_a_job_overdue(scene: Scene) -> None:
    scene.successes["a-1"] = at(HOUR)
    await scene.create("a-1")
    scene.set_clock(HOUR + 1)
    await scene.restart()
    assert scene.ids == []
    record = scene.jobs.snapshot()["a-1"]
    assert scene.overdue.last_success_of(record) == at(HOUR)


async def test_ten_thousand_are_told_without_a_loss_and_cost_nothing_at_rest(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = 0
    flush = scene.log.flush

    async def counted() -> None:
        nonlocal waits
        waits += 1
        await flush()

    monkeypatch.setattr(scene.log, "flush", counted)
    reported: list[object] = []
    monkeypatch.setattr(scene.log, "report", reported.append)
    job = a_job("a-1", monitoring={"success_within_seconds": HOUR})
    for number in range(10_000):
        job_id = f"a-{number}"
        copy = job.model_copy(update={"id": job_id})
        await scene.jobs.create(copy, JobState(job_id))
    scene.set_clock(HOUR + 1)
    await scene.restart()

    async def all_told() -> bool:
        return len(reported) == 10_000

    await wait_until_async(all_told)
    assert waits == 10_000 // overdue_module._TOLD_AT_ONCE - 1
    looked_at: list[str] = []
    last_success_of = scene.overdue.last_success_of

    def noted(record: JobRecord) -> str | None:
        looked_at.append(record.job.id)
        return last_success_of(record)

    monkeypatch.setattr(scene.overdue, "last_success_of", noted)
    scene.overdue.jobs_changed(["a-1"])
    await scene.settled()
    assert looked_at == ["a-1"], "one change looks at one job"
