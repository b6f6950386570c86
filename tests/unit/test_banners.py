"""Proves which faults the banners show, in which order, and when they tell the browsers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from core.job_queries import JobQueries
from fastapi_app import refreshing
from fastapi_app.banners import BANNERS_KEY, Banners
from fastapi_app.moments import moment
from fastapi_app.recovery_events import Note
from fastapi_app.rendering import Renderer
from fastapi_app.websocket.hub import CardUpdate, Hub
from models.error_event import ErrorPage, Severity
from models.errors import StorageFailed
from models.job_state import JobState
from tests.fakes.builders import a_fault, a_job
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.stores import InMemoryJobStore, InMemoryRunStore
from tests.support import wait_until_async


class Log(InMemoryErrorLog):
    """An error log that a test can make fail or answer late."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0
        self.late: asyncio.Event | None = None

    async def list_events(self, **wanted: Any) -> ErrorPage:
        """Answer, unless the test forbids it."""
        if self.failures:
            self.failures -= 1
            raise StorageFailed("The database", "disk I/O error")
        page = await super().list_events(**wanted)
        if self.late is not None and wanted["severity"] is Severity.HIGH:
            late, self.late = self.late, None
            await late.wait()
        return page


class Source:
    """The hub's source; nobody is connected, so that nothing is rendered."""

    banners: Banners

    def update_of(self, key: str) -> CardUpdate | None:
        """Return the state of the banners."""
        assert key == BANNERS_KEY
        return self.banners.update()

    async def fragment_of(self, key: str) -> str:
        """Render nothing."""
        raise AssertionError(key)


