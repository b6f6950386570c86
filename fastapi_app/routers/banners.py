"""The banners of the pages: fetched alone, and dismissed."""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match

from fastapi_app.routers.forms import is_htmx
from fastapi_app.security import path_before
from fastapi_app.services import Services, ServicesDep

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
_SEE_OTHER = 303


@router.get("/banners", name="banners")
async def show_banners(services: ServicesDep) -> HTMLResponse:
    """The banners, for pages that cannot be reached by WebSocket."""
    return _banners(services)


@router.post("/errors/{event_id}/resolve", name="error_resolve")
async def resolve_error(request: Request, services: ServicesDep, event_id: str) -> Response:
    """Take an error for done, and go back to the page where that was said."""
    await services.error_log.resolve(event_id)
    await services.banners.refresh()
    if is_htmx(request):
        return _banners(services)
    return RedirectResponse(_page_before(request, services), _SEE_OTHER)


def _banners(services: Services) -> HTMLResponse:
    return services.renderer.partial("_banners.html", banners=services.banners.view())


def _page_before(request: Request, services: Services) -> str:
    """Return where the request came from when that is a page of ours, else the dashboard."""
    path, question_mark, query = (path_before(request.headers) or "").partition("?")
    root = services.settings.root_path
    path = path.removeprefix(root)
    # Only what a GET reaches: a form that was refused stands at an address that takes posts alone.
    scope = {"type": "http", "method": "GET", "path": unquote(path), "root_path": "", "headers": []}
    if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
        return root + path + question_mark + query
    return services.renderer.url("dashboard")
