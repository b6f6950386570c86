"""Errors as their page shows them: one in the list, one by itself, and kinds of faults."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass

from fastapi_app import formatting
from fastapi_app.error_words import SeverityView, component_word, severity_view
from fastapi_app.moments import Moment, moment
from models.error_event import ErrorEvent
from models.error_query import ErrorGroup

_MOST_CHARACTERS = 400


@dataclass(frozen=True)
class ErrorItem:
    """One error in a list; a job that is gone is named without a link."""

    id: str
    severity: SeverityView
    component: str
    error_type: str
    message: str
    job_id: str | None
    job_name: str | None
    run_id: str | None
    times: str
    """How often it was met; empty for once."""
    first: Moment | None
    last: Moment | None
    resolved: bool
    resolved_at: Moment | None


@dataclass(frozen=True)
class ErrorDetail:
    """One error with all that is known of it."""

    item: ErrorItem
    message: str
    details: tuple[tuple[str, str], ...]
    stack_trace: str | None


@dataclass(frozen=True)
class GroupRow:
    """One kind of fault: the same type, met by the same component."""

    id: str
    severity: SeverityView
    component: str
    component_key: str
    error_type: str
    message: str
    events: str
    times: str
    unresolved: int
    unresolved_text: str
    newest_id: str
    first: Moment | None
    last: Moment | None


def error_item(
    event: ErrorEvent, known_jobs: Container[str], known_runs: Container[str]
) -> ErrorItem:
    """Return an error for a list."""
    return ErrorItem(
        id=event.id,
        severity=severity_view(event.severity),
        component=component_word(event.component),
        error_type=event.error_type,
        message=formatting.shortened(event.message, _MOST_CHARACTERS),
        job_id=event.job_id if (event.job_id or "") in known_jobs else None,
        job_name=event.job_name or event.job_id,
        run_id=event.run_id if (event.run_id or "") in known_runs else None,
        times=f"{formatting.count(event.count)} times" if event.count > 1 else "",
        first=moment(event.timestamp),
        last=moment(event.last_seen),
        resolved=event.resolved,
        resolved_at=moment(event.resolved_at),
    )


def error_detail(
    event: ErrorEvent, known_jobs: Container[str], known_runs: Container[str]
) -> ErrorDetail:
    """Return an error with its details, in the order in which they were told."""
    return ErrorDetail(
        item=error_item(event, known_jobs, known_runs),
        message=event.message,
        details=tuple((name, _text(value)) for name, value in event.details.items()),
        stack_trace=event.stack_trace,
    )


def group_row(group: ErrorGroup) -> GroupRow:
    """Return a kind of fault for a list."""
    one = group.events == 1
    return GroupRow(
        # The newest event is in no other group.
        id=group.newest_id,
        severity=severity_view(group.severity),
        component=component_word(group.component),
        component_key=group.component.value,
        error_type=group.error_type,
        message=formatting.shortened(group.message, _MOST_CHARACTERS),
        events=f"{formatting.count(group.events)} error{'' if one else 's'}",
        times=f"met {formatting.count(group.count)} times" if group.count > 1 else "met once",
        unresolved=group.unresolved,
        unresolved_text=f"{formatting.count(group.unresolved)} unresolved",
        newest_id=group.newest_id,
        first=moment(group.first_seen),
        last=moment(group.last_seen),
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
