"""What every page says of this machine's tools: which is missing, which has known weaknesses.

What can be dismissed is dismissed in one browser, by a cookie, and comes back with another version
of the tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from core.tools import Tool

DISMISSED_COOKIE = "longshore_dismissed"
DISMISSED_SECONDS = 180 * 24 * 3600
_SEPARATOR = "~"
_MOST_DISMISSED = 10
_KEY = re.compile(r"[A-Za-z0-9.-]{1,60}")


class Notice(NamedTuple):
    """One notice; without a key it stays until its cause is gone."""

    text: str
    key: str | None = None


def notices_of(tools: Iterable[Tool], dismissed: Iterable[str]) -> tuple[Notice, ...]:
    """Return what is to be said of the tools, but for what was dismissed."""
    notices = []
    for tool in tools:
        if tool.path is None:
            text = f"{tool.engine} is not installed on this machine. {tool.install_hint}"
            notices.append(Notice(text))
        elif tool.notice is not None:
            key = re.sub(r"[^A-Za-z0-9.]", "-", f"{tool.engine}-{tool.version}")[:60]
            notices.append(Notice(tool.notice, key))
    unwanted = frozenset(dismissed)
    return tuple(notice for notice in notices if notice.key not in unwanted)


def dismissed_in(cookie: str) -> tuple[str, ...]:
    """Return the keys of a cookie, as many as are kept; anybody may have written it."""
    return tuple(key for key in cookie.split(_SEPARATOR) if _KEY.fullmatch(key))[-_MOST_DISMISSED:]


def cookie_with(cookie: str, key: str) -> str:
    """Return a cookie with one key more; the same one when it is none."""
    known = [one for one in dismissed_in(cookie) if one != key]
    return _SEPARATOR.join(dismissed_in(_SEPARATOR.join([*known, key])))
