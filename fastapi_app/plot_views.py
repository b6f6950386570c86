"""What the pages plot of a job's runs, and the same figures as rows of a table.

A Plot's `data` is drawn by `static/js/plots.js`; its `about` says in words what is to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fastapi_app import amounts, formatting
from fastapi_app.amounts import Amount
from fastapi_app.moments import Moment, moment
from fastapi_app.status_views import STATUS_WORDS, StatusView, run_status
from models.progress import PhaseName
from models.run import Run
from models.run_spec import RunKind

PLOTTED_RUNS = 100
_LEAST_SECONDS = 2.0
"""A run that is shorter has no course that could be seen."""


@dataclass(frozen=True)
class Plot:
    """One plot: where it stands, what it is called, and what is drawn."""

    id: str
    title: str
    summary: str
    about: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RunFigures:
    """One run in the table of figures."""

    run_id: str
    status: StatusView
    started: Moment
    duration: Amount
    bytes_sent: Amount
    rate: Amount


@dataclass(frozen=True)
class JobFigures:
    """The plots of a job, and their figures, newest first."""

    plots: tuple[Plot, ...]
    rows: tuple[RunFigures, ...]


@dataclass(frozen=True)
class ThroughputRow:
    """One stretch of a run in the table of its throughput."""

    since: Amount
    until: Amount
    rate: Amount


@dataclass(frozen=True)
class _Measure:
    """One figure of a run that is plotted."""

    name: str
    title: str
    unit: str
    value: Callable[[Run], float | None]
    write: Callable[[float | None], str]


def sent_rate(run: Run) -> float | None:
    """Return what travelled in a second of a run's transfer; None when nothing did."""
    phases = [phase for phase in run.phases if phase.name == PhaseName.TRANSFER]
    seconds = sum(formatting.time_taken(phase) or 0.0 for phase in phases)
    return run.bytes_sent / seconds if seconds and run.bytes_sent else None


_MEASURES = (
    _Measure("duration", "Duration", "duration", formatting.time_taken, formatting.duration),
    _Measure("sent", "Sent", "bytes", lambda run: float(run.bytes_sent), formatting.size),
    _Measure("rate", "Rate", "rate", sent_rate, formatting.rate),
)


def job_figures(recent: Sequence[Run]) -> JobFigures:
    """Return what there is to plot of the newest transfers of a job, given oldest first."""
    runs = [run for run in recent if run.is_over][-PLOTTED_RUNS:]
    return JobFigures(
        plots=tuple(_plot(measure, runs) for measure in _MEASURES) if runs else (),
        rows=tuple(_row(run) for run in reversed(runs)),
    )


def throughput_plot(run: Run) -> Plot | None:
    """Return where the throughput of a run is drawn; None where there is none to speak of."""
    if run.kind == RunKind.DRY_RUN:
        return None
    seconds = formatting.time_taken(run)
    if run.is_over and (not run.bytes_sent or (seconds or 0.0) < _LEAST_SECONDS):
        return None
    return Plot(
        id="plot-throughput",
        title="Sent per second",
        summary="",
        about="Throughput of this run over time.",
        data={"kind": "course", "unit": "rate", "seconds": [], "rates": []},
    )


def throughput_rows(points: Sequence[tuple[float, float]]) -> tuple[ThroughputRow, ...]:
    """Return the points of a run's throughput as rows of a table."""
    begins = [0.0, *(seconds for seconds, _ in points)]
    return tuple(
        ThroughputRow(
            since=amounts.duration(since),
            until=amounts.duration(until),
            rate=amounts.rate(rate),
        )
        for since, (until, rate) in zip(begins, points, strict=False)
    )


def _plot(measure: _Measure, runs: Sequence[Run]) -> Plot:
    values = [measure.value(run) for run in runs]
    known = [value for value in values if value is not None]
    typical = measure.write(median(known) if known else None)
    about = f"{measure.title} of the last {_runs(len(runs))}"
    if known:
        spread = f"{measure.write(min(known))} to {measure.write(max(known))}"
        about += f": {spread}, median {typical}"
    return Plot(
        id=f"plot-{measure.name}",
        title=measure.title,
        summary=f"median {typical}",
        about=f"{about}.",
        data={
            "kind": "runs",
            "unit": measure.unit,
            "at": [_epoch(run.started_at or run.queued_at) for run in runs],
            "values": [None if value is None else round(value, 3) for value in values],
            "keys": [run_status(run).key for run in runs],
            "words": {key: STATUS_WORDS[key] for key in {run_status(run).key for run in runs}},
            "has_times": measure is _MEASURES[-1],
        },
    )


def _row(run: Run) -> RunFigures:
    started = moment(run.started_at or run.queued_at)
    assert started is not None
    return RunFigures(
        run_id=run.id,
        status=run_status(run),
        started=started,
        duration=amounts.duration(formatting.time_taken(run)),
        bytes_sent=amounts.size(run.bytes_sent),
        rate=amounts.rate(sent_rate(run)),
    )


def _runs(count: int) -> str:
    return f"{count} runs" if count != 1 else "run"


def _epoch(text: str) -> int:
    return int(formatting.parse_time(text).timestamp())
