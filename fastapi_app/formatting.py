"""How numbers, times and paths are written for people: one place for pages and live updates.

Unknown is an en dash, never 0. Sizes in binary units, as the tools print them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from models.run import Phase, Run, RunOutline

UNKNOWN = "–"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_PATH_LENGTH = 44


def size(value: float | None) -> str:
    """Return a size in bytes as `29.4 MiB`."""
    if value is None:
        return UNKNOWN
    amount = float(value)
    for unit in _UNITS:
        text = f"{amount:.0f}" if unit == "B" else f"{amount:.1f}"
        if float(text) < 1024 or unit == _UNITS[-1]:
            return f"{text} {unit}"
        amount /= 1024
    raise AssertionError("the last unit takes every size")


def rate(value: float | None) -> str:
    """Return a rate in bytes per second as `29.4 MiB/s`."""
    return UNKNOWN if value is None else f"{size(value)}/s"


def count(value: int | None) -> str:
    """Return a whole number with thin separators: `1,204`."""
    return UNKNOWN if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """Return a percentage without decimals; 100% only when it is all."""
    return UNKNOWN if value is None else f"{int(value)}%"


def duration(seconds: float | None) -> str:
    """Return a duration as `1 h 04 min`, `4 min 09 s`, `9 s` or `0.4 s`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def parse_time(text: str) -> datetime:
    """Return the moment of a stored timestamp (UTC, ISO 8601)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def seconds_since_epoch(text: str | None) -> float | None:
    """Return a stored timestamp as a number for scripts; None for what is none."""
    try:
        return parse_time(text).timestamp() if text else None
    except ValueError:
        return None


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Return the seconds from one stored timestamp to another, never below 0."""
    if not start or not end:
        return None
    return max(0.0, (parse_time(end) - parse_time(start)).total_seconds())


def time_taken(done: Run | RunOutline | Phase) -> float | None:
    """Return the seconds that a run or a phase took, never below 0; None until it has ended.

    As its runner measured them: the clock may have been set between the two times.
    """
    if done.duration_seconds is not None:
        return done.duration_seconds
    return seconds_between(done.started_at, done.ended_at)


def ago(text: str | None, now: datetime | None = None) -> str:
    """Return how long ago a timestamp was: `just now`, `2 min ago`, `3 d ago`."""
    if not text:
        return UNKNOWN
    seconds = ((now or datetime.now(UTC)) - parse_time(text)).total_seconds()
    if seconds < 10:
        return "just now"
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // divisor)} {unit} ago"
    return f"{int(seconds // 86400)} d ago"


def exact_time(text: str | None) -> str:
    """Return a timestamp in full: `2026-11-23 10:00:00 UTC`."""
    return parse_time(text).strftime("%Y-%m-%d %H:%M:%S UTC") if text else UNKNOWN


def shortened(text: str, most: int) -> str:
    """Return a text, or as much of its beginning as so many characters hold with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def short_path(path: str, length: int = _PATH_LENGTH) -> str:
    """Return a path cut in the middle, so that its beginning and its last part stay legible."""
    if len(path) <= length:
        return path
    tail = path[-(length * 2 // 3) :]
    slash = tail.find("/")
    if 0 < slash < len(tail) // 2:
        tail = tail[slash:]
    return path[: max(1, length - len(tail) - 1)] + "…" + tail
