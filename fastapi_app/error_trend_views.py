"""What is plotted of the error log: how often faults were met by hour and by day, by severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi_app import formatting
from fastapi_app.error_words import SEVERITIES, severity_view
from fastapi_app.plot_views import Plot
from models.error_query import ErrorStatistics, TrendPoint
from storage.error_reading import TREND_DAYS, TREND_HOURS

# What is worst stands lowest in a bar, where it can be compared.
_WORDS = {severity.value: severity_view(severity).word.lower() for severity in SEVERITIES}


@dataclass(frozen=True)
class TrendRow:
    """One hour or day in the table: how often faults were met, in all and by severity."""

    time: str
    word: str
    count: str
    counts: tuple[str, ...]


@dataclass(frozen=True)
class ErrorTrend:
    """The plots of the error log, and their figures by day, newest first; none without a fault."""

    plots: tuple[Plot, ...]
    severities: tuple[str, ...]
    days: tuple[TrendRow, ...]
    hours: tuple[TrendRow, ...]


def error_trend(figures: ErrorStatistics, now: datetime) -> ErrorTrend:
    """Return what there is to plot of the figures at a moment."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [hour - timedelta(hours=number) for number in reversed(range(TREND_HOURS))]
    day = hour.replace(hour=0)
    days = [day - timedelta(days=number) for number in reversed(range(TREND_DAYS))]
    by_hour = _table(figures.hours, [one.strftime("%Y-%m-%dT%H") for one in hours])
    by_day = _table(figures.days, [one.strftime("%Y-%m-%d") for one in days])
    plots = (
        _plot("hours", f"Last {TREND_HOURS} hours", "per hour", hours, by_hour),
        _plot("days", f"Last {TREND_DAYS} days", "per day", days, by_day),
    )
    return ErrorTrend(
        plots=plots if figures.total or figures.days else (),
        severities=tuple(severity_view(one).word for one in SEVERITIES),
        days=_rows([one.strftime("%Y-%m-%d") for one in days], by_day),
        hours=_rows([one.strftime("%Y-%m-%d %H:00") for one in hours], by_hour),
    )


def _table(points: Sequence[TrendPoint], times: Sequence[str]) -> list[list[int]]:
    """Return for each severity the counts at these times."""
    counts = {(point.time, point.severity): point.count for point in points}
    return [[counts.get((time, severity), 0) for time in times] for severity in SEVERITIES]


def _plot(
    kind: str, title: str, each: str, times: Sequence[datetime], table: Sequence[Sequence[int]]
) -> Plot:
    total = sum(sum(line) for line in table)
    met = f"{total:,} time{'' if total == 1 else 's'}"
    parts = ", ".join(
        f"{sum(line):,} {_WORDS[severity]}"
        for severity, line in zip(SEVERITIES, table, strict=True)
        if any(line)
    )
    return Plot(
        id=f"plot-error-{kind}",
        title=title,
        summary=f"met {met}" if total else "none",
        about=f"Errors {each}, {title.lower()}: met {met}{', ' if parts else ''}{parts}.",
        data={
            "kind": kind,
            "unit": "count",
            "at": [int(time.timestamp()) for time in times],
            "keys": list(_WORDS),
            "words": _WORDS,
            "parts": table,
        },
    )


def _rows(times: Sequence[str], table: Sequence[Sequence[int]]) -> tuple[TrendRow, ...]:
    """Return the times at which there was any, newest first."""
    found = []
    for place in reversed(range(len(times))):
        counts = [line[place] for line in table]
        if any(counts):
            texts = tuple(map(formatting.count, counts))
            iso = times[place].replace(" ", "T") + ("Z" if " " in times[place] else "")
            found.append(TrendRow(iso, times[place], formatting.count(sum(counts)), texts))
    return tuple(found)
