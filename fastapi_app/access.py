"""Whose request it is, and what each route needs: pure ASGI before the routes, and the routes' own
class.

What is needed stands at the endpoint and is looked at once the route is known: no path is compared
that a client could spell in two ways. A route that says nothing needs a viewer to read and an
administrator to change anything, so that a new one is never open by oversight.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection, Request, cookie_parser
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from core.access.registry import Access
from fastapi_app.peers import (
    TrustedProxies,
    is_behind_tls,
    is_of_this_machine,
    was_forwarded,
)
from models.access import Identity, Role
from models.errors import NotAllowed, SignInNeeded

COOKIE = "longshore_session"
BACKGROUND = "longshore-background"
"""The header of what a page asks for by itself: one that is merely left open keeps no session."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NEEDED = "__longshore_needs__"
_EVERYBODY = "everybody"
_SCHEME = "bearer "
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Part = str | bytes | memoryview
_logger = logging.getLogger(__name__)


def open_to_everybody(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that strangers may use."""
    setattr(endpoint, _NEEDED, _EVERYBODY)
    return endpoint


def needs(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint with the role that it needs, where that is not the rule's."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _NEEDED, role)
        return endpoint

    return mark


def needed_by(endpoint: Callable[..., Any], methods: set[str] | None) -> Role | None:
    """Return the role that an endpoint needs; None where strangers may use it."""
    needed = getattr(endpoint, _NEEDED, None)
    if needed == _EVERYBODY:
        return None
    if isinstance(needed, Role):
        return needed
    return Role.VIEWER if (methods or set()) <= _SAFE_METHODS else Role.ADMIN


class GuardedRoute(APIRoute):
    """A route that looks who asks before it makes anything of the request's body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers those who may."""
        answer = super().get_route_handler()
        needed = needed_by(self.endpoint, self.methods)

        async def guarded(request: Request) -> Response:
            if needed is None:
                return await answer(request)
            # As things are now: a body may have taken half a minute since the request began.
            _look_again(request, needed)
            response = await answer(request)
            if isinstance(response, StreamingResponse):
                response.body_iterator = _while_allowed(response.body_iterator, request, needed)
            return response

        return guarded


class RestRefused(ClientDisconnect):
    """Whoever is being answered may not have the rest: it is as if they had gone."""


async def _while_allowed(
    parts: AsyncIterable[Part], request: Request, needed: Role
) -> AsyncIterator[Part]:
    """Yield what a long answer consists of. Raises RestRefused."""
    async for part in parts:
        try:
            _look_again(request, needed)
        except (SignInNeeded, NotAllowed) as error:
            raise RestRefused from error
        yield part


def _look_again(request: Request, needed: Role) -> None:
    """Raises SignInNeeded, NotAllowed."""
    guard: Guard = request.app.state.guard
    request.scope["state"]["identity"] = guard.identity(request.scope, is_use=False)
    demand(request, needed)


def guarded_router(**options: Any) -> APIRouter:
    """Return a router all of whose routes are guarded."""
    return APIRouter(route_class=GuardedRoute, **options)


def identity_of(connection: HTTPConnection) -> Identity | None:
    """Return whose request it is; None for a stranger's."""
    identity: Identity | None = connection.scope["state"]["identity"]
    return identity


def demand(connection: HTTPConnection, needed: Role) -> Identity:
    """Return whose request it is. Raises SignInNeeded, NotAllowed."""
    identity = identity_of(connection)
    if identity is None:
        raise SignInNeeded
    if not identity.role.allows(needed):
        raise NotAllowed(identity.role, needed)
    return identity


def address_of(connection: HTTPConnection) -> str:
    """Return where a request comes from."""
    return str(connection.scope["state"]["address"])


def session_secret(connection: HTTPConnection) -> str | None:
    """Return the secret of the session that a browser shows."""
    return _cookie(connection.headers)


def keep_session(request: Request, response: Response, secret: str) -> None:
    """Have the browser show this session from now on."""
    response.set_cookie(
        COOKIE,
        secret,
        path=_cookie_path(request),
        secure=is_behind_tls(request.scope, request.headers),
        httponly=True,
        samesite="strict",
    )


def forget_session(request: Request, response: Response) -> None:
    """Have the browser show no session any more."""
    response.delete_cookie(
        COOKIE,
        path=_cookie_path(request),
        secure=is_behind_tls(request.scope, request.headers),
        httponly=True,
        samesite="strict",
    )


class Guard:
    """Finds out whose request it is. While there is no account that is the owner's for who is on
    this machine; with `open_behind_proxy` also for who comes through a proxy, which asks itself."""

    def __init__(
        self, proxies: TrustedProxies, user_header: str, *, open_behind_proxy: bool = False
    ) -> None:
        self.proxies = proxies
        self._user_header = user_header
        self._open_behind_proxy = open_behind_proxy

    def identity(self, scope: Scope, *, is_use: bool) -> Identity | None:
        """Return whose request it is, as things are now; None for a stranger's."""
        access: Access = scope["app"].state.access
        headers, address = Headers(scope=scope), scope["state"]["address"]
        authorization = headers.get("authorization", "")
        if authorization[: len(_SCHEME)].lower() == _SCHEME:
            return access.by_token(authorization[len(_SCHEME) :].strip(), address)
        if access.is_open:
            is_open_to_it = self._open_behind_proxy or self._is_here(scope, headers)
            return access.owner(address) if is_open_to_it else None
        if self._user_header and self.proxies.is_peer(scope):
            names = headers.getlist(self._user_header)
            if names:
                # Of two the browser may have sent one.
                return access.by_proxy(names[0], address) if len(names) == 1 else None
        secret = _cookie(headers)
        return access.by_session(secret, address, is_use=is_use) if secret else None

    def _is_here(self, scope: Scope, headers: Headers) -> bool:
        """Whether it is somebody's on this machine, as far as that can be seen."""
        is_proxy = self.proxies.is_peer(scope) or was_forwarded(scope, headers)
        return is_of_this_machine(scope["state"]["address"]) and not is_proxy


class AccessGuard:
    """ASGI middleware that tells the routes whose request it is, for them to judge."""

    def __init__(self, app: ASGIApp, *, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out, and pass on."""
        if scope["type"] in {"http", "websocket"}:
            state, headers = scope.setdefault("state", {}), Headers(scope=scope)
            state["address"] = self._guard.proxies.address_of(scope, headers)
            is_use = scope["type"] == "http" and BACKGROUND not in headers
            state["identity"] = self._guard.identity(scope, is_use=is_use)
        try:
            await self._app(scope, receive, send)
        except RestRefused:
            # What was sent is not ended as an answer is, so that nobody takes it for a whole one;
            # of that uvicorn logs an error of its own.
            _logger.warning("an answer is cut off: whoever it is for may not have the rest")


def _cookie(headers: Headers) -> str | None:
    # Those that other programs of the same host have left may be of any form.
    return cookie_parser("; ".join(headers.getlist("cookie"))).get(COOKIE) or None


def _cookie_path(request: Request) -> str:
    return request.scope.get("root_path", "") or "/"
