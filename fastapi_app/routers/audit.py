"""The audit log: its page, the JSON API under /api/v1/audit, and all of it as a file."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import HTMLResponse, StreamingResponse

from core.job_queries import DEFAULT_PAGE
from fastapi_app.access import guarded_router, needs
from fastapi_app.api_description import EXPORT, told
from fastapi_app.audit_views import AuditQuery, audit_view
from fastapi_app.error_filter import MAX_QUERY, timestamp_of
from fastapi_app.query_values import Cursor, Moment, OrAny
from fastapi_app.routers.pages import page
from fastapi_app.row_export import MEDIA_TYPES, Export, ExportFormat
from fastapi_app.services import ServicesDep
from models.access import Role
from models.audit import Action, AuditEntry, AuditFilter, AuditPage
from storage.audit_repository import MAX_PAGE

router = guarded_router()
_COLUMNS = tuple(one.name for one in fields(AuditEntry))


def asked_for(
    account: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    action: Annotated[OrAny[Action], Query()] = None,
    job_id: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    q: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    since: Annotated[OrAny[Moment], Query()] = None,
    until: Annotated[OrAny[Moment], Query()] = None,
) -> AuditFilter:
    """Return the filter that the address of an API call says."""
    return AuditFilter(
        account=account or None,
        action=action,
        job_id=job_id or None,
        q=q or None,
        since=timestamp_of(since) if since else None,
        until=timestamp_of(until) if until else None,
    )


FilterDep = Annotated[AuditFilter, Depends(asked_for)]


@router.get("/api/v1/audit", responses=told("AuditEntries"))
@needs(Role.ADMIN)
async def list_entries(
    services: ServicesDep,
    wanted: FilterDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List who did what, newest first: from `since` on and before `until`.

    `way` is how the request told whose it is, null where there was none: `system` stands for
    whoever edited a file.
    """
    found = await services.audit.log.find(wanted, limit=limit, cursor=cursor)
    return {
        "items": [asdict(entry) for entry in found.items],
        "total": found.total,
        "next_cursor": found.next_cursor,
    }


@router.get(
    "/api/v1/audit/export",
    name="api_audit_export",
    response_class=StreamingResponse,
    responses=EXPORT,
)
@needs(Role.ADMIN)
async def export_entries(
    services: ServicesDep,
    wanted: FilterDep,
    form: Annotated[ExportFormat, Query(alias="format")] = "csv",
) -> StreamingResponse:
    """All that match as a file."""

    async def find(cursor: str | None) -> AuditPage:
        return await services.audit.log.find(wanted, limit=MAX_PAGE, cursor=cursor)

    return StreamingResponse(
        await Export(find, asdict, _COLUMNS).parts(form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="longshore-audit.{form}"'},
    )


@router.get("/audit", name="audit_page", include_in_schema=False, response_class=HTMLResponse)
@needs(Role.ADMIN)
async def audit_page(
    services: ServicesDep, query: Annotated[AuditQuery, Depends()], cursor: Cursor = None
) -> HTMLResponse:
    """Who did what, newest first, or what of it a person looks for."""
    view = await audit_view(services, query, cursor)
    return await page(services, "audit.html", nav="settings", title="Audit log", audit=view)
