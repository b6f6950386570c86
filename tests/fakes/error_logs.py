"""An ErrorLog in memory: it keeps the same promises as the real one (tests/contract)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypedDict

from models.error_event import (
    Component,
    ErrorEvent,
    ErrorPage,
    Fault,
    JsonValue,
    Severity,
    kept_name,
)
from models.errors import ErrorEventNotFound
from utils.timestamps import utc_timestamp

MAX_PAGE = 500


class InMemoryErrorLog:
    """Events in a list, oldest first; what was reported is there at once."""

    def __init__(self) -> None:
        self.events: list[ErrorEvent] = []
        self._closed = False

    @property
    def unresolved(self) -> list[ErrorEvent]:
        """Return the events that nobody has resolved, oldest first."""
        return [event for event in self.events if not event.resolved]

    def report(self, fault: Fault) -> None:
        """Record a fault."""
        if self._closed:
            return
        now = utc_timestamp()
        for place, event in enumerate(self.events):
            if not event.resolved and _identity(event) == fault.identity:
                self.events[place] = replace(
                    event, count=event.count + 1, last_seen=now, **_newest(fault)
                )
                return
        self.events.append(
            ErrorEvent(
                id=str(len(self.events) + 1),
                timestamp=now,
                last_seen=now,
                count=1,
                component=fault.component,
                error_type=fault.error_type,
                message=fault.message,
                job_id=fault.job_id,
                resolved=False,
                resolved_at=None,
                **_newest(fault),
            )
        )

    def settle(self, *, error_type: str, job_id: str | None) -> None:
        """Resolve every event of this type and job."""
        wanted = (kept_name(error_type), job_id and kept_name(job_id))
        for event in () if self._closed else self.unresolved:
            if (event.error_type, event.job_id) == wanted:
                self._resolve(event)

    async def list_events(
        self,
        *,
        severity: Severity | None = None,
        component: Component | None = None,
        job_id: str | None = None,
        resolved: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ErrorPage:
        """Return a page of the events, newest first."""
        limit = max(1, min(limit, MAX_PAGE))
        wanted = {
            "severity": severity,
            "component": component,
            "job_id": job_id and kept_name(job_id),
            "resolved": resolved,
        }
        matching = list(self._matching(wanted))
        rest = matching
        if cursor and cursor.isdecimal():
            rest = [event for event in matching if int(event.id) < int(cursor)]
        items = tuple(rest[:limit])
        return ErrorPage(items, len(matching), items[-1].id if len(rest) > limit else None)

    async def get(self, event_id: str) -> ErrorEvent:
        """Return one event."""
        for event in self.events:
            if event.id == event_id:
                return event
        raise ErrorEventNotFound(event_id)

    async def resolve(self, event_id: str) -> None:
        """Take an event for done."""
        event = await self.get(event_id)
        if not event.resolved:
            self._resolve(event)

    async def flush(self) -> None:
        """Nothing ever waits here."""

    async def close(self) -> None:
        """Take no more."""
        self._closed = True

    def _matching(self, wanted: Mapping[str, object]) -> Iterator[ErrorEvent]:
        for event in reversed(self.events):
            if all(value in (None, getattr(event, name)) for name, value in wanted.items()):
                yield event

    def _resolve(self, event: ErrorEvent) -> None:
        place = self.events.index(event)
        self.events[place] = replace(event, resolved=True, resolved_at=utc_timestamp())


def _identity(event: ErrorEvent) -> tuple[str, str, str | None, str]:
    return (event.component, event.error_type, event.job_id, event.message)


class _Newest(TypedDict):
    severity: Severity
    details: Mapping[str, JsonValue]
    job_name: str | None
    run_id: str | None
    stack_trace: str | None


def _newest(fault: Fault) -> _Newest:
    return _Newest(
        severity=fault.severity,
        details=fault.details,
        job_name=fault.job_name,
        run_id=fault.run_id,
        stack_trace=fault.stack_trace,
    )
