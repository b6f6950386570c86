"""The JSON API under /api/v1 (contracts.md): jobs and runs."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from core.job_queries import DEFAULT_PAGE, MAX_PAGE, JobFilter, JobSort
from fastapi_app.access import guarded_router, needs
from fastapi_app.api_description import TEXT, body_of, content_of, description_of, refusals, told
from fastapi_app.audit_notes import note_job_edit
from fastapi_app.documents import job_document, run_document
from fastapi_app.errors import PreconditionRequired
from fastapi_app.services import Services, ServicesDep
from models.access import Role
from models.audit import Action
from models.errors import FieldFault, InvalidDefinition
from models.progress import RunOutcome
from storage.run_directories import MAX_LOG_WINDOW

router = guarded_router(prefix="/api/v1")
_VERSION = re.compile(r'^"?(\d{1,18})"?$')
_PROGRAM_FIELDS = frozenset(
    {
        "id",
        "version",
        "created_at",
        "updated_at",
        "state",
        "format",
        "overdue",
        "last_success_at",
    }
)
Definition = Annotated[dict[str, Any], Body()]
PageLimit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """Return the description of this API, as OpenAPI has it."""
    app: FastAPI = request.app
    return JSONResponse(await asyncio.to_thread(description_of, app))


@router.get("/jobs", responses=told("Jobs"))
async def list_jobs(
    services: ServicesDep,
    status: str | None = None,
    engine: str | None = None,
    tag: str | None = None,
    q: str | None = None,
    overdue: bool = False,
    sort: JobSort = JobSort.NAME,
    limit: PageLimit = DEFAULT_PAGE,
    cursor: str | None = None,
) -> dict[str, Any]:
    """List jobs by name, or in another order; a cursor is one of the same order. With
    `overdue=true` those alone that have had no success for too long."""
    wanted = JobFilter(status=status, engine=engine, tag=tag, q=q, is_overdue=overdue)
    page = services.queries.list_jobs(wanted, sort=sort, limit=limit, cursor=cursor)
    return {
        "items": [job_document(record, services.overdue) for record in page.items],
        "total": page.total,
        "next_cursor": page.next_cursor,
        "damaged": [{"id": job.id, "reason": job.reason} for job in page.damaged],
    }


@router.post(
    "/jobs",
    status_code=201,
    responses=told("JobAnswer", 409, status=201),
    openapi_extra=body_of("JobDefinition"),
)
async def create_job(request: Request, services: ServicesDep, definition: Definition) -> Response:
    """Create a job."""
    job_id = await services.manager.create_job(_definition(definition))
    services.audit.note(request, Action.JOB_CREATED, job_id=job_id)
    answer = _job_answer(services, job_id, 201)
    answer.headers["Location"] = services.renderer.url("api_job", job_id=job_id)
    return answer


@router.get("/jobs/{job_id}", name="api_job", responses=told("JobAnswer"))
async def get_job(services: ServicesDep, job_id: str) -> Response:
    """Return one job; its ETag is the version of the definition."""
    return _job_answer(services, job_id, 200)


@router.put(
    "/jobs/{job_id}",
    responses=told("JobAnswer", 409, 412, 428),
    openapi_extra=body_of("JobDefinition"),
)
async def update_job(
    request: Request,
    services: ServicesDep,
    job_id: str,
    definition: Definition,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Replace a definition; If-Match says which version was changed."""
    before = services.queries.get_job(job_id).job
    if if_match is None:
        raise PreconditionRequired
    await services.manager.update_job(
        job_id, _definition(definition), expected_version=_version(if_match)
    )
    note_job_edit(services, request, before)
    return _job_answer(services, job_id, 200)


@router.delete("/jobs/{job_id}", status_code=204, responses=refusals(409))
async def delete_job(request: Request, services: ServicesDep, job_id: str) -> None:
    """Delete a job at rest."""
    name = services.queries.get_job(job_id).job.name
    await services.manager.delete_job(job_id)
    services.audit.note(request, Action.JOB_DELETED, job_id=job_id, job_name=name)


