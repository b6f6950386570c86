"""What several pages are given of a job's figures: read for the part that is shown."""

from __future__ import annotations

from fastapi_app.plot_views import PLOTTED_RUNS, JobFigures, job_figures
from fastapi_app.services import Services

NEWEST_RUNS = 10
"""How many runs a job's page lists by itself; those before them come when they are asked for."""


async def figures_of(services: Services, job_id: str) -> JobFigures:
    """Return what there is to plot of a job. Raises StorageFailed."""
    # One more than is plotted: the newest may be under way.
    recent = await services.queries.recent_runs([job_id], PLOTTED_RUNS + 1)
    return job_figures(recent.get(job_id, ()))
