"""A time as pages show it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi_app import formatting


@dataclass(frozen=True)
class Moment:
    """A time: `iso` for the machine, `exact` on hover, `ago` at a glance."""

    iso: str
    exact: str
    ago: str


def moment(text: str | None) -> Moment | None:
    """Return a stored timestamp for display, or None."""
    if not text:
        return None
    return Moment(iso=text, exact=formatting.exact_time(text), ago=formatting.ago(text))
