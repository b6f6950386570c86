"""Proves what is told of runs and errors behind the bell, that it is bounded, and that a restart
loses none of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from core.job_queries import JobQueries
from fastapi_app import refreshing
from fastapi_app.happening_views import HappeningView, happening_of_run
from fastapi_app.happenings import BELL_KEY, MAX_HAPPENINGS, Happenings
from fastapi_app.rendering import Renderer
from fastapi_app.websocket.hub import CardUpdate, Hub
from models.error_event import ErrorPage, Severity
from models.errors import StorageFailed
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from storage.job_faults import DAMAGED, EDIT_INVALID
from tests.fakes.builders import a_fault, a_job, a_run
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.stores import InMemoryJobStore, InMemoryRunStore
from tests.support import wait_until_async

FAIL, CUT, WARN, GOOD, STOP = (
    RunOutcome.FAILED,
    RunOutcome.INTERRUPTED,
    RunOutcome.WARNING,
    RunOutcome.COMPLETED,
    RunOutcome.PAUSED,
)
JOB = "photos-0001"


class Runs(InMemoryRunStore):
    """Runs whose reading a test can make fail."""

    failures = 0

    async def recent_by_job(self, *arguments: Any) -> Any:
        """Answer, unless the test forbids it."""
        if self.failures:
            self.failures -= 1
            raise StorageFailed("The database", "disk I/O error")
        return await super().recent_by_job(*arguments)


class Log(InMemoryErrorLog):
    """An error log that answers only when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.late: asyncio.Event | None = None

    async def list_events(self, **wanted: Any) -> ErrorPage:
        """Answer with what was there when it was asked."""
        page = await super().list_events(**wanted)
        if self.late is not None:
            late, self.late = self.late, None
            await late.wait()
        return page


class Source:
    """The hub's source; nobody is connected, so that nothing is rendered."""

    happenings: Happenings

    def update_of(self, key: str) -> CardUpdate | None:
        """Return the state of the bell."""
        assert key == BELL_KEY
        return self.happenings.update()

    async def fragment_of(self, key: str) -> str:
        """Render nothing."""
        raise AssertionError(key)