@router.post("/jobs/{job_id}/start", status_code=202, responses=told("RunStarted", 409, status=202))
@needs(Role.OPERATOR)
async def start_job(request: Request, services: ServicesDep, job_id: str) -> dict[str, str]:
    """Start a run, or queue it."""
    run_id = await services.manager.start_job(job_id)
    services.audit.note(request, Action.JOB_STARTED, job_id=job_id, run_id=run_id)
    return {"run_id": run_id}


@router.post("/jobs/{job_id}/stop", status_code=202, responses=told("RunStopped", 409, status=202))
@needs(Role.OPERATOR)
async def stop_job(request: Request, services: ServicesDep, job_id: str) -> dict[str, str | None]:
    """Stop the job's run."""
    run_id = services.queries.get_job_status(job_id).run_id
    await services.manager.stop_job(job_id)
    services.audit.note(request, Action.JOB_STOPPED, job_id=job_id, run_id=run_id)
    return {"run_id": run_id}


@router.post("/jobs/{job_id}/discard", responses=told("JobAnswer", 409))
@needs(Role.OPERATOR)
async def discard_job(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Make a paused or interrupted job pending and remove its partial files."""
    await services.manager.discard(job_id)
    services.audit.note(request, Action.JOB_DISCARDED, job_id=job_id)
    return _job_answer(services, job_id, 200)


@router.get("/jobs/{job_id}/runs", responses=told("Runs"))
async def list_job_runs(
    services: ServicesDep,
    job_id: str,
    limit: PageLimit = DEFAULT_PAGE,
    cursor: str | None = None,
) -> dict[str, Any]:
    """List the runs of a job, newest first."""
    return await _runs(services, job_id=job_id, limit=limit, cursor=cursor)


@router.get("/runs", responses=told("Runs"))
async def list_runs(
    services: ServicesDep,
    q: str | None = None,
    outcome: RunOutcome | None = None,
    limit: PageLimit = DEFAULT_PAGE,
    cursor: str | None = None,
) -> dict[str, Any]:
    """List all runs, newest first: those of an outcome, those of jobs with a text in their name."""
    return await _runs(services, q=q, outcome=outcome, limit=limit, cursor=cursor)


@router.get("/runs/{run_id}", responses=told("Run"))
async def get_run(services: ServicesDep, run_id: str) -> dict[str, Any]:
    """Return one run with phases and outcome."""
    return run_document(await services.queries.get_run(run_id))


@router.get(
    "/runs/{run_id}/log",
    name="api_run_log",
    response_class=PlainTextResponse,
    responses=content_of({"text/plain": TEXT}),
)
async def get_run_log(
    services: ServicesDep,
    run_id: str,
    offset: int = 0,
    limit: Annotated[int, Query(ge=0, le=MAX_LOG_WINDOW)] = 64 * 1024,
    since: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """Return a window of the tool's output in bytes; a negative offset counts from the end.

    With `since`, what was written after that place, or the newest lines of it where it is more than
    the limit. Longshore-Log-Next is the place to go on from; Longshore-Log-Skipped tells how many
    bytes in between are left out.
    """
    await services.queries.get_run(run_id)
    directories = services.directories
    window = await (
        directories.log_window(run_id, offset=offset, limit=limit)
        if since is None
        else directories.log_since(run_id, place=since, limit=limit)
    )
    headers = {
        "Longshore-Log-Next": str(window.next_place),
        "Longshore-Log-Skipped": str(window.skipped),
    }
    return Response(window.content, media_type="text/plain; charset=utf-8", headers=headers)


async def _runs(services: Services, **wanted: Any) -> dict[str, Any]:
    page = await services.queries.list_runs(**wanted)
    return {
        "items": [run_document(run) for run in page.items],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


def _job_answer(services: Services, job_id: str, status: int) -> JSONResponse:
    record = services.queries.get_job(job_id)
    headers = {"ETag": f'"{record.job.version}"'}
    return JSONResponse(job_document(record, services.overdue), status, headers=headers)


def _definition(body: dict[str, Any]) -> dict[str, Any]:
    # What the program decides may come along, as in a document that was read and sent back.
    return {key: value for key, value in body.items() if key not in _PROGRAM_FIELDS}


def _version(if_match: str) -> int:
    match = _VERSION.match(if_match.strip())
    if match is None:
        fault = FieldFault("If-Match", 'Write the version as in the ETag, such as "3".')
        raise InvalidDefinition((fault,))
    return int(match[1])
