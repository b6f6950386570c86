"""Proves what is pushed of a change of the error log: to whom, and how often in a storm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from fastapi_app import error_count, refreshing
from fastapi_app.error_count import ERRORS_KEY, ErrorCount
from fastapi_app.rendering import Renderer
from models.error_event import ErrorPage
from models.errors import StorageFailed
from tests.fakes.builders import a_fault
from tests.fakes.error_logs import InMemoryErrorLog


class Hub:
    """Takes note of what is pushed, as a change of structure or not."""

    def __init__(self) -> None:
        self.pushed = 0

    def jobs_changed(self, keys: Iterable[str]) -> None:
        """Take note."""
        assert tuple(keys) == (ERRORS_KEY,)
        self.pushed += 1


class Log(InMemoryErrorLog):
    """An error log whose database can be away."""

    is_away = False
    asked_in_vain = 0

    async def list_events(self, **wanted: object) -> ErrorPage:
        """Return a page of the events."""
        if self.is_away:
            self.asked_in_vain += 1
            raise StorageFailed("The database", "away")
        return await super().list_events(**wanted)  # type: ignore[arg-type]


def made(log: InMemoryErrorLog) -> tuple[ErrorCount, Hub]:
    """Return a count of a log, and the hub that it tells."""
    hub = Hub()
    renderer = Renderer(lambda name, **_: f"/{name}", root_path="")
    return ErrorCount(log, renderer=renderer, hub=hub), hub  # type: ignore[arg-type]


async def until(condition: object) -> None:
    """Let the others go on until something holds."""
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)


async def test_a_new_error_is_structure_and_one_that_is_met_again_is_not() -> None:
    log = InMemoryErrorLog()
    count, hub = made(log)
    log.report(a_fault(message="<b>"))
    await count.refresh()
    before = count.update()
    log.report(a_fault(message="<b>"))
    await count.refresh()
    again = count.update()
    assert again.structure == before.structure
    assert again.values != before.values
    log.report(a_fault(message="another"))
    await count.refresh()
    assert count.update().structure != before.structure
    assert "2 unresolved" in count.fragment()
    assert hub.pushed == 3


async def test_a_count_is_cut_at_a_glance_and_whole_for_who_asks() -> None:
    log = InMemoryErrorLog()
    count, _ = made(log)
    await count.refresh()
    assert "hidden" in count.fragment().partition(">")[0]
    for number in range(1_200):
        log.report(a_fault(message=str(number)))
    await count.refresh()
    assert (count.view().short, count.view().exact) == ("99+", "1,200")
    assert "hidden" not in count.fragment().partition(">")[0]


async def test_in_a_storm_the_pauses_grow_and_the_last_change_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    real = asyncio.sleep
    log = Log()
    count, hub = made(log)

    async def sleep(seconds: float) -> None:
        if seconds > 0.1:
            pauses.append(seconds)
            if len(pauses) <= 10:
                log.report(a_fault())
                count.events_changed()
        await real(0.001)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    task = asyncio.create_task(count.run())
    await until(lambda: len(pauses) == 11)
    assert pauses[0] == pytest.approx(0.3)
    assert pauses[:8] == sorted(pauses[:8])
    assert pauses[-1] == pytest.approx(4.0)
    assert hub.pushed == 11
    await real(0.05)
    count.events_changed()
    await until(lambda: len(pauses) == 12)
    assert pauses[-1] == pytest.approx(0.3)
    task.cancel()


async def test_what_could_not_be_counted_is_counted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(error_count, "_PAUSE_SECONDS", 0.001)
    log = Log()
    count, hub = made(log)
    log.is_away = True
    task = asyncio.create_task(count.run())
    log.report(a_fault())
    await until(lambda: log.asked_in_vain == 2)
    assert hub.pushed == 0
    log.is_away = False
    await until(lambda: hub.pushed == 1)
    assert count.view().count == 1
    task.cancel()
