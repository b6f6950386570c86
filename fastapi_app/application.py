"""create_app: routes, guards and the lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI, WebSocket

from core.access.sessions import digest_of
from fastapi_app import errors
from fastapi_app.access import AccessGuard, Guard, identity_of, session_secret
from fastapi_app.addresses import url_maker
from fastapi_app.assets import Assets
from fastapi_app.composition import compose
from fastapi_app.compression import Compression
from fastapi_app.peers import TrustedProxies, networks_of
from fastapi_app.rendering import VERSION
from fastapi_app.request_limits import RequestLimits
from fastapi_app.request_log import RequestLog
from fastapi_app.route_faults import RouteWatch
from fastapi_app.routers import (
    access,
    account,
    api,
    audit,
    banners,
    error_events,
    errors_page,
    failures,
    figures,
    forms,
    health,
    job_list,
    logs,
    metrics,
    notification_pages,
    notifications,
    pages,
    previews,
    remotes,
)
from fastapi_app.routers import (
    deletions as deletion_routes,
)
from fastapi_app.routers import (
    settings as settings_routes,
)
from fastapi_app.security import KnownHosts, RequestGuard
from fastapi_app.services import services_of
from fastapi_app.websocket.endpoint import serve_live_updates
from fastapi_app.websocket.seats import share_of_address, share_of_session
from models.access import Way
from models.settings import Settings

_ROUTES = (
    account,
    access,
    job_list,
    forms,
    pages,
    figures,
    banners,
    api,
    failures,
    deletion_routes,
    previews,
    remotes,
    error_events,
    errors_page,
    settings_routes,
    notification_pages,
    notifications,
    audit,
    health,
    metrics,
    logs,
)


_POLICY = 1008
"""A WebSocket is refused for a reason that stays (RFC 6455, 7.4.1)."""


def create_app(settings: Settings | None = None, *, first_code: str = "") -> FastAPI:
    """Return the application; without settings they come from the environment. With `first_code`
    the first password can be set in a browser."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            url = url_maker(app, settings.root_path)
            app.state.services = await compose(settings, app.state.hosts, url, first_code, stack)
            app.state.access = app.state.services.access
            yield

    app = FastAPI(
        title="Longshore",
        version=VERSION,
        root_path=settings.root_path,
        # Guarded as everything else is (routers/api.py).
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.hosts = KnownHosts(settings.extra_hosts)
    app.add_middleware(RouteWatch)
    app.add_middleware(Compression)
    app.add_middleware(RequestLimits)
    guard = Guard(
        TrustedProxies(networks_of(settings.trusted_proxies)),
        settings.user_header,
        open_behind_proxy=settings.open_behind_proxy,
    )
    app.state.guard = guard
    app.add_middleware(AccessGuard, guard=guard)
    app.add_middleware(RequestGuard, hosts=app.state.hosts)
    app.add_middleware(RequestLog, is_wanted=settings.access_log)
    errors.register(app)
    app.state.assets = Assets()
    app.add_route("/static/{path:path}", app.state.assets.serve, name="static")
    # As they are: `include_router` would make each of them anew, for the first request to wait for,
    # and look for the one that is meant twice.
    for routes in _ROUTES:
        app.router.routes.extend(routes.router.routes)

    @app.websocket("/ws", name="live")
    async def live(websocket: WebSocket) -> None:
        identity = identity_of(websocket)
        if identity is None:
            await websocket.close(_POLICY, "Sign in first.")
            return

        def may_stay() -> bool:
            # A page that is only open is no use of a session: that ends all the same.
            return guard.identity(websocket.scope, is_use=False) is not None

        services = services_of(websocket)
        live_faults, live_access = services.faults.live, services.live_access
        shares = share_of_address(identity.address)
        if identity.way is Way.SESSION:
            shares += (share_of_session(digest_of(session_secret(websocket) or "")),)
        await serve_live_updates(
            websocket, services.hub, live_faults, live_access, may_stay, *shares
        )

    return app
