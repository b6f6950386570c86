"""Proves what each watch tells of which fault and what settles it, also when restarted between."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from core import missing_tools, run_faults
from core.engines.registry import ENGINES
from core.missing_tools import MissingTools
from core.run_faults import RunFaults, ToldExecutor
from fastapi_app import storage_watch, task_keeper
from fastapi_app.happening_views import happening_of_event
from fastapi_app.route_faults import RouteFaults
from fastapi_app.storage_watch import StorageWatch
from fastapi_app.task_keeper import TaskKeeper
from models.error_event import Component
from models.error_query import KeptErrors
from models.errors import (
    FileFailed,
    RunnerStartFailed,
    SaveOutcomeUnknown,
    StorageBusy,
    StorageFailed,
)
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Run
from models.run_history import close_run
from models.run_spec import RunKind
from models.transitions import STATUS_OF_OUTCOME
from tests.fakes.builders import NOON, a_job, a_run
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.stores import InMemoryJobStore, InMemoryRunStore
from tests.support import wait_until_async
from utils.timestamps import utc_timestamp


class Tools:
    """A machine with some tools."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.looks = 0

    def path_of(self, engine: str) -> str | None:
        self.looks += 1
        return f"/usr/bin/{engine}" if engine in self.there else None

    async def version_of(self, _engine: str) -> str | None:
        return None


class Scene:
    """An error log that outlives the watches over it, with two jobs."""

    def __init__(self) -> None:
        self.log = InMemoryErrorLog()
        self.jobs = InMemoryJobStore()
        self.history = InMemoryRunStore()
        self.machine = Tools("rsync", "rclone")

    @property
    def events(self) -> list[tuple[str, str, bool]]:
        """The types of the events, how often each was met, and whether they are resolved."""
        return [(event.error_type, str(event.count), event.resolved) for event in self.log.events]

    async def expect(self, *events: tuple[str, str, bool]) -> None:
        """Wait until these are the events, the oldest first."""

        async def are_there() -> bool:
            return self.events == list(events)

        await wait_until_async(are_there, what=f"{events}, not {self.events},")

    def missing(self) -> MissingTools:
        return MissingTools(ENGINES, self.machine, self.jobs, self.log)

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[RunFaults]:
        faults = RunFaults(self.log, self.jobs, self.history, self.missing())
        async with running(faults.run()):
            yield faults


@pytest.fixture
async def scene() -> Scene:
    """A machine with every tool, and a job of each engine."""
    made = Scene()
    for job_id, engine in (("photos-0001", "rsync"), ("music-0001", "rclone")):
        await made.jobs.create(a_job(job_id, engine=engine), JobState(job_id))
    return made


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do work that has no end as long as the test is within."""
    task = asyncio.create_task(work)
    try:
        await settled()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Let everybody have turns who waits for nothing but that."""
    for _ in range(20):
        await asyncio.sleep(0)


def ended(outcome: RunOutcome, message: str | None = "Why.", **fields: Any) -> Run:
    """Return an ended run."""
    run = a_run(**{"attempts": 1, **fields})
    return replace(close_run(run, outcome, ended_at=NOON, message=message))


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (ended(RunOutcome.FAILED), ("RunFailed", "medium", "engine")),
        (ended(RunOutcome.FAILED, attempts=0), ("RunFailed", "medium", "job_manager")),
        (ended(RunOutcome.INTERRUPTED), ("RunInterrupted", "medium", "executor")),
        (ended(RunOutcome.PAUSED), None),
        (ended(RunOutcome.WARNING), None),
        (ended(RunOutcome.COMPLETED), None),
        (ended(RunOutcome.FAILED, kind=RunKind.DRY_RUN), None),
    ],
)
async def test_which_ends_of_runs_are_told(
    scene: Scene, run: Run, told: tuple[str, str, str] | None
) -> None:
    async with scene.runs() as faults:
        faults.run_over(run)
        faults.run_over(ended(RunOutcome.FAILED, run_id="run-2", job_id="music-0001"))
        await wait_until_async(lambda: is_told(scene, "music-0001"))
    assert scene.log.events.pop().run_id == "run-2"
    found = [(event.error_type, event.severity, event.component) for event in scene.log.events]
    assert found == ([told] if told else [])
    for event in scene.log.events:
        assert (event.run_id, event.job_id) == ("run-1", "photos-0001")
        assert event.message.endswith(": Why.")
        assert happening_of_event(event) is None, "the bell has the run itself"


