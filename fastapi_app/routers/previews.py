"""Dry runs: how they are started, and what they told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import RedirectResponse, Response

from core.job_queries import DEFAULT_PAGE
from fastapi_app.access import guarded_router, needs
from fastapi_app.api_description import told
from fastapi_app.preview_views import MAX_QUERY
from fastapi_app.query_values import Cursor, OrAny
from fastapi_app.routers.forms import is_htmx
from fastapi_app.services import Services, ServicesDep
from models.access import Role
from models.audit import Action
from models.errors import NoPreview
from models.planned_change import ChangeKind
from models.run import Run
from models.run_spec import RunKind
from storage.previews import MAX_PAGE, PreviewFilter, read_preview

router = guarded_router()
_SEE_OTHER = 303
Words = Annotated[str, Query(max_length=MAX_QUERY)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.post(
    "/api/v1/jobs/{job_id}/dry-run", status_code=202, responses=told("RunStarted", 409, status=202)
)
@needs(Role.OPERATOR)
async def start_dry_run(request: Request, services: ServicesDep, job_id: str) -> dict[str, str]:
    """Start a dry run, or queue it: it tells what a run would do, and does nothing.

    When it ends, in whichever way, the job is what it was before.
    """
    return {"run_id": await _start(request, services, job_id)}


@router.get("/api/v1/runs/{run_id}/preview", responses=told("Preview"))
async def get_preview(
    services: ServicesDep,
    run_id: str,
    q: Words = "",
    change: Annotated[OrAny[ChangeKind], Query()] = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List what a dry run told: `create`, `update`, `delete` or `attributes` of a path, sizes in
    bytes.

    `total` counts those of the list that match; `counts` all of them, listed or not, and is null
    until the dry run has ended. A folder's path ends with a slash; a byte that is not UTF-8 is
    written as an escape.
    """
    run = await _dry_run(services, run_id)
    directory = services.directories.path_of(run.id)
    page = await read_preview(
        directory, PreviewFilter(change, q), limit=limit, cursor=int(cursor or 0)
    )
    return {
        "items": [item._asdict() for item in page.items],
        "total": page.total,
        "next_cursor": str(page.next_cursor) if page.next_cursor is not None else None,
        "counts": run.preview,
    }


@router.post("/jobs/{job_id}/dry-run", name="job_dry_run", include_in_schema=False)
@needs(Role.OPERATOR)
async def start_dry_run_form(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Start a dry run, and show it."""
    path = services.renderer.url("run_page", run_id=await _start(request, services, job_id))
    if is_htmx(request):
        return Response(status_code=200, headers={"HX-Redirect": path})
    return RedirectResponse(path, _SEE_OTHER)


async def _start(request: Request, services: Services, job_id: str) -> str:
    run_id = await services.manager.start_dry_run(job_id)
    services.audit.note(request, Action.DRY_RUN_STARTED, job_id=job_id, run_id=run_id)
    return run_id


async def _dry_run(services: Services, run_id: str) -> Run:
    run = await services.queries.get_run(run_id)
    if run.kind != RunKind.DRY_RUN:
        raise NoPreview(run_id)
    return run
