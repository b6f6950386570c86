"""The spans before now that pages of logs offer to choose from."""

from __future__ import annotations

_HOUR = 60 * 60
SPAN_SECONDS = {"hour": _HOUR, "day": 24 * _HOUR, "week": 7 * 24 * _HOUR, "month": 30 * 24 * _HOUR}
SPAN_WORDS = (
    ("", "Any time"),
    ("hour", "Last hour"),
    ("day", "Last 24 hours"),
    ("week", "Last 7 days"),
    ("month", "Last 30 days"),
)
