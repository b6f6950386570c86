"""Who may ask: the Host and Origin checks of HTTP and WebSocket, and the headers of every answer.

Pure ASGI, so that a WebSocket passes through it too: Starlette's http middleware never sees one.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_app.peers import is_behind_tls

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN_HOST = (
    "This host name is not known here. Use the address of the machine, or add the name to the "
    "settings (allowed_hosts, or LONGSHORE_ALLOWED_HOSTS)."
)
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
"""What Host may be (RFC 9110, 7.2): no user, no path, nothing that two readers read in two ways."""
_HIGHEST_PORT = 65_535
_LOCAL_NAMES = frozenset({"localhost"})
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Pages loosen it for themselves, in their head: our own site is told where a form stood.
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class KnownHosts:
    """The host names under which the dashboard may be addressed; the settings replace them."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self.replace(extra)

    def replace(self, extra: Iterable[str]) -> None:
        """Let in these names beside the local ones, and no others."""
        self._names = _LOCAL_NAMES | {name.lower() for name in extra}

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine: by one of the names, or by an address."""
        match = _HOST.fullmatch(host)
        if match is None or int(match["port"] or 0) > _HIGHEST_PORT:
            return False
        name = match["name"].lower()
        if name in self._names:
            return True
        try:
            # An address cannot be rebound to another one by a foreign name server.
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


class RequestGuard:
    """ASGI middleware that refuses foreign hosts and foreign origins."""

    def __init__(self, app: ASGIApp, *, hosts: KnownHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check and pass on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        fault = self._fault(scope, headers)
        with_headers = _with_headers(send, by_tls=is_behind_tls(scope, headers))
        if fault is None:
            await self._app(scope, receive, with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": fault})
        else:
            await _refuse(with_headers, fault, 400 if fault == _FOREIGN_HOST else 403)

    def _fault(self, scope: Scope, headers: Headers) -> str | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._hosts.knows(hosts[0]):
            return _FOREIGN_HOST
        host = hosts[0]
        origin = headers.get("origin")
        if scope["type"] == "websocket":
            # Browsers always send Origin here; other programs may leave it out.
            if origin is None:
                return "A cookie but no origin." if "cookie" in headers else None
            return None if _same(origin, host) else "Foreign origin."
        if scope["method"] in _SAFE_METHODS:
            return None
        return _fault_of_unsafe(headers, origin, host)


def path_before(headers: Headers) -> str | None:
    """Return path and query of the page that a request came from; None for one of another site.

    The pages' own policy makes browsers tell it to this site and to no other.
    """
    host, referer = headers.get("host", ""), headers.get("referer", "")
    if not _same(referer, host):
        return None
    parts = urlsplit(referer)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _fault_of_unsafe(headers: Headers, origin: str | None, host: str) -> str | None:
    if origin is not None:
        return None if _same(origin, host) else "The request comes from another site."
    site = headers.get("sec-fetch-site")
    if site is not None:
        is_own = site in {"same-origin", "none"}
        return None if is_own else "The request comes from another site."
    # Neither header: not a browser, which would have sent a cookie with it.
    return "The request bears a cookie but no origin." if "cookie" in headers else None


def _same(origin: str, host: str) -> bool:
    # The scheme is not compared: behind a proxy the browser speaks https and we speak http.
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return False
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return parts.netloc.lower().removesuffix(default) == host.lower().removesuffix(default)


def _with_headers(send: Send, *, by_tls: bool) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            if by_tls:
                headers["Strict-Transport-Security"] = "max-age=31536000"
            headers["Date"] = formatdate(usegmt=True)  # RFC 9110, 6.6.1
        await send(message)

    return send_with_headers


async def _refuse(send: Send, detail: str, status: int) -> None:
    problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
