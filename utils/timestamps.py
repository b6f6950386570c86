"""UTC timestamps in ISO 8601 with milliseconds, without the weight of `datetime`."""

from __future__ import annotations

import time


def utc_timestamp(seconds: float | None = None) -> str:
    """Return a moment (seconds since the epoch, default now) as `2026-11-23T10:00:00.123Z`."""
    moment = time.time() if seconds is None else seconds
    whole = int(moment)
    milliseconds = int((moment - whole) * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def seconds_since_boot() -> float:
    """Return the seconds since the machine was started, by a clock that measures durations."""
    # Nobody sets this clock, and unlike the monotonic one it goes on while a machine sleeps.
    return time.clock_gettime(time.CLOCK_BOOTTIME)
