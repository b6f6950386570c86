"""The logs of all runs: which lines of which are shown, and the same as one text to download."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from core.engines.log_levels import LOG_LEVELS
from fastapi_app import formatting
from fastapi_app.log_views import MAX_QUERY, LineView, LogQuery, line_views
from fastapi_app.run_views import RunRow, run_row
from fastapi_app.services import Services
from fastapi_app.status_views import run_status
from models.run import Run
from storage.log_lines import LogPage

LINES_OF_A_RUN = 10
"""How many lines of one log are shown: its last ones."""
_RUNS_SHOWN = 20
_RUNS_AT_A_TIME = 100
EVERY_LINE = "all"


@dataclass(frozen=True)
class AllLogsQuery:
    """Which lines are wanted, and of which jobs; without a level the warnings and errors."""

    q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    level: Annotated[str, Query(pattern="^(all|error|warning)?$")] = "warning"
    job: Annotated[str, Query(max_length=MAX_QUERY)] = ""

    @property
    def of_run(self) -> LogQuery:
        """The same for the log of one run, where every line that is shown is wanted."""
        level = "" if self.level == EVERY_LINE else self.level
        return LogQuery(self.q, level, "on" if self.q else "")


@dataclass(frozen=True)
class LogGroup:
    """The last wanted lines of one run's log."""

    run: RunRow
    lines: tuple[LineView, ...]
    has_more: bool
    url: str
    """Where its viewer shows them all."""


@dataclass(frozen=True)
class AllLogs:
    """A page of them, of the newest runs first."""

    query: AllLogsQuery
    groups: tuple[LogGroup, ...]
    next_url: str | None
    download_url: str
    is_first: bool


async def all_logs(services: Services, query: AllLogsQuery, cursor: str | None) -> AllLogs:
    """Return the runs whose logs have such lines, from a cursor on."""
    page = await services.queries.list_runs(q=query.job, limit=_RUNS_AT_A_TIME, cursor=cursor)
    wanted = [(run.id, query.of_run.wanted(run.engine)) for run in page.items]
    ends = await services.logs.ends(wanted, LINES_OF_A_RUN + 1, most_found=_RUNS_SHOWN)
    next_cursor = page.next_cursor
    if ends.looked_at < len(page.items):
        last = page.items[: ends.looked_at]
        again = await services.queries.list_runs(q=query.job, limit=len(last), cursor=cursor)
        next_cursor = again.next_cursor
    renderer = services.renderer
    parameters: dict[str, str | None] = {"q": query.q, "level": query.level, "job": query.job}
    more = renderer.url_with_query("logs_page", {**parameters, "cursor": next_cursor})
    return AllLogs(
        query=query,
        groups=tuple(
            _group(services, run, query.of_run, ends.found[run.id])
            for run in page.items
            if run.id in ends.found
        ),
        next_url=more if next_cursor else None,
        download_url=renderer.url_with_query("logs_download", parameters),
        is_first=cursor is None,
    )


async def all_logs_as_text(services: Services, query: AllLogsQuery) -> AsyncIterator[bytes]:
    """Yield every wanted line of every log, the newest run first, each run with a heading."""
    cursor: str | None = None
    while True:
        page = await services.queries.list_runs(q=query.job, limit=_RUNS_AT_A_TIME, cursor=cursor)
        for run in page.items:
            parts = services.logs.parts(run.id, query.of_run.wanted(run.engine))
            heading = _heading(run)
            # `next` with a default: StopIteration cannot leave a coroutine.
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                if part:
                    yield heading + part
                    heading = b""
        cursor = page.next_cursor
        if cursor is None:
            return


def _group(services: Services, run: Run, query: LogQuery, page: LogPage) -> LogGroup:
    url = services.renderer.url("run_log", run_id=run.id)
    parameters = query.parameters()
    return LogGroup(
        run=run_row(run),
        lines=line_views(page.lines[-LINES_OF_A_RUN:], LOG_LEVELS[run.engine], query.text),
        has_more=len(page.lines) > LINES_OF_A_RUN,
        url=f"{url}?{parameters}" if parameters else url,
    )


def _heading(run: Run) -> bytes:
    started = formatting.exact_time(run.started_at or run.queued_at)
    name = " ".join(run.job_name.splitlines())
    text = f"\n== {name}: {run_status(run).word}, {started}, run {run.id}\n"
    return text.encode("utf-8", errors="backslashreplace")
