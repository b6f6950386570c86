"""The table of error events, and what changes it within one transaction; error_reading.py reads."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.error_event import Fault, Severity, kept_name, printable
from models.error_query import ErrorFilter
from models.errors import ErrorEventNotFound
from storage.error_hours import HOUR_LENGTH, count_hours

METADATA = MetaData()
ERROR_EVENTS = Table(
    "error_events",
    METADATA,
    # Counts up and is never given again, so that it is the order of first reports too.
    Column("id", Integer, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("timestamp", Text, nullable=False),
    Column("last_seen", Text, nullable=False),
    Column("count", Integer, nullable=False),
    *(
        Column(name, Text, nullable=False)
        for name in ("severity", "component", "error_type", "message")
    ),
    Column("details", JSON, nullable=False),
    *(Column(name, Text) for name in ("job_id", "job_name", "run_id", "stack_trace")),
    Column("resolved_at", Text),
    sqlite_autoincrement=True,
)
_EVENT = ERROR_EVENTS.c
_OPEN = _EVENT.resolved_at.is_(None)
_SEARCHED = (_EVENT.message, _EVENT.error_type, _EVENT.job_name)
_IDS_A_STATEMENT = 500
_LONGEST_ID = 18
_FACTS_OF_THE_LAST_TIME = (
    "last_seen",
    "severity",
    "details",
    "job_name",
    "run_id",
    "stack_trace",
)


@dataclass
class Report:
    """A fault to be written, with its repetitions so far; times are UTC, ISO 8601."""

    fault: Fault
    first_seen: str
    last_seen: str = field(init=False)
    count: int = 1

    def __post_init__(self) -> None:
        self.last_seen = self.first_seen

    def add(self, fault: Fault, now: str) -> None:
        """Count the same fault, met again."""
        self.fault, self.last_seen = fault, now
        self.count += 1


@dataclass(frozen=True)
class Settlement:
    """The news that the cause of some events is gone."""

    error_type: str
    job_id: str | None
    time: str


Entry: TypeAlias = Report | Settlement


def write_batch(connection: Connection, batch: Iterable[Report | Settlement]) -> bool:
    """Write these in their order; returns whether they changed anything."""
    changed = False
    met: Counter[tuple[str, Severity]] = Counter()
    for is_report, entries in groupby(batch, lambda entry: isinstance(entry, Report)):
        if is_report:
            reports = [entry for entry in entries if isinstance(entry, Report)]
            _upsert(connection, reports)
            for report in reports:
                met[report.last_seen[:HOUR_LENGTH], report.fault.severity] += report.count
            changed = True
        else:
            for entry in entries:
                if isinstance(entry, Settlement) and _settle(connection, entry):
                    changed = True
    count_hours(connection, met)
    return changed


def prune(connection: Connection, *, resolved_before: str, max_rows: int) -> bool:
    """Forget events that were resolved before a time, and the oldest beyond so many, unresolved
    ones last; returns whether there were any."""
    old = connection.execute(delete(ERROR_EVENTS).where(_EVENT.resolved_at < resolved_before))
    kept = connection.execute(select(func.count()).select_from(ERROR_EVENTS)).scalar_one()
    surplus = kept - max_rows
    if surplus > 0:
        oldest = select(_EVENT.id).order_by(_OPEN, _EVENT.id).limit(surplus)
        connection.execute(delete(ERROR_EVENTS).where(_EVENT.id.in_(oldest.scalar_subquery())))
    return surplus > 0 or old.rowcount > 0


def resolve_event(connection: Connection, event_id: str, now: str) -> bool:
    """Resolve an event; returns whether it was open. Raises ErrorEventNotFound."""
    if resolve_events(connection, (event_id,), now):
        return True
    known = select(_EVENT.id).where(_EVENT.id == row_id(event_id))
    if connection.execute(known).first() is None:
        raise ErrorEventNotFound(event_id)
    return False


def resolve_events(connection: Connection, which: Collection[str] | ErrorFilter, now: str) -> int:
    """Resolve events by their ids, or all that match; returns how many of them were open."""
    if isinstance(which, ErrorFilter):
        return _resolve_where(connection, conditions(which), now)
    rows = [row for one in which if (row := row_id(one)) is not None]
    parts = range(0, len(rows), _IDS_A_STATEMENT)
    return sum(
        _resolve_where(connection, [_EVENT.id.in_(rows[start : start + _IDS_A_STATEMENT])], now)
        for start in parts
    )


def conditions(wanted: ErrorFilter) -> list[ColumnElement[bool]]:
    """Return what holds for each event that is wanted."""
    found: list[ColumnElement[bool]] = []
    if wanted.severity is not None:
        found.append(_EVENT.severity == wanted.severity)
    if wanted.component is not None:
        found.append(_EVENT.component == wanted.component)
    for column, name in ((_EVENT.job_id, wanted.job_id), (_EVENT.error_type, wanted.error_type)):
        if name is not None:
            found.append(column == kept_name(name))
    if wanted.resolved is not None:
        found.append(_EVENT.resolved_at.is_not(None) if wanted.resolved else _OPEN)
    if wanted.q:
        text = func.lower(printable(wanted.q))
        found.append(or_(*(func.instr(func.lower(column), text) > 0 for column in _SEARCHED)))
    if wanted.since is not None:
        found.append(_EVENT.last_seen >= wanted.since)
    if wanted.up_to is not None:
        newest = row_id(wanted.up_to)
        found.append(_EVENT.id <= (newest if newest is not None else -1))
    return found


def row_id(text: str | None) -> int | None:
    """Return an event's id, or a cursor, as the number of its row; None when it is none."""
    is_number = text is not None and text.isascii() and text.isdecimal()
    return int(text) if text and is_number and len(text) <= _LONGEST_ID else None


def _upsert(connection: Connection, reports: Sequence[Report]) -> None:
    # Several at once: one statement for each took four times as long, and most of that in Python,
    # whose lock the event loop then waits for.
    statement = insert(ERROR_EVENTS)
    newest = {name: statement.excluded[name] for name in _FACTS_OF_THE_LAST_TIME}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["fingerprint"],
            index_where=_OPEN,
            set_=newest | {"count": _EVENT.count + statement.excluded["count"]},
        ),
        [_row(report) for report in reports],
    )


def _row(report: Report) -> dict[str, object]:
    fault = report.fault
    return {
        "fingerprint": _fingerprint(fault),
        "timestamp": report.first_seen,
        "last_seen": report.last_seen,
        "count": report.count,
        "severity": fault.severity,
        "component": fault.component,
        "error_type": fault.error_type,
        "message": fault.message,
        "details": fault.details,
        "job_id": fault.job_id,
        "job_name": fault.job_name,
        "run_id": fault.run_id,
        "stack_trace": fault.stack_trace,
    }


def _settle(connection: Connection, settlement: Settlement) -> bool:
    statement = update(ERROR_EVENTS).where(
        _OPEN,
        _EVENT.job_id.is_not_distinct_from(settlement.job_id),
        _EVENT.error_type == settlement.error_type,
    )
    return connection.execute(statement.values(resolved_at=settlement.time)).rowcount > 0


def _resolve_where(connection: Connection, meant: Sequence[ColumnElement[bool]], now: str) -> int:
    statement = update(ERROR_EVENTS).where(_OPEN, *meant).values(resolved_at=now)
    return connection.execute(statement).rowcount


def _fingerprint(fault: Fault) -> str:
    # A digest, so that the unique index does not hold every message a second time.
    return hashlib.sha256(json.dumps(fault.identity).encode()).hexdigest()
