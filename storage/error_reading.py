"""What is read of the error log within one transaction: pages, one event, groups and figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Row, func, select

from models.error_event import Component, ErrorEvent, Severity
from models.error_query import ErrorFilter, ErrorGroup, ErrorJob, ErrorStatistics
from models.errors import ErrorEventNotFound
from storage.error_counts import count_kinds
from storage.error_hours import DAY_LENGTH, HOUR_LENGTH, trend
from storage.error_table import ERROR_EVENTS, conditions, row_id
from utils.timestamps import utc_timestamp

TREND_HOURS = 48
TREND_DAYS = 30
_HOUR_SECONDS = 60 * 60
_DAY_SECONDS = 24 * _HOUR_SECONDS
_EVENT = ERROR_EVENTS.c


def read_page(
    connection: Connection, wanted: ErrorFilter, *, limit: int, cursor: str | None
) -> tuple[tuple[ErrorEvent, ...], int]:
    """Return as many events as `limit` says, newest first, and how many there are in all."""
    meant = conditions(wanted)
    page = select(ERROR_EVENTS).where(*meant).order_by(_EVENT.id.desc()).limit(limit)
    before = row_id(cursor)
    if before is not None:
        page = page.where(_EVENT.id < before)
    events = tuple(_event(row) for row in connection.execute(page))
    total = select(func.count()).select_from(ERROR_EVENTS).where(*meant)
    return events, connection.execute(total).scalar_one()


def read_event(connection: Connection, event_id: str) -> ErrorEvent:
    """Return one event. Raises ErrorEventNotFound."""
    statement = select(ERROR_EVENTS).where(_EVENT.id == row_id(event_id))
    row = connection.execute(statement).first()
    if row is None:
        raise ErrorEventNotFound(event_id)
    return _event(row)


def read_groups(connection: Connection, wanted: ErrorFilter, limit: int) -> tuple[ErrorGroup, ...]:
    """Return the events that match by component and type, what was seen last first."""
    counted = (
        select(
            _EVENT.component,
            _EVENT.error_type,
            func.count(),
            func.count().filter(_EVENT.resolved_at.is_(None)),
            func.sum(_EVENT.count),
            func.min(_EVENT.timestamp),
            func.max(_EVENT.last_seen).label("newest"),
            func.max(_EVENT.id),
        )
        .where(*conditions(wanted))
        .group_by(_EVENT.component, _EVENT.error_type)
        .order_by(func.max(_EVENT.last_seen).desc(), func.max(_EVENT.id).desc())
        .limit(limit)
    )
    found = connection.execute(counted).all()
    newest_ids = [row[-1] for row in found]
    texts = select(_EVENT.id, _EVENT.severity, _EVENT.message).where(_EVENT.id.in_(newest_ids))
    by_id = {row.id: row for row in connection.execute(texts)}
    return tuple(
        ErrorGroup(
            component=Component(component),
            error_type=error_type,
            severity=Severity(by_id[newest].severity),
            message=by_id[newest].message,
            events=events,
            unresolved=unresolved,
            count=count,
            first_seen=first_seen,
            last_seen=last_seen,
            newest_id=str(newest),
        )
        for component, error_type, events, unresolved, count, first_seen, last_seen, newest in found
    )


def read_jobs(connection: Connection, limit: int) -> tuple[ErrorJob, ...]:
    """Return the jobs that events are about, that of the newest event first."""
    newest = (
        select(func.max(_EVENT.id))
        .where(_EVENT.job_id.is_not(None))
        .group_by(_EVENT.job_id)
        .order_by(func.max(_EVENT.id).desc())
        .limit(limit)
    )
    ids = connection.execute(newest).scalars().all()
    statement = select(_EVENT.job_id, _EVENT.job_name).where(_EVENT.id.in_(ids))
    rows = connection.execute(statement.order_by(_EVENT.id.desc()))
    return tuple(ErrorJob(row.job_id, row.job_name or row.job_id) for row in rows)


def read_statistics(connection: Connection, now: float) -> ErrorStatistics:
    """Return the figures of the log at a moment, in seconds since the epoch."""
    severities: Counter[Severity] = Counter(dict.fromkeys(Severity, 0))
    components: Counter[Component] = Counter(dict.fromkeys(Component, 0))
    unresolved: Counter[Severity] = Counter(dict.fromkeys(Severity, 0))
    for kind in count_kinds(connection):
        severities[kind.severity] += kind.events
        components[kind.component] += kind.events
        unresolved[kind.severity] += kind.unresolved
    yesterday = utc_timestamp(now - _DAY_SECONDS)
    last_day = select(func.count()).where(_EVENT.last_seen >= yesterday)
    first_hour = utc_timestamp(now - (TREND_HOURS - 1) * _HOUR_SECONDS)
    first_day = utc_timestamp(now - (TREND_DAYS - 1) * _DAY_SECONDS)
    return ErrorStatistics(
        total=severities.total(),
        unresolved=unresolved.total(),
        last_day=connection.execute(last_day).scalar_one(),
        by_severity=dict(severities),
        by_component=dict(components),
        unresolved_by_severity=dict(unresolved),
        hours=trend(connection, first_hour, HOUR_LENGTH),
        days=trend(connection, first_day, DAY_LENGTH),
    )


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
