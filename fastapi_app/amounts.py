"""Numbers as pages show them: in human units, with the exact value beside them.

Of what changes while it is looked at the pages show the text alone (`live_values.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi_app import formatting

_ROUNDED_FROM_BYTES = 1024
_ROUNDED_FROM_SECONDS = 10


@dataclass(frozen=True)
class Amount:
    """A number: `text` at a glance, `exact` on hover and for a screen reader.

    `exact` is empty where the text says it all, and where nothing is known.
    """

    text: str
    exact: str = ""

    def __str__(self) -> str:
        """Return what is seen, for where there is room for no more."""
        return self.text


def size(value: float | None) -> Amount:
    """Return a size in bytes: `29.4 MiB`, exactly `30,828,134 bytes`."""
    return Amount(formatting.size(value), _exact(value, "bytes"))


def rate(value: float | None) -> Amount:
    """Return a rate in bytes per second: `29.4 MiB/s`, exactly `30,828,134 bytes per second`."""
    return Amount(formatting.rate(value), _exact(value, "bytes per second"))


def duration(seconds: float | None) -> Amount:
    """Return a duration in seconds: `1 h 02 min`, exactly `3,723.4 s`."""
    is_rounded = seconds is not None and seconds >= _ROUNDED_FROM_SECONDS
    return Amount(formatting.duration(seconds), f"{seconds:,.1f} s" if is_rounded else "")


def _exact(value: float | None, unit: str) -> str:
    return "" if value is None or value < _ROUNDED_FROM_BYTES else f"{value:,.0f} {unit}"
