"""One message out of what has gathered for a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from models.notifications import MAX_BODY, MAX_TITLE, OCCASION_WORDS, Occasion

_MAX_LINES = 50
_BAD = (Occasion.RUN_FAILED, Occasion.JOB_OVERDUE, Occasion.ERROR)
_DOUBTFUL = (Occasion.RUN_INTERRUPTED, Occasion.RUN_WARNING)
_GOOD = (Occasion.RUN_COMPLETED, Occasion.JOB_RECOVERED)


class Gathered(NamedTuple):
    """One thing that is to be told, in a rule's words."""

    occasion: Occasion
    title: str
    body: str


class Message(NamedTuple):
    """What is sent; `type` is apprise's word for how bad it is."""

    title: str
    body: str
    type: str


def message_of(gathered: Sequence[Gathered]) -> Message:
    """Return one message: of a single thing in its own words, of several how many of what, and a
    line for each."""
    kind = _type_of([one.occasion for one in gathered])
    if len(gathered) == 1:
        return Message(gathered[0].title[:MAX_TITLE], gathered[0].body[:MAX_BODY], kind)
    counts = Counter(one.occasion for one in gathered)
    parts = [f"{OCCASION_WORDS[one]} × {count}" for one, count in counts.most_common()]
    lines = [f"• {one.title}{_first_line(one.body)}" for one in gathered[:_MAX_LINES]]
    if len(gathered) > _MAX_LINES:
        lines.append(f"… and {len(gathered) - _MAX_LINES:,} more")
    title = f"{len(gathered):,} notifications: {', '.join(parts)}"
    return Message(title[:MAX_TITLE], _cut("\n".join(lines)), kind)


def _first_line(body: str) -> str:
    line = body.strip().partition("\n")[0]
    return f" – {line[:200]}" if line else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_BODY else text[: MAX_BODY - 1] + "…"


def _type_of(occasions: Sequence[Occasion]) -> str:
    if any(one in _BAD for one in occasions):
        return "failure"
    if any(one in _DOUBTFUL for one in occasions):
        return "warning"
    return "success" if all(one in _GOOD for one in occasions) else "info"
