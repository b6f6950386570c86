"""Proves what is plotted of the error log: each hour and day in its place, an empty one too."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from fastapi_app.error_trend_views import error_trend
from models.error_event import Component, Severity
from models.error_query import ErrorStatistics, TrendPoint

NOW = datetime(2026, 11, 23, 10, 59, 59, tzinfo=UTC)
EMPTY = ErrorStatistics(
    0, 0, 0, dict.fromkeys(Severity, 0), dict.fromkeys(Component, 0), {}, (), ()
)


def test_without_an_error_there_is_nothing_to_plot() -> None:
    trend = error_trend(EMPTY, NOW)
    assert (trend.plots, trend.days, trend.hours) == ((), (), ())


def test_each_hour_and_day_has_its_place_and_what_is_too_old_has_none() -> None:
    hours = (
        TrendPoint("2026-11-21T10", Severity.LOW, 99),
        TrendPoint("2026-11-21T11", Severity.LOW, 3),
        TrendPoint("2026-11-23T10", Severity.CRITICAL, 2),
        TrendPoint("2026-11-23T10", Severity.LOW, 1),
    )
    days = (TrendPoint("2026-10-25", Severity.HIGH, 7), TrendPoint("2026-11-23", Severity.LOW, 4))
    figures = replace(EMPTY, total=3, hours=hours, days=days)
    # The zone of the clock that is asked makes no difference.
    for now in (NOW, NOW.astimezone(timezone(timedelta(hours=-11)))):
        by_hour, by_day = (plot.data for plot in error_trend(figures, now).plots)
        assert by_hour["keys"] == ["critical", "high", "medium", "low"]
        assert (len(by_hour["at"]), len(by_day["at"])) == (48, 30)
        assert by_hour["at"][-1] == datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp()
        assert by_day["at"][-1] == datetime(2026, 11, 23, tzinfo=UTC).timestamp()
        assert by_hour["parts"][0] == [0] * 47 + [2]
        assert by_hour["parts"][3] == [3] + [0] * 46 + [1]
        assert by_day["parts"][1] == [7] + [0] * 29


def test_the_table_has_what_is_not_nothing_and_words_say_the_sums() -> None:
    days = (
        TrendPoint("2026-11-20", Severity.HIGH, 1200),
        TrendPoint("2026-11-23", Severity.LOW, 1),
    )
    trend = error_trend(replace(EMPTY, total=1, days=days), NOW)
    assert [(row.word, row.count, row.counts) for row in trend.days] == [
        ("2026-11-23", "1", ("0", "0", "0", "1")),
        ("2026-11-20", "1,200", ("0", "1,200", "0", "0")),
    ]
    assert trend.hours == ()
    hours, by_day = trend.plots
    assert by_day.about == ("Errors per day, last 30 days: met 1,201 times, 1,200 high, 1 low.")
    assert (hours.summary, by_day.summary) == ("none", "met 1,201 times")
    (row,) = error_trend(
        replace(EMPTY, total=1, hours=(TrendPoint("2026-11-23T09", Severity.LOW, 1),)), NOW
    ).hours
    assert (row.time, row.word) == ("2026-11-23T09:00Z", "2026-11-23 09:00")
