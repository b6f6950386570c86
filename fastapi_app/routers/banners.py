"""The banners and notices of the pages: fetched alone, and dismissed."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match

from fastapi_app.access import guarded_router, needs
from fastapi_app.audit_notes import note_resolved
from fastapi_app.notices import DISMISSED_COOKIE, DISMISSED_SECONDS, cookie_with
from fastapi_app.preferences import remember
from fastapi_app.routers.forms import is_htmx
from fastapi_app.security import path_before
from fastapi_app.services import Services, ServicesDep
from models.access import Role

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
_SEE_OTHER = 303


@router.get("/banners", name="banners")
async def show_banners(services: ServicesDep) -> HTMLResponse:
    """The banners, for pages that cannot be reached by WebSocket."""
    return _banners(services)


@router.get("/bell", name="bell")
async def show_bell(services: ServicesDep) -> HTMLResponse:
    """The list behind the bell, for pages that cannot be reached by WebSocket."""
    return services.renderer.partial("_bell.html", bell=services.happenings.view())


@router.post("/errors/{event_id}/resolve", name="error_resolve")
@needs(Role.OPERATOR)
async def resolve_error(request: Request, services: ServicesDep, event_id: str) -> Response:
    """Take an error for done, and go back to the page where that was said."""
    await services.error_log.resolve(event_id)
    await note_resolved(services, request, event_id)
    await services.banners.refresh()
    if is_htmx(request):
        return _banners(services)
    return RedirectResponse(page_before(request, services), _SEE_OTHER)


@router.post("/notices/dismiss", name="notice_dismiss")
@needs(Role.VIEWER)
async def dismiss_notice(
    request: Request, services: ServicesDep, key: Annotated[str, Form(max_length=60)]
) -> Response:
    """Say something of a tool no more in this browser, and go back to where that was said."""
    if is_htmx(request):
        answer = Response(status_code=200)
    else:
        answer = RedirectResponse(page_before(request, services), _SEE_OTHER)
    dismissed = cookie_with(request.cookies.get(DISMISSED_COOKIE, ""), key)
    root_path = services.settings.root_path
    remember(answer, request, root_path, DISMISSED_COOKIE, dismissed, DISMISSED_SECONDS)
    return answer


def _banners(services: Services) -> HTMLResponse:
    return services.renderer.partial("_banners.html", banners=services.banners.view())


def page_before(request: Request, services: Services) -> str:
    """Return where the request came from when that is a page of ours, else the dashboard."""
    path, question_mark, query = (path_before(request.headers) or "").partition("?")
    root = services.settings.root_path
    path = path.removeprefix(root)
    # Only what a GET reaches: a form that was refused stands at an address that takes posts alone.
    scope = {"type": "http", "method": "GET", "path": unquote(path), "root_path": "", "headers": []}
    if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
        return root + path + question_mark + query
    return services.renderer.url("dashboard")
