"""How fast the runs under way went in the last minute, as the line that their cards draw."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SAMPLES = 30
EVERY_SECONDS = 2.0
WIDTH, HEIGHT = 87, 18
"""The line's own units: three for each step, so that whole numbers do."""


@dataclass
class _Line:
    run_id: str
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    sampled_at: float = float("-inf")
    points: str = ""


class RecentRates:
    """The rates of active jobs; what is at rest is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    def note(self, job_id: str, run_id: str | None, rate: float | None) -> None:
        """Take a rate of a job's run in bytes per second; without one the job is at rest."""
        if run_id is None or rate is None:
            self._lines.pop(job_id, None)
            return
        line = self._lines.get(job_id)
        if line is None or line.run_id != run_id:
            line = self._lines[job_id] = _Line(run_id)
        now = self._clock()
        if now - line.sampled_at >= EVERY_SECONDS:
            line.sampled_at = now
            line.rates.append(rate)
            line.points = _points(line.rates)

    def points(self, job_id: str) -> str:
        """Return the line of a job as the points of a polyline; the newest rate is at its end."""
        line = self._lines.get(job_id)
        return line.points if line else ""


def _points(rates: deque[float]) -> str:
    highest = max(rates) or 1.0
    step = WIDTH // (SAMPLES - 1)
    first = WIDTH - step * (len(rates) - 1)
    return " ".join(
        f"{first + step * number},{HEIGHT - round(HEIGHT * rate / highest)}"
        for number, rate in enumerate(rates)
    )
