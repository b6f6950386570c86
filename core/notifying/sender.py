"""The process that sends one message, and ends: `python -m core.notifying.sender FD`.

What apprise and the libraries behind it cost, and whatever hangs in them, stays out of the
dashboard (core/notifying/child.py).
"""

from __future__ import annotations

import logging
import re
from typing import Any

import apprise
import requests

from core.notifying.addresses import LOCAL_PLUGINS, address_fault
from core.notifying.child import UNREACHABLE, send_one

_SERVICE_SECONDS = 30
_READ_SECONDS = 25.0
"""So long a service may take to answer, for which apprise's own patience is four seconds: what is
slow would be sent the same again and again."""
_UNUSABLE = "The address is none that a message can be sent to."
_LOCAL = "It stays on this machine: choose a target that tells somebody elsewhere."
_STATUS = re.compile(r"\berror[=: ]+(\d{3})\b")


class _Heard(logging.Handler):
    """What apprise said, of which only a status code is repeated: the rest may hold the address."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.status: str | None = None
        self.is_unreachable = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        found = _STATUS.search(text)
        self.status = found[1] if found else self.status
        self.is_unreachable |= "connection" in text.lower()


def be_patient(plugin: Any) -> None:
    """Give a service time to answer, unless its address says how much."""
    if plugin.socket_read_timeout == apprise.URLBase.socket_read_timeout:
        plugin.socket_read_timeout = _READ_SECONDS


def _nowhere_else(self: object, resp: object) -> None:
    """Whoever takes a message sends it on to nobody, nor into our own network."""


def follow_no_redirect() -> None:
    """Have a redirect be a fault: apprise asks by requests, and has no setting for that."""
    requests.Session.get_redirect_target = _nowhere_else  # type: ignore[method-assign]


def _send(wanted: dict[str, Any]) -> str | None:
    """Send a message; returns why it failed, or None."""
    fault = address_fault(wanted["address"])
    if fault is not None:
        return fault
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [heard], False
    logger.setLevel(logging.INFO)
    asset = apprise.AppriseAsset(
        app_id="Longshore",
        app_desc="Longshore",
        storage_mode="memory",
        pgp_autogen=False,
        pem_autogen=False,
        service_timeout=_SERVICE_SECONDS,
        async_mode=False,
    )
    plugin = apprise.Apprise.instantiate(wanted["address"], asset=asset)
    if plugin is None:
        return _UNUSABLE
    if LOCAL_PLUGINS & set(type(plugin).__module__.split(".")):
        return _LOCAL
    be_patient(plugin)
    follow_no_redirect()
    sender = apprise.Apprise(asset=asset)
    sender.add(plugin)
    is_sent = sender.notify(
        title=wanted["title"],
        body=wanted["body"],
        notify_type=wanted["type"],
        body_format=apprise.NotifyFormat.TEXT,
    )
    if is_sent:
        return None
    if heard.status is not None:
        return f"It answered with the status {heard.status}."
    return UNREACHABLE if heard.is_unreachable else "It did not take the message."


if __name__ == "__main__":
    send_one(_send)
