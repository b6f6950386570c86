"""Proves what the dashboard plots of the last days: each has its place, and nothing is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from fastapi_app.activity_views import SHOWN_DAYS, activity, first_day
from models.progress import RunOutcome
from models.run import DayTotal

TODAY = date(2026, 11, 27)
GIBIBYTE = 2**30


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is set to a zone fourteen hours ahead."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_each_day_has_its_place_and_an_empty_one_has_one_too() -> None:
    totals = [
        DayTotal("2026-10-29", RunOutcome.COMPLETED, 2, GIBIBYTE),
        DayTotal("2026-11-27", RunOutcome.FAILED, 1, 0),
        DayTotal("2026-11-27", RunOutcome.COMPLETED, 1_200, 2 * GIBIBYTE),
    ]
    shown = activity(totals, TODAY)
    assert first_day(TODAY) == date(2026, 10, 29)
    runs, sent = (plot.data for plot in shown.plots)
    assert [len(part) for part in runs["parts"]] == [SHOWN_DAYS] * 2
    assert runs["keys"] == ["completed", "failed"]
    assert [part[0] for part in runs["parts"]] == [2, 0]
    assert [part[-1] for part in runs["parts"]] == [1_200, 1]
    assert sum(map(sum, runs["parts"])) == 1_203
    assert [part[-1] for part in sent["parts"]] == [2 * GIBIBYTE, 0]
    assert [datetime.fromtimestamp(runs["at"][place], UTC).isoformat() for place in (0, -1)] == [
        "2026-10-29T00:00:00+00:00",
        "2026-11-27T00:00:00+00:00",
    ]
    assert [plot.summary for plot in shown.plots] == ["1,203 runs", "3.0 GiB"]
    about = "Runs per day, last 30 days: 1,203 runs, 1,202 completed, 1 failed."
    assert shown.plots[0].about == about


def test_the_table_has_the_newest_day_first() -> None:
    shown = activity([DayTotal("2026-11-26", RunOutcome.WARNING, 3, 512)], TODAY)
    assert len(shown.rows) == SHOWN_DAYS
    assert shown.outcomes == ("Completed with warnings",)
    first, second = shown.rows[:2]
    assert (first.day, first.runs, first.outcomes, first.bytes_sent.text) == (
        "2026-11-27",
        "0",
        ("0",),
        "0 B",
    )
    assert (second.day, second.runs, second.outcomes, second.bytes_sent.text) == (
        "2026-11-26",
        "3",
        ("3",),
        "512 B",
    )


def test_every_outcome_is_shown_where_it_occurs_and_no_other() -> None:
    totals = [DayTotal("2026-11-20", outcome, 1, 1) for outcome in RunOutcome]
    shown = activity(totals, TODAY)
    assert set(shown.plots[0].data["keys"]) == {outcome.value for outcome in RunOutcome}
    assert activity([], TODAY).plots == ()
    one = activity(totals[:1], TODAY)
    assert (one.plots[0].data["keys"], one.plots[0].summary) == (["completed"], "1 run")