@dataclass
class Scene:
    """Banners over an error log in memory."""

    log: Log
    jobs: InMemoryJobStore
    hub: Hub
    banners: Banners
    changed: asyncio.Event

    async def report(self, *messages: str, **fields: Any) -> None:
        """Report faults, each at a later time, and read them."""
        for message in messages:
            self.log.report(a_fault(message=message, **fields))
            number = len(self.log.events)
            time = f"2026-11-23T12:00:{number:02d}.000Z"
            self.log.events[-1] = replace(self.log.events[-1], timestamp=time)
        await self.banners.refresh()

    def shown(self) -> list[str]:
        """Return what the banners say."""
        return [banner.message for banner in self.banners.view().items]


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    """Banners that show nothing yet."""
    source, changed = Source(), asyncio.Event()
    made = Scene(Log(), InMemoryJobStore(), Hub(source), Any, changed)  # type: ignore[arg-type]
    made.banners = source.banners = Banners(
        made.log,
        changed,
        queries=JobQueries(made.jobs, InMemoryRunStore()),
        renderer=Renderer(lambda name, **_: f"/{name}", root_path=""),
        hub=made.hub,
    )
    task = asyncio.create_task(made.banners.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_only_unresolved_faults_of_high_and_critical_severity_are_shown(
    scene: Scene,
) -> None:
    for severity in Severity:
        await scene.report(severity, severity=severity)
    assert scene.shown() == ["critical", "high"]
    assert [banner.is_critical for banner in scene.banners.view().items] == [True, False]
    (critical,) = (await scene.log.list_events(severity=Severity.CRITICAL)).items
    await scene.log.resolve(critical.id)
    await scene.banners.refresh()
    assert scene.shown() == ["high"]


async def test_the_newest_three_are_shown_and_the_others_counted(scene: Scene) -> None:
    await scene.report("a", "b", severity=Severity.CRITICAL)
    await scene.report("c", "d")
    await scene.report("e", severity=Severity.CRITICAL)
    assert scene.shown() == ["e", "d", "c"]
    assert scene.banners.view().more == 2


async def test_a_long_message_is_cut(scene: Scene) -> None:
    await scene.report("m" * 500, "m" * 501)
    cut, whole = scene.shown()
    assert cut == "m" * 499 + "…"
    assert whole == "m" * 500


async def test_a_job_is_linked_by_its_present_name_while_it_exists(scene: Scene) -> None:
    await scene.jobs.create(a_job("there", name="Renamed"), JobState("there"))
    await scene.report("a", job_id="there", job_name="Old name")
    await scene.report("b", job_id="gone", job_name="Gone")
    await scene.report("c", job_id="gone-too")
    found = [(banner.job_id, banner.job_name) for banner in scene.banners.view().items]
    assert found == [(None, "gone-too"), (None, "Gone"), ("there", "Renamed")]
    await scene.report("d")
    assert scene.banners.view().items[0].job_name is None


async def test_browsers_are_told_when_something_else_is_shown_and_not_before(
    scene: Scene,
) -> None:
    async def is_news() -> bool:
        before = scene.banners.update().structure
        await scene.banners.refresh()
        return scene.banners.update().structure != before

    assert not await is_news()
    scene.log.report(a_fault())
    assert await is_news()
    scene.log.report(a_fault())
    assert not await is_news(), "the same fault again looks the same"
    scene.log.report(a_fault(severity=Severity.LOW, message="low"))
    assert not await is_news()
    scene.log.report(a_fault(severity=Severity.CRITICAL))
    assert await is_news(), "the same fault, but worse"
    for number in range(4):
        scene.log.report(a_fault(message=f"{number}"))
        assert await is_news()


def test_what_is_done_without_is_news_and_shown_as_long_as_it_lasts() -> None:
    source, notes = Source(), list[Note]()
    hub = Hub(source)
    source.banners = banners = Banners(
        InMemoryErrorLog(),
        asyncio.Event(),
        queries=JobQueries(InMemoryJobStore(), InMemoryRunStore()),
        renderer=Renderer(lambda name, **_: f"/{name}", root_path=""),
        hub=hub,
        notes=lambda: tuple(notes),
    )
    at_rest, cursor = banners.update().structure, hub.cursor
    notes += [Note(f"No {name}.", moment("2026-11-23T12:00:00.000Z")) for name in "abcd"]
    banners.notes_changed()
    assert hub.cursor != cursor
    assert banners.update().structure != at_rest
    assert [note.text for note in banners.view().notes] == ["No a.", "No b.", "No c."]
    html = banners.fragment()
    assert html.count("Degraded:") == 3
    assert "and 1 more" in html
    notes.clear()
    assert banners.update().structure == at_rest
    assert "Degraded" not in banners.fragment()


async def test_a_change_of_the_log_is_read_and_told_to_the_hub(scene: Scene) -> None:
    cursor = scene.hub.cursor
    scene.log.report(a_fault())
    scene.changed.set()

    async def is_shown() -> bool:
        return len(scene.shown()) == 1

    await wait_until_async(is_shown, what="the banner")
    assert scene.hub.cursor != cursor


async def test_what_cannot_be_read_is_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refreshing, "RETRY_SECONDS", 0.01)
    await scene.report("a")
    scene.log.report(a_fault(message="b"))
    scene.log.failures = 2
    scene.changed.set()

    async def is_shown() -> bool:
        return len(scene.shown()) == 2

    await wait_until_async(is_shown, what="the banner")
    assert "disk I/O error" in caplog.text


async def test_an_older_answer_does_not_replace_a_newer_one(scene: Scene) -> None:
    await scene.report("a")
    late = scene.log.late = asyncio.Event()
    first = asyncio.create_task(scene.banners.refresh())

    async def waits() -> bool:
        return scene.log.late is None

    await wait_until_async(waits, what="the first answer")
    scene.log.report(a_fault(message="b"))
    second = asyncio.create_task(scene.banners.refresh())
    # As many turns as it takes to overtake the first one, if it were let.
    for _ in range(20):
        await asyncio.sleep(0)
    late.set()
    await asyncio.gather(first, second)
    assert len(scene.shown()) == 2
