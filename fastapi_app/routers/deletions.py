"""What a run deleted at its source: the list, and putting it back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import RedirectResponse, Response

from core.job_queries import DEFAULT_PAGE
from fastapi_app.access import guarded_router
from fastapi_app.api_description import told
from fastapi_app.deleted_source_views import kept_until
from fastapi_app.failure_views import MAX_QUERY
from fastapi_app.query_values import Cursor, OrAny
from fastapi_app.routers.forms import is_htmx
from fastapi_app.services import Services, ServicesDep
from models.audit import Action
from models.deleted_sources import DeletingRun
from models.source_deletions import DeletionOutcome
from storage.deletion_repository import MAX_PAGE

router = guarded_router()
_SEE_OTHER = 303


@router.get("/api/v1/runs/{run_id}/deletions", responses=told("Deletions"))
async def list_deletions(
    services: ServicesDep,
    run_id: str,
    q: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    outcome: OrAny[DeletionOutcome] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List what a run deleted, moved into the trash folder or kept at its source, each with the
    hash that its copy was proven by.

    Also of runs that the history has forgotten. Sizes in bytes, `mtime_ns` in nanoseconds; a byte
    that is not UTF-8 is written as an escape.
    """
    run = await _known(services, run_id)
    page = await services.deletions.list_deletions(
        run_id, q=q, outcome=outcome, limit=limit, cursor=cursor
    )
    return {
        "items": [deletion._asdict() for deletion in page.items],
        "total": page.total,
        "next_cursor": page.next_cursor,
        "trash_until": kept_until(run) if run else None,
        "purged_at": run.purged_at if run else None,
    }


@router.post("/api/v1/runs/{run_id}/put-back", responses=told("PutBack", 409))
async def put_back(request: Request, services: ServicesDep, run_id: str) -> dict[str, int]:
    """Put everything back that a run moved into the trash folder; nothing is written over."""
    run = await _known(services, run_id)
    done = (await services.deleted_sources.put_back(run_id))._asdict()
    services.audit.note(
        request,
        Action.SOURCES_PUT_BACK,
        job_id=run.job_id if run else None,
        job_name=run.job_name if run else None,
        run_id=run_id,
        details=done,
    )
    return done


@router.post("/runs/{run_id}/put-back", name="run_put_back", include_in_schema=False)
async def put_back_form(request: Request, services: ServicesDep, run_id: str) -> Response:
    """Put it back, and show the run."""
    await put_back(request, services, run_id)
    if is_htmx(request):
        return Response(status_code=200, headers={"HX-Refresh": "true"})
    path = services.renderer.url("run_page", run_id=run_id)
    return RedirectResponse(f"{path}#deletions", _SEE_OTHER)


async def _known(services: Services, run_id: str) -> DeletingRun | None:
    """Return what is known of a run that deleted, None of another one. Raises RunNotFound."""
    await services.manager.intake.settle(run_id)
    run = await services.deletions.run(run_id)
    if run is None:
        await services.queries.get_run(run_id)
    return run
