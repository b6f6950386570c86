"""What is counted for /metrics beyond a restart: runs that ended, what they sent and how long they
took, and faults. Their names and labels in the file of counters stand here, and nowhere else."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity
from models.run import Run
from models.run_spec import RunKind
from storage.counters import Counters, Key
from storage.database import Database
from storage.run_counts import RunCount, ended_runs
from utils.histogram import HistogramPicture

DURATION_BOUNDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
"""In seconds: from a few changed files to the first copy of everything."""
_RUNS, _SENT, _ERRORS = "runs", "sent_bytes", "errors"
_DURATIONS, _SECONDS = "run_durations", "run_seconds"
_ABOVE = "inf"
_COUNTERS_LOST = "CountersLost"


class Totals(NamedTuple):
    """The counters at one moment, by their labels."""

    runs: Mapping[Key, float]
    """By engine, kind and outcome."""
    sent_bytes: Mapping[Key, float]
    """By engine."""
    errors: Mapping[Key, float]
    """By severity and component."""
    durations: Mapping[str, HistogramPicture]
    """By engine."""


async def open_counters(data_dir: Path, database: Database) -> Counters:
    """Go on counting; where nothing was counted yet, from the runs that the history holds.

    Raises StorageFailed.
    """

    async def first() -> Mapping[Key, float]:
        return _counts_of(await database.read(ended_runs))

    return await Counters.open(data_dir, first)


def tell_of_damage(counters: Counters, error_log: ErrorLog) -> None:
    """Report that the counters were lost, if they were."""
    if counters.damage is None:
        error_log.settle(error_type=_COUNTERS_LOST, job_id=None)
        return
    error_log.report(
        Fault(
            severity=Severity.LOW,
            component=Component.STORAGE,
            error_type=_COUNTERS_LOST,
            message="The counters of /metrics could not be read, and begin anew with the runs "
            "that are kept; the file is kept under a name with `.damaged-` in it. "
            f"{counters.damage}",
        )
    )


def _counts_of(history: Iterable[RunCount]) -> dict[Key, float]:
    counts: dict[Key, float] = {}
    for one in history:
        counts[(_RUNS, one.engine, one.kind, one.outcome)] = one.runs
        sent = (_SENT, one.engine)
        counts[sent] = counts.get(sent, 0) + one.bytes_sent
    return counts


def count_run(counters: Counters, run: Run) -> None:
    """Count a run that has ended."""
    counters.add((_RUNS, run.engine, run.kind, run.outcome or ""))
    counters.add((_SENT, run.engine), run.bytes_sent)
    seconds = run.duration_seconds
    if seconds is not None and run.kind == RunKind.TRANSFER:
        place = bisect_left(DURATION_BOUNDS, seconds)
        bound = str(DURATION_BOUNDS[place]) if place < len(DURATION_BOUNDS) else _ABOVE
        counters.add((_DURATIONS, run.engine, bound))
        counters.add((_SECONDS, run.engine), seconds)


def count_fault(counters: Counters, fault: Fault) -> None:
    """Count a fault, also one that was met before."""
    counters.add((_ERRORS, fault.severity, fault.component))


def totals_of(counts: Mapping[Key, float]) -> Totals:
    """Return counters by what they count."""
    seconds = dict(_named(counts, _SECONDS))
    in_buckets: dict[str, list[float]] = {}
    for (engine, bound), count in _named(counts, _DURATIONS):
        buckets = in_buckets.setdefault(engine, [0.0] * (len(DURATION_BOUNDS) + 1))
        # Also of an older version that had other bounds.
        buckets[bisect_left(DURATION_BOUNDS, float(bound))] += count
    return Totals(
        dict(_named(counts, _RUNS)),
        dict(_named(counts, _SENT)),
        dict(_named(counts, _ERRORS)),
        {
            engine: HistogramPicture(DURATION_BOUNDS, tuple(buckets), seconds.get((engine,), 0.0))
            for engine, buckets in in_buckets.items()
        },
    )


def _named(counts: Mapping[Key, float], name: str) -> Iterator[tuple[Key, float]]:
    return ((key[1:], count) for key, count in counts.items() if key[0] == name)
