"""What the page of a dry run is given of its list: read for the part that the address asks for."""

from __future__ import annotations

from fastapi_app.preview_views import ROWS_PER_PAGE, PreviewQuery, PreviewView, preview_view
from fastapi_app.services import Services
from models.run import Run
from models.run_spec import RunKind
from storage.previews import read_preview


async def preview_part(services: Services, run: Run, query: PreviewQuery) -> PreviewView | None:
    """Return what a run's page shows of its list; None for a transfer. Raises StorageFailed."""
    if run.kind != RunKind.DRY_RUN:
        return None
    directory = services.directories.path_of(run.id)
    start = int(query.preview_from or 0)
    page = await read_preview(directory, query.wanted, limit=ROWS_PER_PAGE, cursor=start)
    return preview_view(run, page, query, url=services.renderer.url)
