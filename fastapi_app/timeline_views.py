"""The phases of a run on a line of time: where each begins and how long it takes, to scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi_app import formatting
from models.progress import PhaseName
from models.run import Phase, Run

_WITH_ATTEMPTS = frozenset({PhaseName.TRANSFER, PhaseName.DRY_RUN})
_LINE = 1000.0
_LEAST = 2.0
"""A phase that takes next to no time can be seen all the same."""


@dataclass(frozen=True)
class Attempt:
    """Where an attempt began: in seconds since the run did, and on the line."""

    seconds: float
    place: float


@dataclass(frozen=True)
class PhaseBar:
    """A phase on the line, which is 1,000 long; an open one goes on."""

    seconds_before: float
    seconds: float
    is_open: bool
    start: float
    width: float
    times: str
    """By the clock, in UTC."""
    words: str
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """The bars of a run's phases, in their order."""

    seconds: float
    is_open: bool
    bars: tuple[PhaseBar, ...]


def timeline(run: Run, now: str) -> Timeline:
    """Return where the phases of a run stand on its line of time.

    One begins where the one before it ends, as their runner measured them: the clock may have been
    set meanwhile.
    """
    taken = [_seconds(phase, now) for phase in run.phases]
    total = sum(taken)
    scale = _LINE / total if total else 0.0
    before = [sum(taken[:place]) for place in range(len(taken))]
    return Timeline(
        seconds=total,
        is_open=any(phase.ended_at is None for phase in run.phases),
        bars=tuple(
            _bar(phase, run.attempt_times, since, seconds, scale)
            for phase, since, seconds in zip(run.phases, before, taken, strict=True)
        ),
    )


def _seconds(phase: Phase, now: str) -> float:
    if phase.ended_at is None:
        return formatting.seconds_between(phase.started_at, now) or 0.0
    return formatting.time_taken(phase) or 0.0


def _bar(
    phase: Phase, attempt_times: Sequence[str], since: float, seconds: float, scale: float
) -> PhaseBar:
    attempts: tuple[Attempt, ...] = ()
    if phase.name in _WITH_ATTEMPTS and len(attempt_times) > 1:
        began = [formatting.seconds_between(phase.started_at, time) for time in attempt_times]
        places = [since + min(after or 0.0, seconds) for after in began]
        attempts = tuple(Attempt(round(place, 3), round(place * scale, 1)) for place in places)
    width = max(_LEAST, seconds * scale)
    return PhaseBar(
        seconds_before=round(since, 3),
        seconds=round(seconds, 3),
        is_open=phase.ended_at is None,
        start=round(min(since * scale, _LINE - width), 1),
        width=round(width, 1),
        times=_times(phase),
        words=_words(since, attempts),
        attempts=attempts,
    )


def _times(phase: Phase) -> str:
    start = formatting.exact_time(phase.started_at)
    return f"{start} to {formatting.exact_time(phase.ended_at)}" if phase.ended_at else start


def _words(since: float, attempts: Sequence[Attempt]) -> str:
    begins = f"began after {formatting.duration(since)}"
    if not attempts:
        return begins
    times = ", ".join(formatting.duration(attempt.seconds) for attempt in attempts)
    return f"{begins}; {len(attempts)} attempts, which began after {times}"
