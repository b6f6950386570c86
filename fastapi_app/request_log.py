"""Gives each request an id, which its lines in the log and its answer bear, and logs it if wanted.

Pure ASGI, around everything else.
"""

from __future__ import annotations

import logging
import re
import time
from secrets import token_hex

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from utils.log_context import begin

HEADER = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_logger = logging.getLogger("longshore.access")


class RequestLog:
    """ASGI middleware. `is_wanted` has each request logged once it is answered."""

    def __init__(self, app: ASGIApp, *, is_wanted: bool) -> None:
        self._app = app
        self._is_wanted = is_wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ID.fullmatch(given) else token_hex(4)
        began = time.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        # Not undone: a defect is logged around this, and each request has a task of its own.
        begin(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if self._is_wanted:
                _tell(scope, status, time.monotonic() - began)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    # Without the query, which may hold what somebody searched for.
    method, path = scope.get("method", "WEBSOCKET"), scope["path"]
    client = scope["client"][0] if scope.get("client") else None
    milliseconds = round(seconds * 1000, 1)
    fields = {
        "method": method,
        "path": path,
        "status": status or None,
        "milliseconds": milliseconds,
        "client": client,
    }
    words = (method, path, status or "–", milliseconds, client or "–")
    _logger.info("%s %s %s in %s ms for %s", *words, extra={"fields": fields})
