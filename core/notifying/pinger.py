"""The process that pings one address, and ends: `python -m core.notifying.pinger FD`.

The standard library alone: it starts with each start and end of a run (core/notifying/child.py).
"""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

from core.notifying.addresses import ping_fault
from core.notifying.child import UNREACHABLE, send_one

_SECONDS = 15


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is told to one place is for no other."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        return None


def _ping(wanted: dict[str, Any]) -> str | None:
    """Ping an address; returns why it failed, or None."""
    address: str = wanted["address"]
    fault = ping_fault(address)
    if fault is not None:
        return fault
    parts = urlsplit(address)
    headers = {"User-Agent": "Longshore", "Content-Type": "text/plain; charset=utf-8"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode("ascii")
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    body = str(wanted["body"]).encode("utf-8", "backslashreplace") or None
    request = urllib.request.Request(parts.geturl(), data=body, headers=headers)  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code in range(300, 400):
            return "It leads elsewhere: write the address where it leads to."
        return f"It answered with the status {error.code}."
    except (OSError, ValueError, http.client.HTTPException):
        # What they say may repeat the address.
        return UNREACHABLE


if __name__ == "__main__":
    send_one(_ping)
