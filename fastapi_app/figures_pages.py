"""What several pages are given of a job's figures: read for the part that is shown."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi_app.activity_views import Activity, activity, first_day
from fastapi_app.plot_views import PLOTTED_RUNS, JobFigures, job_figures
from fastapi_app.services import Services

NEWEST_RUNS = 10
"""How many runs a job's page lists by itself; those before them come when they are asked for."""


async def figures_of(services: Services, job_id: str) -> JobFigures | None:
    """Return what there is to plot of a job; None when it cannot be read now."""
    # One more than is plotted: the newest may be under way.
    recent = await services.history.part(
        "figures", lambda: services.queries.recent_runs([job_id], PLOTTED_RUNS + 1)
    )
    return None if recent is None else job_figures(recent.get(job_id, ()))


async def activity_of(services: Services) -> Activity | None:
    """Return what ended in the last days; None when it cannot be read now."""
    today = datetime.now(UTC).date()
    totals = await services.history.part(
        "activity", lambda: services.queries.totals_by_day(first_day(today).isoformat())
    )
    return None if totals is None else activity(totals, today)
