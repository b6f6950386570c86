"""The JSON API of the error log, under /api/v1 (contracts.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from core.job_queries import DEFAULT_PAGE
from fastapi_app.access import guarded_router, needs
from fastapi_app.api_description import EXPORT, told
from fastapi_app.audit_notes import note_resolved
from fastapi_app.documents import error_document
from fastapi_app.error_export import MEDIA_TYPES, ExportFormat, export
from fastapi_app.error_filter import ResolveBody, asked_for
from fastapi_app.query_values import Cursor
from fastapi_app.services import ServicesDep
from models.access import Role
from models.audit import Action
from models.error_query import ErrorFilter
from models.errors import FieldFault, InvalidDefinition
from storage.error_reader import MAX_PAGE

router = guarded_router(prefix="/api/v1")
FilterDep = Annotated[ErrorFilter, Depends(asked_for)]


@router.get("/errors", responses=told("ErrorEvents"))
async def list_errors(
    services: ServicesDep,
    wanted: FilterDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List what went wrong, newest first."""
    page = await services.error_log.find(wanted, limit=limit, cursor=cursor)
    return {
        "items": [error_document(event) for event in page.items],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


@router.get("/errors/statistics", responses=told("ErrorStatistics"))
async def error_statistics(services: ServicesDep) -> dict[str, Any]:
    """Count what went wrong: events by severity and component, and how often faults were met by
    hour (48 of them) and by day (30). Hours and days are those of UTC."""
    return asdict(await services.error_log.statistics())


@router.get("/errors/groups", responses=told("ErrorGroups"))
async def error_groups(
    services: ServicesDep,
    wanted: FilterDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
) -> dict[str, Any]:
    """List the kinds of faults, what was seen last first."""
    groups = await services.error_log.groups(wanted, limit)
    return {"items": [asdict(group) for group in groups], "total": len(groups), "next_cursor": None}


@router.get(
    "/errors/export",
    name="api_errors_export",
    response_class=StreamingResponse,
    responses=EXPORT,
)
async def export_errors(
    services: ServicesDep,
    wanted: FilterDep,
    form: Annotated[ExportFormat, Query(alias="format")] = "csv",
) -> StreamingResponse:
    """All that match as a file."""
    return StreamingResponse(
        await export(services.error_log, wanted, form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="longshore-errors.{form}"'},
    )


@router.post("/errors/resolve")
@needs(Role.OPERATOR)
async def resolve_errors(
    request: Request, services: ServicesDep, body: ResolveBody
) -> dict[str, int]:
    """Take errors for done: those with these ids, or all that match; says how many were open."""
    if (body.ids is None) == (body.filter is None):
        fault = FieldFault("ids", "Name either ids or a filter; an empty filter means all errors.")
        raise InvalidDefinition((fault,))
    which = body.ids if body.filter is None else body.filter.filter()
    resolved = await services.error_log.resolve_many(which or ())
    if resolved:
        services.audit.note(request, Action.ERROR_RESOLVED, details={"errors": resolved})
    await services.banners.refresh()
    return {"resolved": resolved}


@router.get("/errors/{event_id}", responses=told("ErrorEvent"))
async def get_error(services: ServicesDep, event_id: str) -> dict[str, Any]:
    """Return one error."""
    return error_document(await services.error_log.get(event_id))


@router.post("/errors/{event_id}/resolve", responses=told("ErrorEvent"))
@needs(Role.OPERATOR)
async def resolve_error(request: Request, services: ServicesDep, event_id: str) -> dict[str, Any]:
    """Take an error for done; again changes nothing."""
    await services.error_log.resolve(event_id)
    await note_resolved(services, request, event_id)
    await services.banners.refresh()
    return error_document(await services.error_log.get(event_id))
