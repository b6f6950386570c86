"""The figures behind the plots: as tables, which a page fetches when they are opened and which are
pages of their own without a script."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from core.job_queries import DEFAULT_PAGE
from fastapi_app.figures_pages import NEWEST_RUNS, figures_of
from fastapi_app.routers.pages import page
from fastapi_app.run_views import run_row
from fastapi_app.services import ServicesDep

router = APIRouter()


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


def _from(url: str, cursor: str | None) -> str:
    return f"{url}?{urlencode({'cursor': cursor})}" if cursor else url