async def is_told(scene: Scene, job_id: str) -> bool:
    """Whether there is an event of a job."""
    return any(event.job_id == job_id for event in scene.log.events)


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_success_settles_what_was_told_of_a_job_alone(scene: Scene, restarts: bool) -> None:
    async with scene.runs() as faults:
        faults.run_over(ended(RunOutcome.FAILED))
        faults.run_over(ended(RunOutcome.FAILED))
        faults.run_over(ended(RunOutcome.FAILED, job_id="music-0001"))
        await scene.expect(("RunFailed", "2", False), ("RunFailed", "1", False))
        if not restarts:
            # Of a part of the files that is no success.
            faults.run_over(ended(RunOutcome.COMPLETED, leaves_job=JobStatus.FAILED))
            faults.run_over(ended(RunOutcome.FAILED))
            await scene.expect(("RunFailed", "3", False), ("RunFailed", "1", False))
            faults.run_over(ended(RunOutcome.WARNING))
            await scene.expect(("RunFailed", "3", True), ("RunFailed", "1", False))
    async with scene.runs() as faults:
        if restarts:
            faults.run_over(ended(RunOutcome.COMPLETED))
            await scene.expect(("RunFailed", "2", True), ("RunFailed", "1", False))


async def become(scene: Scene, run: Run) -> None:
    """Keep the end of a run and what its job is by it, and have nobody told: as a dashboard does
    that is killed then."""
    await scene.history.save(run)
    left = JobState(run.job_id, STATUS_OF_OUTCOME[run.outcome or RunOutcome.PAUSED])
    left = replace(left, run_id=run.id, changed_at=run.ended_at)
    if run.is_success:
        left = replace(left, last_good_at=run.ended_at)
    await scene.jobs.transform(run.job_id, lambda record: replace(record, state=left))


def just_now(outcome: RunOutcome, run_id: str, **fields: Any) -> Run:
    """Return a run that has ended now."""
    return replace(ended(outcome, run_id=run_id, **fields), ended_at=utc_timestamp())


@pytest.mark.parametrize("has_last_good", [True, False])
async def test_a_success_of_which_nobody_was_told_settles_at_the_start(
    scene: Scene, has_last_good: bool
) -> None:
    async with scene.runs() as faults:
        for job_id in ("photos-0001", "music-0001"):
            await become(scene, run := just_now(RunOutcome.FAILED, f"of-{job_id}", job_id=job_id))
            faults.run_over(run)
        await scene.expect(("RunFailed", "1", False), ("RunFailed", "1", False))
    await become(scene, just_now(RunOutcome.COMPLETED, "run-2"))
    if has_last_good:
        # Under way again by now, as a job is that goes on by itself.
        busy = JobState("photos-0001", JobStatus.RUNNING, run_id="run-3")
        busy = replace(busy, last_good_at=utc_timestamp())
        await scene.jobs.transform("photos-0001", lambda record: replace(record, state=busy))
    async with scene.runs():
        await scene.expect(("RunFailed", "1", True), ("RunFailed", "1", False))


@pytest.mark.parametrize("outcome", [RunOutcome.FAILED, RunOutcome.INTERRUPTED])
async def test_a_failure_of_which_nobody_was_told_is_told_once_at_the_start(
    scene: Scene, outcome: RunOutcome
) -> None:
    event_type = f"Run{outcome.capitalize()}"
    await become(scene, just_now(outcome, "run-2"))
    await become(scene, just_now(RunOutcome.PAUSED, "run-3", job_id="music-0001"))
    for _ in range(2):
        async with scene.runs():
            await scene.expect((event_type, "1", False))
    assert scene.log.events[0].run_id == "run-2"
    await scene.log.resolve(scene.log.events[0].id)
    async with scene.runs() as faults:
        faults.run_over(ended(RunOutcome.FAILED, run_id="run-4", job_id="music-0001"))
        await scene.expect((event_type, "1", True), ("RunFailed", "1", False))


