"""The Jobs page: which jobs it lists, in which order, and in which look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from core.job_queries import JobFilter, JobPage, JobSort
from fastapi_app.services import Services
from fastapi_app.view_models import JobCard
from models.job_state import DamagedJob

OVERDUE = "overdue"
"""A choice among the statuses, though a job of any status may be overdue."""
LOOK_COOKIE = "longshore-jobs-look"
LOOKS = ("cards", "table")
PAGE_SIZES = (40, 100, 200, 500)
_MOST_TAGS = 200
"""How many tags there are to choose from; a further one is found by its address."""


@dataclass(frozen=True)
class JobsQuery:
    """Which jobs, as the page's address says; an empty value means any."""

    q: Annotated[str, Query(max_length=200)] = ""
    status: Annotated[str, Query(max_length=20)] = ""
    engine: Annotated[str, Query(max_length=20)] = ""
    tag: Annotated[str, Query(max_length=200)] = ""
    sort: JobSort = JobSort.NAME
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZES[-1])] = PAGE_SIZES[0]

    @property
    def filter(self) -> JobFilter:
        """Return it as a filter of jobs."""
        return JobFilter(
            status=self.status if self.status and self.status != OVERDUE else None,
            is_overdue=self.status == OVERDUE,
            engine=self.engine or None,
            tag=self.tag or None,
            q=self.q or None,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether not every job is wanted."""
        return self.filter != JobFilter()

    def parameters(self, **more: str | None) -> dict[str, str | None]:
        """Return what of it differs from the page without any, and what else is given."""
        sort = None if self.sort is JobSort.NAME else self.sort.value
        limit = None if self.limit == PAGE_SIZES[0] else str(self.limit)
        given = {"q": self.q, "status": self.status, "engine": self.engine, "tag": self.tag}
        return {**given, "sort": sort, "limit": limit, **more}


@dataclass(frozen=True)
class JobsView:
    """A page of jobs."""

    query: JobsQuery
    look: str
    cards: tuple[JobCard, ...]
    total: int
    tags: tuple[str, ...]
    damaged: tuple[DamagedJob, ...]
    next_url: str | None
    is_whole: bool
    """Whether these are all the jobs there are: one that is not among them is new then."""

    @property
    def size_differs(self) -> bool:
        """Whether somebody asked for pages of another size."""
        return self.query.limit != PAGE_SIZES[0]

    @property
    def is_empty(self) -> bool:
        """Whether there is no job at all."""
        return not self.cards and not self.query.is_filtered and not self.damaged


async def jobs_view(
    services: Services, query: JobsQuery, *, look: str, cursor: str | None
) -> JobsView:
    """Return a page of jobs from a cursor on."""
    found: JobPage = services.queries.list_jobs(
        query.filter, sort=query.sort, limit=query.limit, cursor=cursor
    )
    link = services.renderer.url_with_query
    more = link("jobs_page", query.parameters(cursor=found.next_cursor))
    return JobsView(
        query=query,
        look=look,
        cards=await services.cards.cards_of(list(found.items)),
        total=found.total,
        tags=_offered(services.queries.tags(), query.tag),
        damaged=found.damaged,
        next_url=more if found.next_cursor else None,
        is_whole=not query.is_filtered and cursor is None and found.next_cursor is None,
    )


def look_of(request: Request) -> str:
    """Return in which look a person has chosen to see the jobs."""
    chosen = request.cookies.get(LOOK_COOKIE, "")
    return chosen if chosen in LOOKS else LOOKS[0]


def _offered(tags: Sequence[str], chosen: str) -> tuple[str, ...]:
    offered = tuple(tags[:_MOST_TAGS])
    return offered if not chosen or chosen in offered else (chosen, *offered)
