"""The table of error events, and what is done to it within one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from models.error_event import Component, ErrorEvent, Fault, Severity
from models.errors import ErrorEventNotFound

MAX_ROWS = 10_000
"""How many events are kept: beyond that the oldest go, resolved ones first."""
RESOLVED_DAYS = 90
"""How many days a resolved event is kept."""
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


@dataclass(frozen=True)
class Selection:
    """Which events to read; None means any."""

    severity: Severity | None = None
    component: Component | None = None
    job_id: str | None = None
    resolved: bool | None = None


def write_batch(connection: Connection, batch: Iterable[Report | Settlement]) -> bool:
    """Write these in their order; returns whether they changed anything."""
    changed = False
    for entry in batch:
        if isinstance(entry, Report):
            _upsert(connection, entry)
            changed = True
        elif _settle(connection, entry):
            changed = True
    return changed


def prune(connection: Connection, *, resolved_before: str, max_rows: int) -> None:
    """Forget events that were resolved before a time, and the oldest beyond so many."""
    connection.execute(delete(ERROR_EVENTS).where(_EVENT.resolved_at < resolved_before))
    surplus = _count(connection, select(_EVENT.id)) - max_rows
    if surplus > 0:
        oldest = select(_EVENT.id).order_by(_OPEN, _EVENT.id).limit(surplus)
        connection.execute(delete(ERROR_EVENTS).where(_EVENT.id.in_(oldest.scalar_subquery())))


def read_page(
    connection: Connection, wanted: Selection, *, limit: int, cursor: str | None
) -> tuple[tuple[ErrorEvent, ...], int]:
    """Return as many events as `limit` says, newest first, and how many there are in all."""
    matching = _matching(wanted)
    page = matching.order_by(_EVENT.id.desc()).limit(limit)
    before = row_id(cursor)
    if before is not None:
        page = page.where(_EVENT.id < before)
    events = tuple(_event(row) for row in connection.execute(page))
    return events, _count(connection, matching.with_only_columns(_EVENT.id))


def read_event(connection: Connection, event_id: str) -> ErrorEvent:
    """Return one event. Raises ErrorEventNotFound."""
    statement = select(ERROR_EVENTS).where(_EVENT.id == row_id(event_id))
    row = connection.execute(statement).first()
    if row is None:
        raise ErrorEventNotFound(event_id)
    return _event(row)


def resolve_event(connection: Connection, event_id: str, now: str) -> bool:
    """Resolve an event; returns whether it was open. Raises ErrorEventNotFound."""
    event = read_event(connection, event_id)
    if event.resolved:
        return False
    statement = update(ERROR_EVENTS).where(_EVENT.id == row_id(event_id))
    connection.execute(statement.values(resolved_at=now))
    return True


def row_id(text: str | None) -> int | None:
    """Return an event's id, or a cursor, as the number of its row; None when it is none."""
    is_number = text is not None and text.isascii() and text.isdecimal()
    return int(text) if text and is_number and len(text) <= _LONGEST_ID else None


def _upsert(connection: Connection, report: Report) -> None:
    fault = report.fault
    statement = insert(ERROR_EVENTS).values(
        fingerprint=_fingerprint(fault),
        timestamp=report.first_seen,
        last_seen=report.last_seen,
        count=report.count,
        severity=fault.severity,
        component=fault.component,
        error_type=fault.error_type,
        message=fault.message,
        details=fault.details,
        job_id=fault.job_id,
        job_name=fault.job_name,
        run_id=fault.run_id,
        stack_trace=fault.stack_trace,
    )
    newest = {name: statement.excluded[name] for name in _FACTS_OF_THE_LAST_TIME}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["fingerprint"],
            index_where=_OPEN,
            set_=newest | {"count": _EVENT.count + statement.excluded["count"]},
        )
    )


def _settle(connection: Connection, settlement: Settlement) -> bool:
    statement = update(ERROR_EVENTS).where(
        _OPEN,
        _EVENT.job_id.is_not_distinct_from(settlement.job_id),
        _EVENT.error_type == settlement.error_type,
    )
    return connection.execute(statement.values(resolved_at=settlement.time)).rowcount > 0


def _matching(wanted: Selection) -> Select[Any]:
    statement: Select[Any] = select(ERROR_EVENTS)
    if wanted.severity is not None:
        statement = statement.where(_EVENT.severity == wanted.severity)
    if wanted.component is not None:
        statement = statement.where(_EVENT.component == wanted.component)
    if wanted.job_id is not None:
        statement = statement.where(_EVENT.job_id == wanted.job_id)
    if wanted.resolved is not None:
        statement = statement.where(_EVENT.resolved_at.is_not(None) if wanted.resolved else _OPEN)
    return statement


def _count(connection: Connection, statement: Select[Any]) -> int:
    return connection.execute(select(func.count()).select_from(statement.subquery())).scalar_one()


def _fingerprint(fault: Fault) -> str:
    # A digest, so that the unique index does not hold every message a second time.
    return hashlib.sha256(json.dumps(fault.identity).encode()).hexdigest()


def _event(row: Row[Any]) -> ErrorEvent:
    values = dict(row._mapping)
    del values["fingerprint"]
    return ErrorEvent(
        **values
        | {
            "id": str(values["id"]),
            "severity": Severity(values["severity"]),
            "component": Component(values["component"]),
            "resolved": values["resolved_at"] is not None,
        }
    )