async def test_what_the_start_must_not_tell_of(scene: Scene) -> None:
    async with scene.runs() as faults:
        # By this start itself, which recovers runs before.
        await become(scene, run := just_now(RunOutcome.INTERRUPTED, "run-2"))
        faults.run_over(run)
        await scene.expect(("RunInterrupted", "1", False))
        # With an event of its own, in which another run stands by now.
        faults.start_failed(RunnerStartFailed("run-3", "Cannot allocate memory"))
        failed = just_now(RunOutcome.FAILED, "run-3", job_id="music-0001", attempts=0)
        await become(scene, failed)
        faults.run_over(failed)
        faults.start_failed(RunnerStartFailed("run-4", "Cannot allocate memory"))
    # So long ago that the log would have forgotten that a person has resolved it.
    await scene.jobs.create(a_job("old-0001"), JobState("old-0001"))
    old = just_now(RunOutcome.FAILED, "run-5", job_id="old-0001")
    await become(scene, replace(old, ended_at=utc_timestamp(time.time() - 2 * 86_400)))
    scene.log.kept = KeptErrors(resolved_days=1)
    faults = RunFaults(scene.log, scene.jobs, scene.history, scene.missing())
    last = ended(RunOutcome.FAILED, "The last one.", run_id="run-6", job_id="music-0001")
    faults.run_over(last)
    async with running(faults.run()):

        async def is_last_told() -> bool:
            return scene.log.events[-1].run_id == "run-6"

        await wait_until_async(is_last_told)
    assert [(event.run_id, event.count) for event in scene.log.events] == [
        ("run-2", 1),
        ("run-4", 2),
        ("run-6", 1),
    ]


async def test_ends_for_which_there_was_no_room_are_found_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_faults, "_MOST_WAITING", 1)
    runs = [
        just_now(RunOutcome.FAILED, f"of-{job_id}", job_id=job_id)
        for job_id in ("photos-0001", "music-0001")
    ]
    async with scene.runs() as faults:
        for run in runs:
            await become(scene, run)
        for run in runs:
            faults.run_over(run)
        await scene.expect(("RunFailed", "1", False), ("RunFailed", "1", False))


@pytest.mark.parametrize("restarts", [False, True])
async def test_the_end_of_a_job_settles_what_was_told_of_it(scene: Scene, restarts: bool) -> None:
    async with scene.runs() as faults:
        faults.run_over(ended(RunOutcome.INTERRUPTED))
        await scene.expect(("RunInterrupted", "1", False))
        await scene.jobs.delete("photos-0001", allow=lambda _record: None)
        if not restarts:
            faults.jobs_changed(["photos-0001"])
    async with scene.runs():
        await scene.expect(("RunInterrupted", "1", True))


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_runner_that_starts_settles_that_another_one_could_not(
    scene: Scene, restarts: bool
) -> None:
    class Executor:
        is_able = False

        async def submit(self, run_id: str, _secret: str | None = None) -> None:
            if not self.is_able:
                raise RunnerStartFailed(run_id, "Cannot allocate memory")

    executor = Executor()

    async def submit(faults: RunFaults) -> None:
        await ToldExecutor(executor, faults).submit("run-1")  # type: ignore[arg-type]

    async with scene.runs() as faults:
        with pytest.raises(RunnerStartFailed):
            await submit(faults)
        faults.run_over(ended(RunOutcome.FAILED, attempts=0))
        faults.run_over(ended(RunOutcome.FAILED, run_id="run-2", job_id="music-0001"))
        await wait_until_async(lambda: is_told(scene, "music-0001"))
        scene.log.events.pop()
        (event,) = scene.log.events
        assert (event.error_type, event.severity) == ("RunnerStartFailed", "high")
        assert event.component == "executor"
        assert "Cannot allocate memory" in event.message
        executor.is_able = True
        if not restarts:
            await submit(faults)
    async with scene.runs() as faults:
        await submit(faults)
    assert scene.events == [("RunnerStartFailed", "1", True)]


async def test_a_missing_tool_is_told_at_the_start_when_jobs_need_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_tools, "AGAIN_SECONDS", 0.01)
    scene.machine.there.clear()
    await scene.jobs.delete("music-0001", allow=lambda _record: None)
    for _ in range(2):
        async with running(scene.missing().run()):
            await scene.expect(("ToolMissing: rsync", "1", False))
    scene.machine.there.add("rsync")
    async with running(scene.missing().run()):
        await scene.expect(("ToolMissing: rsync", "1", True))


async def test_a_missing_tool_is_no_matter_once_no_job_needs_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_tools, "AGAIN_SECONDS", 0.01)
    scene.machine.there.discard("rclone")
    async with running(scene.missing().run()):
        await scene.expect(("ToolMissing: rclone", "1", False))
        await scene.jobs.delete("music-0001", allow=lambda _record: None)
        await scene.expect(("ToolMissing: rclone", "1", True))


