"""Proves where the phases of a run stand on its line of time, and what is said of them in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastapi_app.run_views import run_detail
from fastapi_app.timeline_views import timeline
from models.run import Phase
from tests.fakes.builders import a_run

NOW = "2026-11-23T12:05:00.000Z"


def at(seconds: float) -> str:
    """Return a time so long after noon."""
    minutes, rest = divmod(seconds, 60)
    return f"2026-11-23T12:{int(minutes):02d}:{rest:06.3f}Z"


def phase(name: str, start: float, end: float | None, took: float | None = None) -> Phase:
    """Return a phase by its seconds after noon."""
    until = None if end is None else at(end)
    return Phase(name, at(start), until, None if end is None else "completed", None, took)


def test_bars_follow_one_another_to_scale() -> None:
    run = a_run(
        started_at=at(0),
        phases=(phase("preflight", 0, 10), phase("transfer", 10, 85), phase("settle", 85, 100)),
    )
    line = timeline(run, NOW)
    assert (line.seconds, line.is_open) == (100.0, False)
    assert [(bar.start, bar.width) for bar in line.bars] == [(0, 100), (100, 750), (850, 150)]
    assert [bar.words for bar in line.bars] == [
        "began after 0.0 s",
        "began after 10 s",
        "began after 1 min 25 s",
    ]
    assert line.bars[1].times == "2026-11-23 12:00:10 UTC to 2026-11-23 12:01:25 UTC"


def test_a_clock_that_was_set_moves_nothing() -> None:
    phases = (phase("preflight", 200, 100, 10.0), phase("transfer", 100, 50, 30.0))
    bars = timeline(a_run(started_at=at(200), phases=phases), NOW).bars
    assert [(bar.start, bar.width) for bar in bars] == [(0, 250), (250, 750)]


def test_a_phase_under_way_goes_on_to_now() -> None:
    run = a_run(started_at=at(0), phases=(phase("preflight", 0, 60), phase("transfer", 60, None)))
    line = timeline(run, NOW)
    assert (line.is_open, line.seconds) == (True, 300.0)
    assert (line.bars[1].is_open, line.bars[1].seconds, line.bars[1].width) == (True, 240.0, 800)
    assert (line.bars[0].is_open, line.bars[0].width) == (False, 200)


def test_attempts_are_marked_where_they_began() -> None:
    run = a_run(
        started_at=at(0),
        phases=(phase("preflight", 0, 20), phase("transfer", 20, 100), phase("verify", 100, 200)),
        attempt_times=(at(20), at(40), at(70)),
    )
    transfer = timeline(run, NOW).bars[1]
    assert [mark.place for mark in transfer.attempts] == [100, 200, 350]
    assert transfer.words == (
        "began after 20 s; 3 attempts, which began after 20 s, 40 s, 1 min 10 s"
    )
    assert [bar.attempts for bar in timeline(run, NOW).bars[::2]] == [(), ()]
    once = replace(run, attempt_times=(at(20),))
    assert timeline(once, NOW).bars[1].attempts == ()
    later = replace(run, attempt_times=(at(20), at(900)))
    assert [mark.place for mark in timeline(later, NOW).bars[1].attempts] == [100, 500]


@pytest.mark.parametrize("long", [1, 1000, 100_000])
def test_every_bar_can_be_seen_and_none_leaves_the_line(long: float) -> None:
    phases = (
        phase("preflight", 0, 0, 0.0),
        phase("transfer", 0, 1, long),
        phase("settle", 1, 1, 0),
    )
    bars = timeline(a_run(started_at=at(0), phases=phases), NOW).bars
    assert all(bar.width >= 2 and 0 <= bar.start <= 1000 - bar.width for bar in bars)
    instant = (phase("preflight", 0, 0, 0.0),)
    assert timeline(a_run(started_at=at(0), phases=instant), NOW).bars[0].width == 2


def test_a_run_without_phases_has_no_line() -> None:
    assert timeline(a_run(), NOW).bars == ()
    assert run_detail(a_run()).phases == ()
