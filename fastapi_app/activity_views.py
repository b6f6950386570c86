"""What the dashboard plots of the last days: runs and bytes for each, by outcome. Days are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fastapi_app import amounts, formatting
from fastapi_app.amounts import Amount
from fastapi_app.plot_views import Plot
from fastapi_app.status_views import STATUS_WORDS
from models.progress import RunOutcome
from models.run import DayTotal

SHOWN_DAYS = 30
_ORDER = (
    RunOutcome.COMPLETED,
    RunOutcome.WARNING,
    RunOutcome.PAUSED,
    RunOutcome.INTERRUPTED,
    RunOutcome.FAILED,
)
_NOTHING = DayTotal("", RunOutcome.COMPLETED, 0, 0)


@dataclass(frozen=True)
class DayRow:
    """One day in the table: how many runs had which outcome, and what all of them sent."""

    day: str
    runs: str
    outcomes: tuple[str, ...]
    bytes_sent: Amount


@dataclass(frozen=True)
class Activity:
    """The plots of the last days, and their figures, newest first; no plots without a run."""

    plots: tuple[Plot, ...]
    outcomes: tuple[str, ...]
    rows: tuple[DayRow, ...]


def first_day(today: date) -> date:
    """Return the first of the days that are shown."""
    return today - timedelta(days=SHOWN_DAYS - 1)


def activity(totals: Sequence[DayTotal], today: date) -> Activity:
    """Return what there is to plot of these totals, up to a day; a day without a run is empty."""
    days = [first_day(today) + timedelta(days=number) for number in range(SHOWN_DAYS)]
    by_place = {(total.day, total.outcome): total for total in totals}
    outcomes = tuple(o for o in _ORDER if any(total.outcome is o for total in totals))
    table = [
        [by_place.get((day.isoformat(), outcome), _NOTHING) for day in days] for outcome in outcomes
    ]
    at = [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in days]
    return Activity(
        plots=_plots(at, outcomes, table) if outcomes else (),
        outcomes=tuple(STATUS_WORDS[outcome] for outcome in outcomes),
        rows=tuple(
            _row(day, [line[place] for line in table])
            for place, day in reversed([*enumerate(days)])
        ),
    )


def _plots(
    at: list[int], outcomes: Sequence[RunOutcome], table: Sequence[Sequence[DayTotal]]
) -> tuple[Plot, ...]:
    counts = [sum(total.runs for total in line) for line in table]
    runs = f"{sum(counts):,} run{'s' if sum(counts) != 1 else ''}"
    words = {outcome.value: STATUS_WORDS[outcome].lower() for outcome in outcomes}
    told = ", ".join(
        f"{count:,} {words[outcome]}" for outcome, count in zip(outcomes, counts, strict=True)
    )
    sent = formatting.size(sum(total.bytes_sent for line in table for total in line))
    shared = {"kind": "days", "at": at, "keys": list(words), "words": words}
    return (
        Plot(
            id="plot-day-runs",
            title="Runs per day",
            summary=runs,
            about=f"Runs per day, last {SHOWN_DAYS} days: {runs}, {told}.",
            data=shared
            | {"unit": "count", "parts": [[total.runs for total in line] for line in table]},
        ),
        Plot(
            id="plot-day-bytes",
            title="Sent per day",
            summary=sent,
            about=f"Sent per day, last {SHOWN_DAYS} days: {sent}.",
            data=shared
            | {"unit": "bytes", "parts": [[total.bytes_sent for total in line] for line in table]},
        ),
    )


def _row(day: date, totals: Sequence[DayTotal]) -> DayRow:
    return DayRow(
        day=day.isoformat(),
        runs=formatting.count(sum(total.runs for total in totals)),
        outcomes=tuple(formatting.count(total.runs) for total in totals),
        bytes_sent=amounts.size(sum(total.bytes_sent for total in totals)),
    )
