"""The contract of an ErrorLog, held by the one in SQLite and by the one in memory alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio

from core.ports import ErrorLog
from models.error_event import Component, ErrorEvent, Severity
from models.errors import ErrorEventNotFound
from storage.database import Database
from storage.error_repository import ErrorRepository
from tests.fakes.builders import a_fault
from tests.fakes.error_logs import InMemoryErrorLog


@pytest_asyncio.fixture(params=["sqlite", "memory"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ErrorLog]:
    """An empty error log."""
    if request.param == "memory":
        yield InMemoryErrorLog()
        return
    database = await Database.open(tmp_path)
    repository = ErrorRepository(database)
    yield repository
    await repository.close()
    await database.close()


async def reported(log: ErrorLog, *messages: str, **fields: object) -> list[ErrorEvent]:
    """Report faults with these messages and return their events, in the same order."""
    for message in messages:
        log.report(a_fault(message=message, **fields))
    await log.flush()
    items = (await log.list_events(limit=len(messages))).items
    return list(reversed(items))


def messages(events: Sequence[ErrorEvent]) -> list[str]:
    """Return what the events say."""
    return [event.message for event in events]


async def test_an_empty_log(log: ErrorLog) -> None:
    page = await log.list_events()
    assert (page.items, page.total, page.next_cursor) == ((), 0, None)
    await log.flush()


async def test_a_fault_comes_back_with_all_its_facts(log: ErrorLog) -> None:
    fault = a_fault(
        severity=Severity.CRITICAL,
        component=Component.ENGINE,
        error_type="Odd'; DROP TABLE error_events; --",
        message="Grüße 🚢\n'\x00 <b>",
        details={"a": [1, 2.5, None, True, {"b": "c"}], "ü": "\n"},
        job_id="photos-0001",
        job_name="Photos",
        run_id="run-1",
        stack_trace="Traceback\n  line 1",
    )
    log.report(fault)
    await log.flush()

    (event,) = (await log.list_events()).items
    assert event == await log.get(event.id)
    for name in fault.__dataclass_fields__:
        assert getattr(event, name) == getattr(fault, name), name
    assert isinstance(event.severity, Severity)
    assert isinstance(event.component, Component)
    assert (event.count, event.resolved, event.resolved_at) == (1, False, None)
    assert event.timestamp == event.last_seen
    assert datetime.fromisoformat(event.timestamp).utcoffset() is not None


async def test_the_same_fault_again_is_counted_with_its_newest_facts(log: ErrorLog) -> None:
    log.report(a_fault(severity=Severity.HIGH, run_id="run-1", details={"attempt": 1}))
    await log.flush()
    (before,) = (await log.list_events()).items
    for attempt in (2, 3):
        log.report(
            a_fault(severity=Severity.CRITICAL, run_id="run-2", details={"attempt": attempt})
        )
    await log.flush()

    (event,) = (await log.list_events()).items
    assert (event.id, event.timestamp, event.count) == (before.id, before.timestamp, 3)
    assert event.last_seen >= before.last_seen
    assert (event.severity, event.run_id) == (Severity.CRITICAL, "run-2")
    assert event.details == {"attempt": 3}


@pytest.mark.parametrize(
    "other",
    [
        {"component": Component.API},
        {"error_type": "Other"},
        {"message": "Other"},
        {"job_id": "b"},
        {"job_id": None},
        {"job_id": ""},
    ],
    ids=repr,
)
async def test_another_fault_is_another_event(log: ErrorLog, other: dict[str, object]) -> None:
    log.report(a_fault(job_id="a"))
    log.report(a_fault(**{"job_id": "a"} | other))
    await log.flush()
    assert [event.count for event in (await log.list_events()).items] == [1, 1]


async def test_a_fault_that_comes_again_after_it_was_resolved_is_a_new_event(
    log: ErrorLog,
) -> None:
    (first,) = await reported(log, "a")
    await log.resolve(first.id)
    (second,) = await reported(log, "a")
    assert second.id != first.id
    assert (second.count, second.resolved) == (1, False)
    assert (await log.get(first.id)).resolved


async def test_resolving_is_dated_once(log: ErrorLog) -> None:
    (event,) = await reported(log, "a")
    await log.resolve(event.id)
    resolved = await log.get(event.id)
    assert resolved.resolved
    assert resolved.resolved_at is not None
    assert resolved.resolved_at >= event.timestamp
    await log.resolve(event.id)
    assert await log.get(event.id) == resolved


@pytest.mark.parametrize("event_id", ["999", "", "-1", "1.0", "²", "x", "9" * 400, "1; --"])
async def test_an_unknown_event_is_refused(log: ErrorLog, event_id: str) -> None:
    await reported(log, "a")
    for call in (log.get, log.resolve):
        with pytest.raises(ErrorEventNotFound) as caught:
            await call(event_id)
        assert caught.value.event_id == event_id


async def test_settling_resolves_that_type_of_that_job_alone(log: ErrorLog) -> None:
    await reported(log, "a", "b", error_type="Damaged", job_id="one")
    await reported(log, "c", error_type="Damaged", job_id="two")
    await reported(log, "d", error_type="Damaged")
    await reported(log, "e", error_type="Other", job_id="one")
    log.settle(error_type="Damaged", job_id="one")
    log.settle(error_type="Damaged", job_id="nobody")
    await log.flush()
    assert messages((await log.list_events(resolved=False)).items) == ["e", "d", "c"]
    settled = (await log.list_events(resolved=True)).items
    assert messages(settled) == ["b", "a"]
    assert all(event.resolved_at for event in settled)

    log.settle(error_type="Damaged", job_id=None)
    await log.flush()
    assert messages((await log.list_events(resolved=False)).items) == ["e", "c"]


async def test_reports_and_settlements_take_effect_in_their_order(log: ErrorLog) -> None:
    fault = a_fault(job_id="a")
    for _ in range(2):
        log.report(fault)
        log.report(fault)
        log.settle(error_type=fault.error_type, job_id="a")
        log.settle(error_type=fault.error_type, job_id="a")
    log.report(fault)
    await log.flush()
    events = (await log.list_events()).items
    assert [(event.resolved, event.count) for event in events] == [
        (False, 1),
        (True, 2),
        (True, 2),
    ]


async def test_pages_are_newest_first_and_leave_nothing_out(log: ErrorLog) -> None:
    names = [str(number) for number in range(10)]
    await reported(log, *names)
    # Met again, an event keeps its place: pages do not shift beneath a reader.
    log.report(a_fault(message="0"))
    await log.flush()
    seen: list[ErrorEvent] = []
    cursor = None
    while True:
        page = await log.list_events(limit=3, cursor=cursor)
        assert page.total == 10
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == 3
    assert messages(seen) == names[::-1]


async def test_a_page_stays_where_it_was_when_a_newer_event_comes(log: ErrorLog) -> None:
    await reported(log, "a", "b", "c", "d")
    first = await log.list_events(limit=2)
    await reported(log, "e")
    second = await log.list_events(limit=2, cursor=first.next_cursor)
    assert messages(second.items) == ["b", "a"]
    assert second.next_cursor is None


async def test_events_are_chosen_by_each_filter_and_by_all_together(log: ErrorLog) -> None:
    await reported(log, "a", severity=Severity.LOW, component=Component.API, job_id="one")
    await reported(log, "b", severity=Severity.LOW, component=Component.API, job_id="two")
    await reported(log, "c", severity=Severity.LOW, component=Component.UI, job_id="one")
    await reported(log, "d", severity=Severity.HIGH, component=Component.API, job_id="one")
    (e,) = await reported(log, "e", severity=Severity.LOW, component=Component.API, job_id="one")
    await log.resolve(e.id)

    assert messages((await log.list_events(severity=Severity.HIGH)).items) == ["d"]
    assert messages((await log.list_events(component=Component.UI)).items) == ["c"]
    assert messages((await log.list_events(job_id="two")).items) == ["b"]
    assert messages((await log.list_events(job_id="nobody")).items) == []
    assert messages((await log.list_events(resolved=True)).items) == ["e"]
    page = await log.list_events(
        severity=Severity.LOW, component=Component.API, job_id="one", resolved=False, limit=1
    )
    assert (messages(page.items), page.total, page.next_cursor) == (["a"], 1, None)


@pytest.mark.parametrize(("limit", "length"), [(-5, 1), (0, 1), (1, 1), (2, 2), (10**6, 3)])
async def test_a_limit_is_held_within_bounds(log: ErrorLog, limit: int, length: int) -> None:
    await reported(log, "a", "b", "c")
    assert len((await log.list_events(limit=limit)).items) == length


@pytest.mark.parametrize("cursor", ["", "nonsense", "'; DROP TABLE error_events; --", "²"])
async def test_a_cursor_that_is_none_begins_at_the_start(log: ErrorLog, cursor: str) -> None:
    await reported(log, "a")
    assert len((await log.list_events(cursor=cursor)).items) == 1


async def test_names_with_bytes_that_are_no_text_are_found_again(log: ErrorLog) -> None:
    name = "photos-\udcff"
    log.report(a_fault(job_id=name, message=name, details={name: [name]}))
    await log.flush()
    assert (await log.list_events(job_id=name)).total == 1
    log.settle(error_type="DiskFull", job_id=name)
    await log.flush()
    assert (await log.list_events(resolved=False)).total == 0


async def test_a_closed_log_takes_no_more_and_complains_to_nobody(log: ErrorLog) -> None:
    await reported(log, "a")
    await log.close()
    await log.close()
    log.report(a_fault(message="too late"))
    log.settle(error_type="DiskFull", job_id=None)
    await log.flush()
    assert messages((await log.list_events()).items) == ["a"]
    assert (await log.list_events(resolved=False)).total == 1


async def test_what_was_reported_before_closing_is_written(log: ErrorLog) -> None:
    log.report(a_fault())
    await log.close()
    assert (await log.list_events()).total == 1
