"""The figures behind the plots: as tables, which a page fetches when they are opened and which are
pages of their own without a script."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse

from core.job_queries import DEFAULT_PAGE
from fastapi_app.access import guarded_router
from fastapi_app.figures_pages import NEWEST_RUNS, activity_of, figures_of
from fastapi_app.plot_views import throughput_rows
from fastapi_app.routers.pages import page
from fastapi_app.run_views import run_row, run_title
from fastapi_app.services import ServicesDep
from storage.throughput import MAX_POINTS

router = guarded_router()
_MOST_ROWS = 60


@router.get("/activity", name="activity", include_in_schema=False)
async def activity_page(services: ServicesDep) -> HTMLResponse:
    """What ended on each of the last days, as a table."""
    return await page(
        services,
        "activity.html",
        nav="dashboard",
        title="Last 30 days",
        activity=await activity_of(services),
    )


@router.get("/jobs/{job_id}/figures", name="job_figures", include_in_schema=False)
async def job_figures_page(services: ServicesDep, job_id: str) -> HTMLResponse:
    """What is plotted of a job's last runs, as a table."""
    record = services.queries.get_job(job_id)
    return await page(
        services,
        "job_figures.html",
        nav="jobs",
        title="Figures",
        job_id=job_id,
        job_name=record.job.name,
        figures=await figures_of(services, job_id),
    )


@router.get("/jobs/{job_id}/older-runs", name="job_older_runs", include_in_schema=False)
async def job_older_runs_page(
    services: ServicesDep, job_id: str, cursor: str | None = None
) -> HTMLResponse:
    """The runs of a job that its own page does not list, newest first."""
    record = services.queries.get_job(job_id)
    listed = await services.queries.list_runs(job_id=job_id, limit=NEWEST_RUNS)
    start = cursor or listed.next_cursor
    runs = await services.queries.list_runs(job_id=job_id, limit=DEFAULT_PAGE, cursor=start)
    url = services.renderer.url("job_older_runs", job_id=job_id)
    return await page(
        services,
        "job_older_runs.html",
        nav="jobs",
        title="Older runs",
        job_id=job_id,
        job_name=record.job.name,
        runs=tuple(run_row(run) for run in runs.items) if start else (),
        here=_from(url, cursor),
        next_url=_from(url, runs.next_cursor) if start and runs.next_cursor else None,
    )


@router.get("/runs/{run_id}/figures", name="run_figures", include_in_schema=False)
async def run_figures_page(services: ServicesDep, run_id: str) -> HTMLResponse:
    """What is plotted of a run's throughput, as a table."""
    run = await services.queries.get_run(run_id)
    points = await services.directories.throughput(run_id, most=_MOST_ROWS)
    return await page(
        services,
        "run_figures.html",
        nav="runs",
        title="Figures",
        run_id=run_id,
        run_title=run_title(run),
        rows=throughput_rows(points),
    )


@router.get("/api/v1/runs/{run_id}/throughput", name="api_run_throughput")
async def get_run_throughput(services: ServicesDep, run_id: str) -> dict[str, Any]:
    """Return how fast a run sent over time: at most 300 pairs of the seconds since it began and the
    bytes per second since the pair before."""
    await services.queries.get_run(run_id)
    points = await services.directories.throughput(run_id, most=MAX_POINTS)
    items = [[round(seconds, 3), round(rate)] for seconds, rate in points]
    return {"items": items, "total": len(items), "next_cursor": None}


def _from(url: str, cursor: str | None) -> str:
    return f"{url}?{urlencode({'cursor': cursor})}" if cursor else url
