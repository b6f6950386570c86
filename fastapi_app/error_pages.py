"""The Errors page: what its address asks for, and what is read for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import Query

from fastapi_app import formatting
from fastapi_app.error_filter import MAX_QUERY
from fastapi_app.error_trend_views import ErrorTrend, error_trend
from fastapi_app.error_views import (
    ErrorDetail,
    ErrorItem,
    GroupRow,
    error_detail,
    error_item,
    group_row,
)
from fastapi_app.error_words import SEVERITIES, SeverityView, component_word, severity_view
from fastapi_app.services import Services
from fastapi_app.spans import SPAN_SECONDS, SPAN_WORDS
from models.error_event import Component, ErrorEvent, ErrorPage, Severity
from models.error_query import ErrorFilter, ErrorGroup, ErrorJob, ErrorStatistics
from utils.timestamps import utc_timestamp

ERRORS_PER_PAGE = 50
_MOST_JOBS = 200
_MOST_GROUPS = 200
_STATE_WORDS = (("open", "Unresolved"), ("resolved", "Resolved"), ("all", "All"))
_COMPONENTS = "|".join(Component)
_SEVERITIES = "|".join(Severity)
Words = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ErrorsQuery:
    """Which errors, as the page's address says; an empty value means any."""

    q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    severity: Annotated[str, Query(pattern=f"^({_SEVERITIES})?$")] = ""
    component: Annotated[str, Query(pattern=f"^({_COMPONENTS})?$")] = ""
    job: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    kind: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    state: Annotated[str, Query(pattern="^(open|resolved|all)?$")] = "open"
    within: Annotated[str, Query(pattern="^(hour|day|week|month)?$")] = ""
    by: Annotated[str, Query(pattern="^(kind)?$")] = ""

    @property
    def filter(self) -> ErrorFilter:
        """Return it as a filter of the error log."""
        resolved = {"open": False, "resolved": True}.get(self.state or "open")
        span = SPAN_SECONDS.get(self.within)
        return ErrorFilter(
            severity=Severity(self.severity) if self.severity else None,
            component=Component(self.component) if self.component else None,
            job_id=self.job or None,
            error_type=self.kind or None,
            resolved=resolved,
            q=self.q or None,
            since=utc_timestamp(time.time() - span) if span else None,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether not all that are unresolved, or resolved, are wanted."""
        return replace(self, state="open", by="") != ErrorsQuery()

    @property
    def is_of_open_ones(self) -> bool:
        """Whether what is unresolved alone is wanted."""
        return (self.state or "open") == "open"

    def parameters(self, **more: str | None) -> dict[str, str | None]:
        """Return what of it differs from the page without any, and what else is given."""
        given = {**asdict(self), "state": None if self.is_of_open_ones else self.state}
        return {**given, **more}

    def for_the_api(self) -> dict[str, str | None]:
        """Return it as the API's parameters."""
        resolved = {"open": "false", "resolved": "true"}.get(self.state or "open")
        return {
            "q": self.q,
            "severity": self.severity,
            "component": self.component,
            "job_id": self.job,
            "error_type": self.kind,
            "resolved": resolved,
            "since": self.filter.since,
        }


@dataclass(frozen=True)
class SeverityCount:
    """How many unresolved errors have a severity, and where they are listed."""

    severity: SeverityView
    count: str
    url: str


@dataclass(frozen=True)
class ErrorsView:
    """A page of errors, or of the kinds of faults, with what is counted and plotted above it."""

    query: ErrorsQuery
    items: tuple[ErrorItem, ...]
    groups: tuple[GroupRow, ...]
    total: int
    total_text: str
    is_first: bool
    is_readable: bool
    """Whether the database answered; otherwise nothing of the rest is known."""
    has_any: bool
    """Whether there is any error at all, resolved or not."""
    counts: tuple[SeverityCount, ...]
    last_day: str
    trend: ErrorTrend
    jobs: Words
    next_url: str | None
    resolve_all_url: str | None
    """Where all that are listed are resolved, and none that came since."""
    export_urls: Words
    components: Words = tuple((one.value, component_word(one)) for one in Component)
    severities: Words = tuple((one.value, severity_view(one).word) for one in SEVERITIES)
    states: Words = _STATE_WORDS
    spans: Words = SPAN_WORDS


@dataclass(frozen=True)
class _Found:
    """What is read for a page of errors."""

    page: ErrorPage
    items: tuple[ErrorItem, ...]
    groups: tuple[ErrorGroup, ...]
    figures: ErrorStatistics
    jobs: tuple[ErrorJob, ...]


_NOTHING = _Found(
    page=ErrorPage((), 0),
    items=(),
    groups=(),
    figures=ErrorStatistics(0, 0, 0, {}, {}, dict.fromkeys(Severity, 0), (), ()),
    jobs=(),
)


async def errors_page_view(
    services: Services, query: ErrorsQuery, cursor: str | None
) -> ErrorsView:
    """Return a page of errors from a cursor on."""
    link = services.renderer.url_with_query
    found = await services.history.part("errors", partial(_read, services, query, cursor))
    is_readable, found = found is not None, found or _NOTHING
    page, figures = found.page, found.figures
    newest = max((int(event.id) for event in page.items), default=0)
    can_resolve = query.is_of_open_ones and page.total > 1 and not cursor and not query.by
    resolve_all = link("errors_resolve", query.parameters(up_to=str(newest), by=None))
    more = link("errors_page", query.parameters(cursor=page.next_cursor))
    export = query.for_the_api()
    return ErrorsView(
        query=query,
        items=found.items,
        groups=tuple(group_row(group) for group in found.groups),
        total=page.total,
        total_text=formatting.count(page.total),
        is_first=not cursor,
        is_readable=is_readable,
        has_any=figures.total > 0,
        counts=tuple(
            SeverityCount(
                severity_view(severity),
                formatting.count(figures.unresolved_by_severity[severity]),
                link("errors_page", {"severity": severity.value}),
            )
            for severity in SEVERITIES
            if is_readable
        ),
        last_day=formatting.count(figures.last_day),
        trend=error_trend(figures, datetime.now(UTC)),
        jobs=_jobs(services, found.jobs, query.job),
        next_url=more if page.next_cursor and not query.by else None,
        resolve_all_url=resolve_all if can_resolve else None,
        export_urls=tuple(
            (word, link("api_errors_export", {**export, "format": form}))
            for form, word in (("csv", "CSV"), ("json", "JSON"))
        ),
    )


async def _read(services: Services, query: ErrorsQuery, cursor: str | None) -> _Found:
    log = services.error_log
    page = await log.find(query.filter, limit=ERRORS_PER_PAGE, cursor=cursor)
    return _Found(
        page=page,
        items=() if query.by else await _items(services, page.items),
        groups=await log.groups(query.filter, _MOST_GROUPS) if query.by else (),
        figures=await log.statistics(),
        jobs=await log.jobs(_MOST_JOBS),
    )


async def error_page_view(services: Services, event: ErrorEvent) -> ErrorDetail:
    """Return one error by itself. Raises StorageFailed."""
    return error_detail(event, services.queries.all_jobs(), await _known_runs(services, [event]))


async def _items(services: Services, events: Sequence[ErrorEvent]) -> tuple[ErrorItem, ...]:
    jobs, runs = services.queries.all_jobs(), await _known_runs(services, events)
    return tuple(error_item(event, jobs, runs) for event in events)


async def _known_runs(services: Services, events: Sequence[ErrorEvent]) -> frozenset[str]:
    """Return which of the runs that errors name are still in the history."""
    named = {event.run_id for event in events if event.run_id is not None}
    return await services.queries.known_runs(named) if named else frozenset()


def _jobs(services: Services, jobs: Sequence[ErrorJob], chosen: str) -> Words:
    """Return the jobs to choose from, and the one that is chosen in any case."""
    found = {job.job_id: job.name for job in jobs}
    if chosen:
        record = services.queries.all_jobs().get(chosen)
        found.setdefault(chosen, record.job.name if record else chosen)
    return tuple(sorted(found.items(), key=lambda job: job[1].casefold()))
