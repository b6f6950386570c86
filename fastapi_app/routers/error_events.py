"""The JSON API of the error log, under /api/v1 (contracts.md)."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from core.job_queries import DEFAULT_PAGE
from fastapi_app.documents import error_document
from fastapi_app.services import ServicesDep
from models.error_event import Component, Severity
from storage.error_reader import MAX_PAGE

router = APIRouter(prefix="/api/v1")
Value = TypeVar("Value")
# As with the list of jobs, an empty value means any.
Filter = Annotated[Value | None, Query(), BeforeValidator(lambda value: value or None)]
Cursor = Annotated[
    str | None, Query(pattern="^[0-9]{1,18}$"), BeforeValidator(lambda value: value or None)
]


@router.get("/errors")
async def list_errors(
    services: ServicesDep,
    severity: Filter[Severity] = None,
    component: Filter[Component] = None,
    job_id: Filter[str] = None,
    resolved: Filter[bool] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List what went wrong, newest first."""
    page = await services.error_log.list_events(
        severity=severity,
        component=component,
        job_id=job_id,
        resolved=resolved,
        limit=limit,
        cursor=cursor,
    )
    return {
        "items": [error_document(event) for event in page.items],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


@router.post("/errors/{event_id}/resolve")
async def resolve_error(services: ServicesDep, event_id: str) -> dict[str, Any]:
    """Take an error for done; again changes nothing."""
    await services.error_log.resolve(event_id)
    await services.banners.refresh()
    return error_document(await services.error_log.get(event_id))
