"""An ErrorLog in memory: it keeps the same promises as the real one (tests/contract)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
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
from models.error_query import (
    ErrorFilter,
    ErrorGroup,
    ErrorJob,
    ErrorStatistics,
    KeptErrors,
    TrendPoint,
)
from models.errors import ErrorEventNotFound
from utils.timestamps import utc_timestamp

MAX_PAGE = 500


class InMemoryErrorLog:
    """Events in a list, oldest first; what was reported is there at once."""

    def __init__(self) -> None:
        self.events: list[ErrorEvent] = []
        self.kept = KeptErrors()
        self._ids = count(1)
        self._met: list[tuple[str, Severity]] = []
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
        self._met.append((now, fault.severity))
        for place, event in enumerate(self.events):
            if not event.resolved and _identity(event) == fault.identity:
                self.events[place] = replace(
                    event, count=event.count + 1, last_seen=now, **_newest(fault)
                )
                return
        self.events.append(
            ErrorEvent(
                id=str(next(self._ids)),
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
        wanted = ErrorFilter(severity, component, job_id, resolved=resolved)
        return await self.find(wanted, limit=limit, cursor=cursor)

    async def find(
        self, wanted: ErrorFilter, *, limit: int = 50, cursor: str | None = None
    ) -> ErrorPage:
        """Return a page of the events that match, newest first."""
        limit = max(1, min(limit, MAX_PAGE))
        matching = self._matching(wanted)
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

    async def resolve_many(self, which: Collection[str] | ErrorFilter) -> int:
        """Take events for done."""
        if isinstance(which, ErrorFilter):
            meant = self._matching(which)
        else:
            meant = [event for event in self.events if event.id in which]
        is_open = [event for event in meant if not event.resolved]
        for event in is_open:
            self._resolve(event)
        return len(is_open)

    async def forget_old(self) -> None:
        """Forget what is kept no longer; of what is resolved only by number."""
        surplus = max(0, len(self.events) - self.kept.count)
        old = sorted(self.events, key=lambda event: not event.resolved)[:surplus]
        self.events = [event for event in self.events if event not in old]

    async def groups(self, wanted: ErrorFilter, limit: int = 50) -> tuple[ErrorGroup, ...]:
        """Return the events that match by kind of fault."""
        by_kind: dict[tuple[Component, str], list[ErrorEvent]] = {}
        for event in self._matching(wanted):
            by_kind.setdefault((event.component, event.error_type), []).append(event)
        found = [_group(events) for events in by_kind.values()]
        found.sort(key=lambda group: (group.last_seen, int(group.newest_id)), reverse=True)
        return tuple(found[: max(1, min(limit, MAX_PAGE))])

    async def jobs(self, limit: int = 50) -> tuple[ErrorJob, ...]:
        """Return the jobs that events are about."""
        names: dict[str, str] = {}
        for event in reversed(self.events):
            if event.job_id is not None:
                names.setdefault(event.job_id, event.job_name or event.job_id)
        found = [ErrorJob(job_id, name) for job_id, name in names.items()]
        return tuple(found[: max(1, min(limit, MAX_PAGE))])

    async def statistics(self) -> ErrorStatistics:
        """Return the figures of the log."""
        unresolved = Counter(event.severity for event in self.unresolved)
        severities = Counter(event.severity for event in self.events)
        components = Counter(event.component for event in self.events)
        yesterday = utc_timestamp(time.time() - 24 * 60 * 60)
        return ErrorStatistics(
            total=len(self.events),
            unresolved=len(self.unresolved),
            last_day=sum(event.last_seen >= yesterday for event in self.events),
            by_severity={severity: severities[severity] for severity in Severity},
            by_component={component: components[component] for component in Component},
            unresolved_by_severity={severity: unresolved[severity] for severity in Severity},
            hours=self._trend(len("2026-11-23T10")),
            days=self._trend(len("2026-11-23")),
        )

    def _trend(self, length: int) -> tuple[TrendPoint, ...]:
        counts = Counter((when[:length], severity) for when, severity in self._met)
        return tuple(TrendPoint(*place, counts[place]) for place in sorted(counts))

    async def flush(self) -> None:
        """Nothing ever waits here."""

    async def close(self) -> None:
        """Take no more."""
        self._closed = True

    def _matching(self, wanted: ErrorFilter) -> list[ErrorEvent]:
        return [event for event in reversed(self.events) if _matches(event, wanted)]

    def _resolve(self, event: ErrorEvent) -> None:
        place = self.events.index(event)
        self.events[place] = replace(event, resolved=True, resolved_at=utc_timestamp())


def _matches(event: ErrorEvent, wanted: ErrorFilter) -> bool:
    same = {
        "severity": wanted.severity,
        "component": wanted.component,
        "job_id": wanted.job_id and kept_name(wanted.job_id),
        "error_type": wanted.error_type and kept_name(wanted.error_type),
        "resolved": wanted.resolved,
    }
    if any(value is not None and value != getattr(event, name) for name, value in same.items()):
        return False
    if wanted.since is not None and event.last_seen < wanted.since:
        return False
    if wanted.up_to is not None and int(event.id) > int(wanted.up_to):
        return False
    texts = (event.message, event.error_type, event.job_name or "")
    return any(_lower(wanted.q or "") in _lower(text) for text in texts)


def _lower(text: str) -> str:
    """Return a text with the letters of ASCII made small, as SQLite does."""
    return text.encode("utf-8", "backslashreplace").lower().decode()


def _group(events: Sequence[ErrorEvent]) -> ErrorGroup:
    newest = events[0]
    return ErrorGroup(
        component=newest.component,
        error_type=newest.error_type,
        severity=newest.severity,
        message=newest.message,
        events=len(events),
        unresolved=sum(not event.resolved for event in events),
        count=sum(event.count for event in events),
        first_seen=min(event.timestamp for event in events),
        last_seen=max(event.last_seen for event in events),
        newest_id=newest.id,
    )


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