@dataclass
class Scene:
    """A bell over stores in memory; `start` is what a start of the server does."""

    jobs: InMemoryJobStore
    runs: Runs
    log: Log
    ended: int = 0
    happenings: Happenings | None = None
    hub: Hub | None = None
    task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin anew, with what the stores hold."""
        await self.stop()
        source = Source()
        self.hub = Hub(source)
        self.happenings = source.happenings = Happenings(
            self.log,
            JobQueries(self.jobs, self.runs),
            renderer=Renderer(
                lambda name, **parts: f"/{name}/{''.join(parts.values())}", root_path=""
            ),
            hub=self.hub,
        )
        await self.happenings.fill()
        self.task = asyncio.create_task(self.happenings.run())

    async def stop(self) -> None:
        """End what runs."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def end(self, *outcomes: RunOutcome | None, **fields: Any) -> None:
        """End runs of a job one after another, as their monitor would."""
        for outcome in outcomes:
            self.ended += 1
            time = f"2026-11-23T12:{self.ended // 60:02d}:{self.ended % 60:02d}.000Z"
            run = a_run(f"run-{self.ended}", outcome=outcome, ended_at=time, **fields)
            await self.runs.save(run)
            if self.happenings is not None:
                self.happenings.run_over(run)
                await self.settled()

    async def settled(self) -> None:
        """Let the bell take in what it was told."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def report(self, **fields: Any) -> None:
        """Report a fault, and let it be read."""
        self.log.report(a_fault(**fields))
        await self.read()

    async def read(self) -> None:
        """Let the error log be read."""
        assert self.happenings is not None
        self.happenings.events_changed()
        await self.settled()

    def items(self) -> tuple[HappeningView, ...]:
        """Return what the bell shows."""
        assert self.happenings is not None
        return self.happenings.view().items

    def kinds(self) -> list[str]:
        """Return what happened, oldest first."""
        return [str(item.kind) for item in reversed(self.items())]


@pytest.fixture
def scene() -> Scene:
    """A bell that was not started yet."""
    return Scene(InMemoryJobStore(), Runs(), Log())


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ((GOOD, GOOD), []),
        ((FAIL, CUT, WARN), ["failed", "interrupted", "warning"]),
        ((STOP,), []),
        ((FAIL, GOOD, GOOD), ["failed", "recovered"]),
        ((CUT, GOOD), ["interrupted", "recovered"]),
        ((FAIL, STOP, GOOD), ["failed", "recovered"]),
        ((WARN, GOOD), ["warning"]),
        ((FAIL, WARN, GOOD), ["failed", "warning"]),
        ((STOP, GOOD), []),
        ((None,), []),
    ],
)
async def test_ends_are_told_as_what_they_are_live_and_after_a_restart(
    scene: Scene, outcomes: tuple[RunOutcome | None, ...], told: list[str]
) -> None:
    await scene.start()
    await scene.end(*outcomes)
    assert scene.kinds() == told
    keys = [item.key for item in scene.items()]
    await scene.start()
    assert scene.kinds() == told
    assert [item.key for item in scene.items()] == keys
    await scene.stop()


async def test_a_job_is_good_again_when_nothing_of_it_is_left_to_do(scene: Scene) -> None:
    await scene.start()
    await scene.end(FAIL)
    await scene.end(GOOD, only_failed_of="run-1", leaves_job=JobStatus.FAILED)
    assert scene.kinds() == ["failed"]
    await scene.end(GOOD)
    assert scene.kinds() == ["failed", "recovered"]
    await scene.stop()


async def test_a_dry_run_tells_of_its_own_failure_and_of_no_recovery(scene: Scene) -> None:
    await scene.start()
    await scene.end(FAIL)
    await scene.end(GOOD, FAIL, kind=RunKind.DRY_RUN)
    await scene.end(GOOD, job_id="other")
    assert scene.kinds() == ["failed", "failed"]
    assert scene.items()[0].title == "The dry run of Photos failed"
    await scene.end(GOOD)
    await scene.end(FAIL, kind=RunKind.DRY_RUN)
    await scene.end(GOOD)
    told = ["failed", "failed", "recovered", "failed"]
    assert scene.kinds() == told
    await scene.start()
    assert scene.kinds() == told
    await scene.stop()


async def test_there_are_so_many_at_most_and_each_once(scene: Scene) -> None:
    await scene.start()
    for _ in range(MAX_HAPPENINGS + 5):
        await scene.end(FAIL)
    keys = [item.key for item in scene.items()]
    assert keys == [f"run-run-{number}" for number in range(MAX_HAPPENINGS + 5, 5, -1)]
    assert scene.happenings is not None
    scene.happenings.run_over(await scene.runs.get(f"run-{MAX_HAPPENINGS + 5}"))
    await scene.settled()
    assert [item.key for item in scene.items()] == keys
    await scene.stop()


async def test_errors_are_told_by_how_bad_they_are_and_once(scene: Scene) -> None:
    await scene.start()
    for severity in Severity:
        await scene.report(severity=severity, message=severity)
    assert scene.kinds() == ["warning", "error", "error"]
    await scene.report(severity=Severity.HIGH, message="high")
    assert len(scene.items()) == 3, "the same error again is no news"
    assert [item.is_alert for item in scene.items()] == [True, True, False]
    await scene.start()
    assert scene.kinds() == ["warning", "error", "error"]
    await scene.stop()


async def test_what_comes_while_the_log_is_read_is_told_as_well(scene: Scene) -> None:
    await scene.start()
    late = scene.log.late = asyncio.Event()
    await scene.report(message="first")
    await scene.report(message="second")
    assert scene.kinds() == []
    late.set()
    await scene.settled()
    assert scene.kinds() == ["error", "error"]
    await scene.stop()


async def test_a_damaged_file_is_told_and_that_it_is_whole_again(scene: Scene) -> None:
    await scene.start()
    await scene.report(error_type=DAMAGED, job_id=JOB, message="photos cannot be used")
    assert scene.kinds() == ["damaged"]
    (event,) = scene.log.events
    await scene.log.resolve(event.id)
    await scene.read()
    assert scene.kinds() == ["damaged"], "a person dismissed it, and the file is as it was"

    await scene.report(error_type=DAMAGED, job_id=JOB, message="photos cannot be used")
    await scene.jobs.create(a_job(JOB, name="Renamed"), JobState(JOB))
    await scene.log.resolve(scene.log.events[-1].id)
    await scene.read()
    assert scene.kinds() == ["damaged", "damaged", "mended"]
    newest = scene.items()[0]
    assert (newest.title, newest.url) == ("The file of Renamed is whole again", f"/job_page/{JOB}")
    await scene.read()
    assert len(scene.items()) == 3
    await scene.stop()


async def test_an_edit_that_was_dismissed_is_not_called_mended(scene: Scene) -> None:
    await scene.jobs.create(a_job(JOB), JobState(JOB))
    await scene.start()
    await scene.report(error_type=EDIT_INVALID, job_id=JOB)
    await scene.log.resolve(scene.log.events[0].id)
    await scene.read()
    assert scene.kinds() == ["damaged"]
    await scene.stop()


async def test_a_run_is_linked_by_its_jobs_present_name_while_there_is_one(scene: Scene) -> None:
    await scene.jobs.create(a_job(JOB, name="Renamed <b>"), JobState(JOB))
    await scene.start()
    await scene.end(FAIL, message="m" * 301)
    await scene.end(FAIL, job_id="gone", job_name="Gone")
    gone, there = scene.items()
    assert (gone.title, gone.url, gone.about) == ("Gone failed", None, "gone")
    assert (there.title, there.url) == ("Renamed <b> failed", "/run_page/run-1")
    assert there.detail == "m" * 299 + "…"
    assert scene.happenings is not None
    html = scene.happenings.fragment()
    assert "Renamed &lt;b&gt; failed" in html
    assert "<b>" not in html
    await scene.stop()


async def test_browsers_are_told_of_what_is_new_alone(scene: Scene) -> None:
    await scene.start()
    assert scene.hub is not None
    cursor = scene.hub.cursor
    await scene.end(GOOD, STOP)
    await scene.read()
    assert scene.hub.cursor == cursor
    await scene.end(FAIL)
    assert scene.hub.cursor != cursor
    await scene.stop()


async def test_what_cannot_be_read_is_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refreshing, "RETRY_SECONDS", 0.01)
    await scene.start()
    await scene.end(FAIL)
    scene.runs.failures = 2
    await scene.end(GOOD)

    async def is_shown() -> bool:
        return scene.kinds() == ["failed", "recovered"]

    await wait_until_async(is_shown, what="the recovery")
    assert "disk I/O error" in caplog.text
    await scene.stop()


def test_a_run_under_way_is_no_happening() -> None:
    run: Run = replace(a_run(), outcome=FAIL)
    assert happening_of_run(run, was_bad=False) is None, "it has no end yet"
