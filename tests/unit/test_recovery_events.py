"""Proves that what a strategy does is one event while it lasts, one state and one note."""

from __future__ import annotations

import asyncio

import pytest

from core.error_recovery import CircuitBreaker, Degradation, RetryPolicy
from core.recovery_states import (
    BREAKER,
    CIRCUIT_CLOSED,
    CIRCUIT_OPEN,
    DEGRADATION,
    RecoveryState,
    state_now,
)
from fastapi_app import recovery_events
from fastapi_app.recovery_events import RecoveryEvents
from models.error_event import Component
from models.errors import StorageBusy, StorageFailed
from tests.fakes.builders import a_fault
from tests.fakes.error_logs import InMemoryErrorLog
from tests.support import wait_until_async


class Scene:
    """Strategies over an error log in memory."""

    def __init__(self) -> None:
        self.log = InMemoryErrorLog()
        self.events = RecoveryEvents(self.log, on_change=self._count)
        self.changes = 0
        self.listener = self.events.listener(Component.STORAGE, lambda state: f"No {state.name}.")

    def _count(self) -> None:
        self.changes += 1

    def event(self) -> tuple[str, str, int, bool]:
        """Return what the only event says."""
        (event,) = self.log.events
        assert (event.severity, event.component) == ("medium", "storage")
        return event.error_type, event.message, event.count, event.resolved

    def states(self) -> list[tuple[str, str, str]]:
        """Return what is not at rest."""
        return [(state.name, state.kind, state.state) for state in self.events.states()]


async def fail() -> None:
    """Do work that fails."""
    raise ConnectionError


@pytest.fixture
def scene() -> Scene:
    """Everything is at rest."""
    return Scene()


def told(kind: str, state: str, reason: str = "why", name: str = "nas") -> RecoveryState:
    """Return a state as a strategy tells it."""
    return RecoveryState(name, kind, state, "2026-11-23T12:00:00.000Z", reason)


def test_a_breaker_is_one_event_from_opening_to_closing(scene: Scene) -> None:
    scene.listener(told(BREAKER, "open", "refused"))
    assert scene.event() == ("CircuitOpen: nas", "No nas.", 1, False)
    assert scene.log.events[0].details["reason"] == "refused"
    scene.listener(told(BREAKER, "half_open"))
    assert scene.states() == [("nas", "circuit_breaker", "half_open")]
    assert scene.event() == ("CircuitOpen: nas", "No nas.", 1, False)
    scene.listener(told(BREAKER, "open", "no route"))
    assert scene.event() == ("CircuitOpen: nas", "No nas.", 2, False)
    scene.listener(told(BREAKER, "half_open"))
    scene.listener(told(BREAKER, "closed"))
    assert scene.event() == ("CircuitOpen: nas", "No nas.", 2, True)
    assert (scene.states(), scene.events.notes(), scene.changes) == ([], (), 5)


def test_one_that_works_again_resolves_no_other(scene: Scene) -> None:
    scene.listener(told(BREAKER, "open", name="nas"))
    scene.listener(told(BREAKER, "open", name="attic"))
    scene.listener(told(BREAKER, "closed", name="nas"))
    assert [event.message for event in scene.log.unresolved] == ["No attic."]
    assert [note.text for note in scene.events.notes()] == ["No attic."]


async def test_a_degradation_is_noted_since_it_began(scene: Scene) -> None:
    history = Degradation("history", on_change=scene.listener)
    history.failed("disk I/O error")
    (note,) = scene.events.notes()
    assert note.text == "No history."
    assert note.since is not None
    assert note.since.iso == history.since
    assert scene.event() == ("Degraded: history", "No history.", 1, False)
    history.worked()
    assert scene.event() == ("Degraded: history", "No history.", 1, True)


@pytest.mark.parametrize("works_at_last", [True, False])
async def test_what_is_tried_again_is_an_event_until_the_last_try(
    scene: Scene, *, works_at_last: bool
) -> None:
    seen: list[object] = []

    async def work() -> None:
        if scene.log.events:
            seen.append(scene.event())
        if not (works_at_last and seen):
            raise StorageBusy("The database", "database is locked")

    policy = RetryPolicy(2, 0, 0)
    try:
        await policy.call(work, retry_on=StorageBusy, name="end of a run", on_change=scene.listener)
    except StorageFailed:
        assert not works_at_last
    assert seen == [("Retrying: end of a run", "No end of a run.", 1, False)]
    assert scene.event() == ("Retrying: end of a run", "No end of a run.", 1, True)


def test_what_was_never_told_is_not_resolved(scene: Scene) -> None:
    scene.listener(told(DEGRADATION, "well"))
    assert (scene.log.events, scene.changes) == ([], 0)


async def test_what_an_earlier_dashboard_told_is_resolved_at_the_start(scene: Scene) -> None:
    scene.listener(told(BREAKER, "open"))
    scene.log.report(a_fault(message="another", error_type="JobFileDamaged"))
    await RecoveryEvents(scene.log).settle_left_over()
    assert [event.message for event in scene.log.unresolved] == ["another"]


async def test_it_is_looked_again_only_while_something_of_the_kind_is_not_at_rest(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_events, "PROBE_SECONDS", 0.0)
    nas = CircuitBreaker("nas", failures=1, open_seconds=0, on_change=scene.listener)
    probes: list[str] = []

    async def probe_disk() -> None:
        probes.append("disk")

    async def probe_nas() -> None:
        probes.append("nas")
        if probes.count("nas") == 1:
            raise AssertionError("a defect of the probe")
        nas.forget()

    works = scene.events.works(remotes=probe_nas, history=probe_disk, disks=probe_disk)
    tasks = [asyncio.create_task(kept.work()) for kept in works]
    for _ in range(20):
        await asyncio.sleep(0)
    assert probes == []
    with pytest.raises(ConnectionError):
        await nas.call(fail)

    async def is_closed() -> bool:
        return nas.state == "closed"

    await wait_until_async(is_closed, what="the probe")
    for _ in range(20):
        await asyncio.sleep(0)
    assert probes == ["nas", "nas"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_what_tells_the_error_log_itself_is_a_state_and_a_note_and_no_event(scene: Scene) -> None:
    take = scene.events.watcher(lambda state: f"{state.name} is left alone.")
    take(state_now("hook", BREAKER, CIRCUIT_OPEN, "It answered with the status 503."))
    assert scene.states() == [("hook", "circuit_breaker", "open")]
    assert [note.text for note in scene.events.notes()] == ["hook is left alone."]
    take(state_now("hook", BREAKER, CIRCUIT_CLOSED, ""))
    assert (scene.states(), scene.changes, scene.log.events) == ([], 2, [])


def test_an_error_log_that_cannot_be_written_is_noted_and_is_no_event(scene: Scene) -> None:
    note = scene.events.watch_error_log("No log.")
    note(None)
    assert scene.changes == 0
    note("database is locked")
    note("database is locked")
    assert scene.states() == [("error log", "degradation", "degraded")]
    assert [note.text for note in scene.events.notes()] == ["No log."]
    note(None)
    assert (scene.states(), scene.changes, scene.log.events) == ([], 2, [])
