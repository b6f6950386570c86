"""Single files of a run: those that failed, special files, and the retry of failed ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import RedirectResponse, Response

from core.job_queries import DEFAULT_PAGE, MAX_PAGE
from fastapi_app.access import guarded_router, needs
from fastapi_app.api_description import told
from fastapi_app.failure_views import MAX_QUERY, file_slice
from fastapi_app.query_values import Cursor
from fastapi_app.routers.forms import is_htmx
from fastapi_app.services import ServicesDep
from models.access import Role
from models.audit import Action

router = guarded_router()
_SEE_OTHER = 303
Words = Annotated[str, Query(max_length=MAX_QUERY)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.get("/api/v1/runs/{run_id}/failures", responses=told("FailedFiles"))
async def list_failures(
    services: ServicesDep,
    run_id: str,
    q: Words = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List the files that failed in the last attempt, with the tool's reasons.

    `total` counts them all, or with `q` those that match; `named` how many are kept by name: 1,000
    of a run at most. A byte that is not UTF-8 is written as an escape.
    """
    run = await services.queries.get_run(run_id)
    files = await services.directories.files(run_id)
    found = file_slice(files.failed, q=q, limit=limit, cursor=cursor)
    return {
        "items": [{"path": file.path, "reason": file.reason} for file in found.items],
        "total": found.matching if q else files.failed_in_all(run.files_failed),
        "named": len(files.failed),
        "next_cursor": found.next_cursor,
    }


@router.get("/api/v1/runs/{run_id}/skipped", responses=told("SkippedFiles"))
async def list_skipped(
    services: ServicesDep,
    run_id: str,
    q: Words = "",
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List the special files, which no engine copies: FIFOs, sockets and devices."""
    run = await services.queries.get_run(run_id)
    files = await services.directories.files(run_id)
    found = file_slice(files.skipped, q=q, limit=limit, cursor=cursor)
    return {
        "items": [{"path": file.path, "kind": file.kind} for file in found.items],
        "total": found.matching if q else max(run.files_special, len(files.skipped)),
        "named": len(files.skipped),
        "next_cursor": found.next_cursor,
    }


@router.post(
    "/api/v1/runs/{run_id}/retry-failed",
    status_code=202,
    responses=told("RunStarted", 409, status=202),
)
@needs(Role.OPERATOR)
async def retry_failed(request: Request, services: ServicesDep, run_id: str) -> dict[str, str]:
    """Start a run of the same job over exactly the files that failed in this one, or queue it."""
    failed = await services.queries.get_run(run_id)
    new_id = await services.manager.retry_failed(run_id)
    services.audit.note(
        request,
        Action.FAILED_RETRIED,
        job_id=failed.job_id,
        run_id=new_id,
        details={"of_run": run_id},
    )
    return {"run_id": new_id}


@router.post("/runs/{run_id}/retry-failed", name="run_retry_failed", include_in_schema=False)
@needs(Role.OPERATOR)
async def retry_failed_form(request: Request, services: ServicesDep, run_id: str) -> Response:
    """Start that run, and show it."""
    started = await retry_failed(request, services, run_id)
    path = services.renderer.url("run_page", run_id=started["run_id"])
    if is_htmx(request):
        return Response(status_code=200, headers={"HX-Redirect": path})
    return RedirectResponse(path, _SEE_OTHER)
