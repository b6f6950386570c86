"""What is asked of the error log beside its pages: a filter, groups by fault, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.error_event import Component, Severity


@dataclass(frozen=True)
class ErrorFilter:
    """Which events; None and the empty text mean any."""

    severity: Severity | None = None
    component: Component | None = None
    job_id: str | None = None
    error_type: str | None = None
    resolved: bool | None = None
    q: str | None = None
    """A text in the message, the type or the job's name, in any case of ASCII letters."""
    since: str | None = None
    """The time (UTC, ISO 8601) at or after which an event was seen last."""
    up_to: str | None = None
    """The id of the newest event that is meant: a later one was not seen by whoever asks."""


@dataclass(frozen=True)
class ErrorGroup:
    """All events of one kind of fault: the same type, met by the same component."""

    component: Component
    error_type: str
    severity: Severity
    """That of the newest event, as the message is."""
    message: str
    events: int
    unresolved: int
    count: int
    """How often it was met."""
    first_seen: str
    last_seen: str
    newest_id: str


@dataclass(frozen=True)
class ErrorJob:
    """A job that events are about, by the name that it had in the newest of them."""

    job_id: str
    name: str


@dataclass(frozen=True)
class TrendPoint:
    """How often faults of one severity were met in an hour (`2026-11-23T10`) or on a day
    (`2026-11-23`) of UTC."""

    time: str
    severity: Severity
    count: int


@dataclass(frozen=True)
class ErrorStatistics:
    """The error log in figures. Trends count each time that a fault was met, and keep what is
    forgotten by now; an hour or a day without any is not in them. The oldest is first."""

    total: int
    unresolved: int
    last_day: int
    """How many events were seen in the last 24 hours."""
    by_severity: Mapping[Severity, int]
    by_component: Mapping[Component, int]
    unresolved_by_severity: Mapping[Severity, int]
    hours: tuple[TrendPoint, ...]
    days: tuple[TrendPoint, ...]


@dataclass(frozen=True)
class KeptErrors:
    """How long events are kept, in days since they were resolved, and how many of them."""

    resolved_days: float = 90
    count: int = 10_000
