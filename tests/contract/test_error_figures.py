"""The contract of an ErrorLog, continued: searching, grouping, counting, resolving many."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.ports import ErrorLog
from models.error_event import Component, Severity
from models.error_query import ErrorFilter, ErrorGroup, ErrorJob
from tests.contract.test_error_log import log as log
from tests.contract.test_error_log import messages, reported
from tests.fakes.builders import a_fault


async def found(log: ErrorLog, **wanted: object) -> list[str]:
    """Return what the events say that match."""
    return messages((await log.find(ErrorFilter(**wanted))).items)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("FULL", ["Nothing", "The disk is full"]),
        ("full of it", []),
        ("photos", ["Other"]),
        ("100%", ["Grüße 100% <b>"]),
        ("grüße", ["Grüße 100% <b>"]),
        ("GRÜSSE", []),
        ("_", []),
        ("", ["Nothing", "Other", "Grüße 100% <b>", "The disk is full"]),
    ],
)
async def test_a_text_is_found_in_message_type_and_name(
    log: ErrorLog, q: str, expected: list[str]
) -> None:
    await reported(log, "The disk is full", "Grüße 100% <b>", error_type="Odd")
    await reported(log, "Other", error_type="Odd", job_id="1", job_name="Photos to NAS")
    await reported(log, "Nothing", error_type="DiskFull")
    assert await found(log, q=q) == expected


async def test_events_are_found_by_type_by_time_and_up_to_one(log: ErrorLog) -> None:
    a, b = await reported(log, "a", "b", error_type="One")
    (c,) = await reported(log, "c", error_type="Two")
    assert await found(log, error_type="One") == ["b", "a"]
    assert await found(log, up_to=b.id) == ["b", "a"]
    assert await found(log, since=a.last_seen) == ["c", "b", "a"]
    assert await found(log, since="2999") == []
    assert await found(log, error_type="One", up_to=a.id, q="A", resolved=False) == ["a"]
    page = await log.find(ErrorFilter(q="e"), limit=1)
    assert (page.total, page.next_cursor) == (2, b.id if not page.items else page.items[0].id)
    assert c.error_type == "Two"


async def test_many_are_resolved_by_their_ids_once_each(log: ErrorLog) -> None:
    a, b, c = await reported(log, "a", "b", "c")
    assert await log.resolve_many([a.id, b.id, a.id, "999", "nonsense", ""]) == 2
    assert await log.resolve_many([a.id, b.id]) == 0
    assert await log.resolve_many([]) == 0
    assert await found(log, resolved=False) == ["c"]
    assert (await log.get(a.id)).resolved_at is not None
    assert not (await log.get(c.id)).resolved


async def test_all_that_match_are_resolved_but_not_what_nobody_has_seen(log: ErrorLog) -> None:
    await reported(log, "a", severity=Severity.LOW)
    (b,) = await reported(log, "b", severity=Severity.HIGH)
    await reported(log, "c", severity=Severity.HIGH)
    assert await log.resolve_many(ErrorFilter(severity=Severity.HIGH, up_to=b.id)) == 1
    assert await found(log, resolved=False) == ["c", "a"]
    assert await log.resolve_many(ErrorFilter()) == 2
    assert await found(log, resolved=False) == []


async def everything(log: ErrorLog) -> tuple[ErrorGroup, ...]:
    """Return all kinds of faults."""
    return await log.groups(ErrorFilter())


async def test_events_are_grouped_by_kind_of_fault(log: ErrorLog) -> None:
    await reported(log, "a", "b", error_type="One", severity=Severity.LOW)
    (newest,) = await reported(log, "c", error_type="One", severity=Severity.HIGH)
    await reported(log, "a", error_type="Two", component=Component.ENGINE)
    await reported(log, "a", error_type="Two", component=Component.API)
    log.report(a_fault(message="a", error_type="One", severity=Severity.LOW))
    await log.flush()
    await log.resolve(newest.id)

    groups = {(group.error_type, group.component): group for group in await everything(log)}
    one = groups["One", Component.STORAGE]
    assert (one.component, one.message, one.severity) == (Component.STORAGE, "c", Severity.HIGH)
    assert (one.events, one.unresolved, one.count, one.newest_id) == (3, 2, 4, newest.id)
    assert one.first_seen <= newest.timestamp <= one.last_seen
    assert set(groups) - {("One", Component.STORAGE)} == {
        ("Two", Component.ENGINE),
        ("Two", Component.API),
    }
    (low,) = await log.groups(ErrorFilter(severity=Severity.LOW))
    assert (low.events, low.message) == (2, "b")
    assert len(await log.groups(ErrorFilter(), limit=1)) == 1
    assert await log.groups(ErrorFilter(q="nowhere")) == ()


async def test_the_jobs_that_events_are_about(log: ErrorLog) -> None:
    await reported(log, "a", job_id="one", job_name="Old name")
    await reported(log, "b", job_id="two")
    await reported(log, "c")
    await reported(log, "d", job_id="one", job_name="One")
    assert await log.jobs() == (ErrorJob("one", "One"), ErrorJob("two", "two"))
    assert await log.jobs(limit=1) == (ErrorJob("one", "One"),)


async def test_the_figures_of_an_empty_log(log: ErrorLog) -> None:
    figures = await log.statistics()
    assert (figures.total, figures.unresolved, figures.last_day) == (0, 0, 0)
    assert set(figures.by_severity) == set(Severity)
    assert set(figures.by_component) == set(Component)
    assert (figures.hours, figures.days) == ((), ())


async def test_figures_count_events_and_trends_count_each_time(log: ErrorLog) -> None:
    before = datetime.now(UTC)
    for _ in range(5):
        log.report(a_fault(severity=Severity.CRITICAL, component=Component.ENGINE))
    await log.flush()
    log.report(a_fault(severity=Severity.CRITICAL, component=Component.ENGINE))
    (low,) = await reported(log, "low", severity=Severity.LOW)
    await log.resolve(low.id)
    after = datetime.now(UTC)

    figures = await log.statistics()
    assert (figures.total, figures.unresolved, figures.last_day) == (2, 1, 2)
    assert figures.by_severity[Severity.LOW] == figures.by_severity[Severity.CRITICAL] == 1
    assert figures.by_component[Component.ENGINE] == figures.by_component[Component.STORAGE] == 1
    assert figures.unresolved_by_severity[Severity.LOW] == 0
    assert figures.unresolved_by_severity[Severity.CRITICAL] == 1
    for points, form in ((figures.hours, "%Y-%m-%dT%H"), (figures.days, "%Y-%m-%d")):
        counts = dict.fromkeys(Severity, 0)
        for point in points:
            assert before.strftime(form) <= point.time <= after.strftime(form)
            counts[point.severity] += point.count
        assert counts[Severity.CRITICAL] == 6
        assert counts[Severity.LOW] == 1


async def test_what_is_forgotten_is_what_is_resolved_first(log: ErrorLog) -> None:
    (a, *_) = await reported(log, "a", "b", "c")
    (d,) = await reported(log, "d")
    await log.resolve(d.id)
    log.kept = type(log.kept)(count=2)
    await log.forget_old()
    assert await found(log) == ["c", "b"]
    assert (await log.statistics()).total == 2
    assert a.message == "a"