def a_request(path: str = "/jobs/{job_id}", **parameters: str) -> dict[str, Any]:
    """Return the scope of a request."""

    class Route:
        pass

    route = Route()
    route.path = path  # type: ignore[attr-defined]
    return {"method": "GET", "path": path, "route": route, "path_params": parameters}


async def test_a_route_is_settled_by_its_own_success_also_after_a_restart(scene: Scene) -> None:
    faults = RouteFaults(scene.log, scene.jobs)
    faults.failed(a_request(job_id="photos-0001"), ValueError("secret words"))
    faults.failed(a_request(job_id="photos-0001"), ValueError("other words"))
    faults.failed(a_request(job_id="<made up>"), ValueError())
    faults.failed(a_request("/api/v1/runs/{run_id}", run_id="run-7"), KeyError())
    assert [(e.component, e.job_id, e.run_id, e.count) for e in scene.log.events] == [
        ("ui", "photos-0001", None, 2),
        ("ui", None, None, 1),
        ("api", None, "run-7", 1),
    ]
    assert "secret words" not in scene.log.events[0].message
    faults = RouteFaults(scene.log, scene.jobs)
    await faults.find_told()
    assert faults.is_any_failing
    faults.succeeded(a_request(job_id="music-0001"))
    assert len(scene.log.unresolved) == 3
    faults.succeeded(a_request(job_id="photos-0001"))
    faults.succeeded(a_request("/api/v1/runs/{run_id}", run_id="run-8"))
    faults.succeeded(a_request())
    assert not scene.log.unresolved
    assert not faults.is_any_failing


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (StorageFailed("Saving", "No space left on device"), "critical"),
        (StorageBusy("The database", "database is locked"), "high"),
    ],
)
async def test_failing_storage_is_noted_until_it_works(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: StorageFailed, severity: str
) -> None:
    monkeypatch.setattr(storage_watch, "PROBE_SECONDS", 0.01)
    failures: list[StorageFailed] = [error] * 3

    async def probe() -> None:
        if failures:
            raise failures.pop()

    watch = StorageWatch(scene.log, probe)
    shown: list[int] = []
    watch.on_change = lambda: shown.append(len(watch.notes()))
    async with running(watch.run()):
        assert watch.notes() == ()
        watch.failed(SaveOutcomeUnknown("Saving", "it may be there"))
        watch.failed(FileFailed("Reading", IsADirectoryError(errno.EISDIR, "A directory", "/f")))
        assert not scene.log.events
        assert watch.notes() == ()
        watch.failed(error)
        assert len(watch.notes()) == 1
        await scene.expect(("StorageFailing", "1", True))
    assert not failures
    assert scene.log.events[0].severity == severity
    # At once, then the banner of the event in its place, then neither.
    assert shown == [1, 0, 0]


async def test_what_the_log_could_not_take_is_told_in_the_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_watch, "PROBE_SECONDS", 0.01)
    reports: list[Any] = []
    report = scene.log.report
    monkeypatch.setattr(scene.log, "report", reports.append)
    works = asyncio.Event()

    async def probe() -> None:
        if not works.is_set():
            raise StorageFailed("Writing", "No space left on device")

    watch = StorageWatch(scene.log, probe)
    async with running(watch.run()):
        watch.failed(StorageFailed("Saving", "No space left on device"))
        await settled()
        assert len(watch.notes()) == 1, "as long as no banner tells it"
        monkeypatch.setattr(scene.log, "report", report)
        works.set()
        await scene.expect(("StorageFailing", "1", True))


async def test_a_task_that_ends_is_told_and_begins_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_keeper, "STEADY_SECONDS", 0.05)
    monkeypatch.setattr(task_keeper, "_DELAYS_SECONDS", (0.0,))
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ValueError("once")
        if begun == 2:
            asyncio.current_task().cancel()  # type: ignore[union-attr]
        if begun == 3:
            return
        await asyncio.Event().wait()

    keeper = TaskKeeper(scene.log)
    async with running(keeper.keep("hub", Component.WEBSOCKET, work)):

        async def is_steady() -> bool:
            return begun == 4 and not scene.log.unresolved

        await wait_until_async(is_steady)
    assert scene.events == [("TaskEnded: hub", "1", True), ("TaskEnded: hub", "2", True)]
    first = scene.log.events[0]
    assert (first.severity, first.component) == ("high", "websocket")
    assert "ValueError" in (first.stack_trace or "")
    assert asyncio.all_tasks() == {asyncio.current_task()}, "it ends with its keeper"
