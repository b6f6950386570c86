"""The Errors page: what went wrong, in a list, one by itself, and as figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fastapi_app.access import guarded_router, needs
from fastapi_app.error_pages import ErrorsQuery, error_page_view, errors_page_view
from fastapi_app.error_trend_views import error_trend
from fastapi_app.routers.banners import page_before
from fastapi_app.routers.pages import page
from fastapi_app.services import ServicesDep
from models.access import Role
from models.audit import Action
from models.errors import FieldFault, InvalidDefinition
from storage.error_reader import MAX_PAGE

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
QueryDep = Annotated[ErrorsQuery, Depends()]
_SEE_OTHER = 303


@router.get("/errors", name="errors_page")
async def errors_page(
    services: ServicesDep, query: QueryDep, cursor: str | None = None
) -> HTMLResponse:
    """What went wrong, newest first, or what of it a person looks for."""
    view = await errors_page_view(services, query, cursor or None)
    return await page(services, "errors.html", nav="errors", title="Errors", errors=view)


@router.get("/errors/trend", name="errors_trend")
async def errors_trend_page(services: ServicesDep) -> HTMLResponse:
    """How often faults were met, as a table."""
    trend = error_trend(await services.error_log.statistics(), datetime.now(UTC))
    return await page(services, "errors_trend.html", nav="errors", title="Trend", trend=trend)


@router.get("/errors/count", name="errors_count")
async def errors_count(services: ServicesDep) -> HTMLResponse:
    """How many are unresolved, for pages that cannot be reached by WebSocket."""
    count = services.error_count.view()
    return services.renderer.partial("_error_count.html", error_count=count)


@router.get("/errors/{event_id}", name="error_page")
async def error_page(services: ServicesDep, event_id: str) -> HTMLResponse:
    """One error with its details and its stack trace."""
    event = await services.error_log.get(event_id)
    view = await error_page_view(services, event)
    title = f"Error {event.id}"
    return await page(services, "error_event.html", nav="errors", title=title, detail=view)


@router.post("/errors/resolve", name="errors_resolve")
@needs(Role.OPERATOR)
async def resolve_errors(
    request: Request,
    services: ServicesDep,
    query: QueryDep,
    up_to: Annotated[str, Query(pattern="^[0-9]{0,18}$")] = "",
) -> Response:
    """Take for done the errors that are ticked, or with `up_to` all that the address asks for and
    that are not newer; then go back to where they were listed."""
    if up_to:
        wanted = replace(query.filter, resolved=False, up_to=up_to)
        resolved = await services.error_log.resolve_many(wanted)
    else:
        posted = await request.form(max_files=0, max_fields=MAX_PAGE)
        ids = [value for value in posted.getlist("event") if isinstance(value, str)]
        if not ids:
            raise InvalidDefinition((FieldFault("event", "No error is ticked."),))
        resolved = await services.error_log.resolve_many(ids)
    if resolved:
        services.audit.note(request, Action.ERROR_RESOLVED, details={"errors": resolved})
    await services.banners.refresh()
    return RedirectResponse(page_before(request, services), _SEE_OTHER)
