"""The logs of runs: the viewer of one, the lines that it fetches, all of them, and as files."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from core.engines.log_levels import LOG_LEVELS
from fastapi_app.access import guarded_router
from fastapi_app.all_logs import AllLogsQuery, all_logs, all_logs_as_text
from fastapi_app.log_viewer import viewer
from fastapi_app.log_views import LINES_PER_PAGE, LogQuery, Place, line_views
from fastapi_app.routers.forms import is_htmx
from fastapi_app.routers.pages import page
from fastapi_app.run_views import run_title
from fastapi_app.services import ServicesDep

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
QueryDep = Annotated[LogQuery, Depends()]
AllQueryDep = Annotated[AllLogsQuery, Depends()]


@router.get("/runs/{run_id}/log", name="run_log")
async def run_log(
    request: Request,
    services: ServicesDep,
    run_id: str,
    query: QueryDep,
    at: Place = None,
    before: Place = None,
    find: Annotated[str, Query(pattern="^(first|next|previous)?$")] = "",
) -> Response:
    """The log of a run: its end, the part from a place on or before one, or around a hit."""
    run = await services.queries.get_run(run_id)
    view = await viewer(services, run, query, at=at, before=before, find=find)
    if is_htmx(request):
        return services.renderer.partial("_log_view.html", log=view)
    title = f"Log: {run_title(run)}"
    return await page(services, "run_log.html", nav="runs", title=title, run=run, log=view)


@router.get("/runs/{run_id}/log/lines", name="run_log_lines")
async def run_log_lines(
    services: ServicesDep,
    run_id: str,
    query: QueryDep,
    at: Place = None,
    before: Place = None,
    since: Place = None,
) -> Response:
    """Lines alone: from a place on, before one, or what was written since one.

    The headers tell the places before and behind them, and whether there may be more.
    """
    run = await services.queries.get_run(run_id)
    wanted = query.wanted(run.engine)
    if since is not None:
        found = await services.logs.since(
            run_id, since, wanted, LINES_PER_PAGE, only_whole=not run.is_over
        )
    elif before is not None:
        found = await services.logs.before(run_id, before, wanted, LINES_PER_PAGE)
    else:
        found = await services.logs.from_place(run_id, at or 0, wanted, LINES_PER_PAGE)
    lines = line_views(found.lines, LOG_LEVELS[run.engine], query.text)
    answer = services.renderer.partial("_log_lines.html", lines=lines)
    answer.headers["Longshore-Log-First"] = str(found.first_place)
    answer.headers["Longshore-Log-Next"] = str(found.next_place)
    answer.headers["Longshore-Log-Earlier"] = str(int(found.has_earlier))
    answer.headers["Longshore-Log-Later"] = str(int(found.has_later))
    answer.headers["Longshore-Log-Skipped"] = str(found.skipped)
    answer.headers["Longshore-Log-Active"] = str(int(not run.is_over))
    return answer


@router.get("/runs/{run_id}/log/download", name="run_log_download")
async def download_run_log(services: ServicesDep, run_id: str, query: QueryDep) -> Response:
    """The log as a text file: all of it as the tool wrote it, or the lines that are looked for."""
    run = await services.queries.get_run(run_id)
    wanted = query.wanted(run.engine, all_words=True)
    name = f"{run_id}{'' if wanted.is_everything else '-filtered'}.log"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(
        services.logs.parts(run_id, wanted),
        media_type="text/plain; charset=utf-8",
        headers=headers,
    )


@router.get("/logs", name="logs_page")
async def logs_page(
    services: ServicesDep, query: AllQueryDep, cursor: str | None = None
) -> Response:
    """Lines of all logs, of the newest runs first."""
    found = await all_logs(services, query, cursor or None)
    return await page(services, "logs.html", nav="logs", title="Logs", logs=found)


@router.get("/logs/download", name="logs_download")
async def download_logs(services: ServicesDep, query: AllQueryDep) -> Response:
    """The lines that are looked for, of all logs, as a text file."""
    return StreamingResponse(
        all_logs_as_text(services, query),
        media_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="longshore-logs.txt"'},
    )
