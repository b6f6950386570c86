"""Proves what is plotted of a job's runs: values, outcomes, words; nothing unknown is 0."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fastapi_app.plot_views import PLOTTED_RUNS, JobFigures, Plot, job_figures, sent_rate
from models.progress import RunOutcome
from models.run import Phase
from tests.fakes.builders import a_run
from tests.fakes.histories import past_run, past_runs

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def plot_of(figures: JobFigures, title: str) -> Plot:
    """Return the plot with this title."""
    return next(plot for plot in figures.plots if plot.title == title)


def test_each_run_is_plotted_by_what_it_took_and_sent() -> None:
    figures = job_figures(
        [
            past_run(1, started=NOON, seconds=20.2, sent=2**21),
            past_run(2, started=NOON, seconds=40.2, sent=2**20, outcome=RunOutcome.WARNING),
            past_run(3, started=NOON + timedelta(days=1), seconds=10.2, sent=3 * 2**20),
        ]
    )
    assert [plot.title for plot in figures.plots] == ["Duration", "Sent", "Rate"]
    duration, sent, rate = (plot.data for plot in figures.plots)
    assert duration["values"] == pytest.approx([20.2, 40.2, 10.2])
    assert sent["values"] == [2**21, 2**20, 3 * 2**20]
    assert rate["values"] == pytest.approx([2**21 / 20, 2**20 / 40, 3 * 2**20 / 10], rel=1e-3)
    assert duration["keys"] == ["completed", "warning", "completed"]
    assert duration["words"] == {"completed": "Completed", "warning": "Completed with warnings"}
    assert [at - duration["at"][0] for at in duration["at"]] == [0, 0, 86_400]
    assert plot_of(figures, "Sent").summary == "median 2.0 MiB"
    about = "Duration of the last 3 runs: 10 s to 40 s, median 20 s."
    assert plot_of(figures, "Duration").about == about


def test_the_table_has_the_newest_first() -> None:
    figures = job_figures([past_run(number, started=NOON) for number in range(3)])
    assert [row.run_id[-1] for row in figures.rows] == ["2", "1", "0"]
    row = figures.rows[0]
    assert tuple(map(str, (row.duration, row.bytes_sent, row.rate))) == (
        "1 min 00 s",
        "1.0 MiB",
        "17.1 KiB/s",
    )


def test_only_so_many_runs_and_none_that_goes_on() -> None:
    under_way = a_run("under-way", started_at="2026-11-23T12:00:00.000Z")
    figures = job_figures([*past_runs("photos-0001", PLOTTED_RUNS + 30), under_way])
    assert len(figures.rows) == PLOTTED_RUNS
    assert {len(plot.data["values"]) for plot in figures.plots} == {PLOTTED_RUNS}
    assert figures.rows[0].run_id.endswith(f"{PLOTTED_RUNS + 29}")
    assert job_figures([under_way]) == JobFigures((), ())


def test_a_run_that_sent_nothing_has_no_rate_and_one_that_was_cut_off_no_measured_time() -> None:
    nothing = past_run(1, started=NOON, sent=0)
    assert sent_rate(nothing) is None
    figures = job_figures([nothing])
    assert plot_of(figures, "Rate").data["values"] == [None]
    assert (plot_of(figures, "Rate").summary, figures.rows[0].rate.text) == ("median –", "–")
    assert plot_of(figures, "Rate").about == "Rate of the last run."
    never_began = replace(nothing, started_at=None, ended_at=None, phases=())
    assert plot_of(job_figures([never_began]), "Duration").data["values"] == [None]
    cut_off = (Phase("transfer", "2026-11-23T12:00:00.000Z", "2026-11-23T12:00:10.000Z"),)
    assert sent_rate(replace(nothing, bytes_sent=50, phases=cut_off)) == 5.0


def test_a_rate_is_that_of_the_transfer_alone() -> None:
    run = past_run(1, started=NOON, seconds=10.2, sent=100)
    settle = Phase("settle", "2026-11-23T12:00:10.200Z", "2026-11-23T12:00:50.200Z", None, None, 40)
    assert sent_rate(replace(run, phases=(*run.phases, settle))) == pytest.approx(10.0)
