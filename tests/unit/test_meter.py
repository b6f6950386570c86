"""Proves that progress is honest: nothing ever falls, unknown stays unknown, 100% is all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import Reading, ScannedTotals
from core.runner.meter import Meter, PhaseWork
from models.progress import PhaseName, Progress
from tests.fakes.builders import a_reading

COUNTS = st.integers(min_value=0, max_value=10**15)
READINGS = st.builds(
    a_reading,
    bytes_finished=COUNTS,
    bytes_skipped=COUNTS,
    bytes_in_flight=COUNTS,
    bytes_sent=COUNTS,
    files_finished=COUNTS,
    files_skipped=COUNTS,
)
TOTALS = st.builds(ScannedTotals, files=COUNTS, bytes=COUNTS)
STEPS = st.lists(
    st.tuples(st.just("read"), READINGS)
    | st.tuples(st.sampled_from(["totals", "estimate"]), TOTALS)
    | st.tuples(st.sampled_from(["attempt", "phase", "last"]), st.none()),
    max_size=30,
)


def shown(meter: Meter, now: float = 0.0, **reading: int) -> Progress:
    """Return the progress for a reading."""
    return meter.progress(a_reading(**reading), now, "now")


def assert_not_less(before: Progress, after: Progress) -> None:
    """Check that no figure fell or was forgotten."""
    assert after.bytes_done >= before.bytes_done
    assert after.bytes_sent >= before.bytes_sent
    assert after.files_done >= before.files_done
    assert after.files_skipped >= before.files_skipped
    assert (after.percent or 0.0) >= (before.percent or 0.0)
    assert before.percent is None or after.percent is not None


@given(steps=STEPS, completes=st.booleans())
def test_whatever_a_tool_says_no_figure_ever_falls(
    steps: list[tuple[str, Reading | ScannedTotals | None]], completes: bool
) -> None:
    meter, now, before = Meter(), 0.0, Progress()
    reading = Reading()
    for kind, value in steps:
        now += 0.7
        if isinstance(value, Reading):
            reading = value
        elif isinstance(value, ScannedTotals):
            (meter.set_totals if kind == "totals" else meter.expect_totals)(value)
        elif kind == "attempt":
            meter.begin_attempt(2)
        elif kind == "phase":
            meter.begin_phase(PhaseName.TRANSFER, 2)
        after = meter.last("t") if kind == "last" else meter.progress(reading, now, "t")
        assert_not_less(before, after)
        assert meter.has_totals or meter.has_estimate or after.percent is None
        assert after.percent is None or 0.0 <= after.percent <= 99.9
        assert after.bytes_total is None or after.bytes_done <= after.bytes_total
        assert after.files_total is None or after.files_done <= after.files_total
        assert after.eta_seconds is None or after.eta_seconds >= 0
        before = after
    if completes:
        meter.complete(reading)
        after = meter.progress(reading, now, "t")
        assert_not_less(before, after)
        assert after.percent == 100.0
        assert after.bytes_done == after.bytes_total
        assert after.files_done == after.files_total
        assert meter.progress(Reading(), now + 1, "t").percent == 100.0


def test_percent_is_unknown_until_totals_are_known() -> None:
    meter = Meter()
    progress = shown(meter, bytes_finished=50)
    assert (progress.percent, progress.bytes_total, progress.totals) == (None, None, "unknown")
    meter.set_totals(ScannedTotals(files=10, bytes=200))
    progress = shown(meter, bytes_finished=50)
    assert (progress.percent, progress.bytes_total, progress.totals) == (25.0, 200, "known")
    assert progress.files_total == 10


def test_an_estimate_is_shown_as_one_until_totals_are_known() -> None:
    meter = Meter()
    meter.expect_totals(ScannedTotals(files=4, bytes=100))
    progress = shown(meter, 0.0, bytes_finished=50)
    assert (progress.percent, progress.bytes_total, progress.totals) == (50.0, 100, "estimated")
    more = shown(meter, 1.0, bytes_finished=150)
    assert (more.percent, more.bytes_total) == (94.0, None), "one that was too small"
    meter.set_totals(ScannedTotals(files=4, bytes=1000))
    known = shown(meter, 2.0, bytes_finished=160)
    assert (known.percent, known.bytes_total, known.totals) == (94.0, 1000, "known")


def test_an_estimate_that_was_too_small_never_makes_the_percentage_stand_still() -> None:
    meter = Meter()
    meter.expect_totals(ScannedTotals(files=4, bytes=100))
    percentages = [
        shown(meter, float(done), bytes_finished=done).percent or 0.0 for done in range(0, 400, 20)
    ]
    meter.set_totals(ScannedTotals(files=4, bytes=10_000))
    percentages += [
        shown(meter, float(done), bytes_finished=done).percent or 0.0
        for done in range(800, 10_000, 800)
    ]
    steps = [after - before for before, after in pairwise(percentages)]
    assert min(steps) >= 0, percentages
    assert steps.count(0.0) <= 1, "but for the moment at which the totals are known"


def test_an_estimate_that_was_too_large_ends_with_the_known_totals() -> None:
    meter = Meter()
    meter.expect_totals(ScannedTotals(files=4, bytes=1000))
    assert shown(meter, 0.0, bytes_finished=50).percent == 5.0
    meter.set_totals(ScannedTotals(files=4, bytes=100))
    assert shown(meter, 1.0, bytes_finished=60).percent == 60.0


def test_the_time_left_is_unknown_when_an_estimate_becomes_doubtful() -> None:
    meter = Meter()
    meter.expect_totals(ScannedTotals(files=1, bytes=100))
    left = [
        shown(meter, float(second), bytes_finished=second, bytes_sent=second).eta_seconds
        for second in range(110)
    ]
    assert left[45] == 55
    assert left[91:] == [None] * 19


def test_a_phase_after_the_transfer_has_a_progress_of_its_own() -> None:
    meter = Meter()
    meter.set_totals(ScannedTotals(files=4, bytes=100))
    reading = a_reading(bytes_finished=100, files_finished=4)
    meter.complete(reading)
    meter.progress(reading, 0.0, "now")
    meter.begin_phase(PhaseName.VERIFY, 1)
    seen = []
    for second in range(1, 11):
        meter.note_phase_work(PhaseWork(0, second * 10, 4, 100))
        seen.append(meter.progress(reading, float(second), "now"))
    assert [one.percent for one in seen] == [100.0] * 10
    assert [one.phase_percent for one in seen] == [float(tenth) for tenth in range(10, 110, 10)]
    assert (seen[4].eta_seconds, seen[4].bytes_per_second, seen[4].phase_bytes) == (5, 10, 50)
    meter.note_phase_work(PhaseWork(0, 0, 4, 100))
    again = meter.progress(reading, 11.0, "now")
    assert (again.phase_percent, again.phase_bytes) == (100.0, 100), "nothing falls in a phase"
    meter.begin_phase(PhaseName.DELETE_SOURCE, 1)
    assert meter.last("now").phase_percent is None
    meter.note_phase_work(PhaseWork(files=1, files_total=2))
    deleting = meter.progress(reading, 12.0, "now")
    assert (deleting.phase_percent, deleting.phase_bytes, deleting.percent) == (50.0, None, 100.0)
    meter.begin_phase(PhaseName.DELETE_SOURCE, 1)
    meter.note_phase_work(PhaseWork(files=7))
    unknown = meter.progress(reading, 13.0, "now")
    assert (unknown.phase_percent, unknown.phase_files) == (None, 7)


def test_an_estimate_ends_with_the_transfer() -> None:
    meter = Meter()
    meter.expect_totals(ScannedTotals(files=4, bytes=1000))
    meter.complete(a_reading(bytes_finished=60, files_finished=2))
    progress = shown(meter, 0.0, bytes_finished=60, files_finished=2)
    assert (progress.bytes_total, progress.files_total, progress.totals) == (60, 2, "known")


@pytest.mark.parametrize(
    ("totals", "reading", "percent"),
    [
        (ScannedTotals(4, 1000), {"bytes_finished": 999}, 99.9),
        (ScannedTotals(4, 1000), {"bytes_finished": 1000}, 99.9),
        (ScannedTotals(4, 1000), {"bytes_skipped": 300, "bytes_in_flight": 33}, 33.3),
        (ScannedTotals(4, 0), {"files_finished": 1}, 25.0),
        (ScannedTotals(0, 0), {}, 0.0),
    ],
)
def test_percent(totals: ScannedTotals, reading: dict[str, int], percent: float) -> None:
    meter = Meter()
    meter.set_totals(totals)
    assert shown(meter, **reading).percent == percent


def test_a_source_that_grew_never_shows_more_than_all() -> None:
    meter = Meter()
    meter.set_totals(ScannedTotals(files=1, bytes=100))
    progress = shown(meter, bytes_finished=150, files_finished=3)
    assert (progress.bytes_total, progress.files_total, progress.percent) == (150, 3, 99.9)


def test_what_was_sent_adds_up_over_attempts() -> None:
    meter = Meter()
    meter.begin_attempt(1)
    assert shown(meter, bytes_sent=70, bytes_finished=70).bytes_sent == 70
    meter.begin_attempt(2)
    assert shown(meter, bytes_sent=0).bytes_sent == 70
    assert shown(meter).attempt == 2
    assert shown(meter, bytes_sent=30, bytes_skipped=60).bytes_sent == 100
    assert shown(meter, bytes_sent=30, bytes_skipped=60).bytes_done == 70


def test_rate_and_time_left() -> None:
    meter = Meter()
    meter.set_totals(ScannedTotals(files=2, bytes=1000))
    assert (shown(meter, 0.0).bytes_per_second, shown(meter, 0.4).eta_seconds) == (None, None)
    early = shown(meter, 1.0, bytes_finished=100, bytes_sent=50)
    assert (early.bytes_per_second, early.eta_seconds) == (50, 9)
    later = shown(meter, 4.0, bytes_finished=400, bytes_sent=200)
    assert (later.bytes_per_second, later.eta_seconds) == (50, 6)


def test_the_time_left_is_unknown_where_nobody_can_know_it() -> None:
    meter = Meter()
    shown(meter, 0.0)
    assert shown(meter, 5.0, bytes_finished=50).eta_seconds is None, "without totals"
    meter.set_totals(ScannedTotals(files=1, bytes=100))
    stalled = shown(meter, 60.0, bytes_finished=50)
    assert (stalled.bytes_per_second, stalled.eta_seconds) == (0, None), "it has come to a halt"
    stalled = shown(meter, 65.0, bytes_finished=50)
    assert (stalled.bytes_per_second, stalled.eta_seconds) == (0, None), "nothing moves"
    meter.complete(a_reading(bytes_finished=100))
    assert shown(meter, 70.0, bytes_finished=100).eta_seconds is None, "all is done"


def test_rates_follow_the_last_ten_seconds() -> None:
    meter = Meter()
    for second in range(60):
        rate = shown(meter, float(second), bytes_sent=second * 100).bytes_per_second
    for second in range(60, 75):
        rate = shown(meter, float(second), bytes_sent=6000 + (second - 60) * 10).bytes_per_second
    assert rate == 10


def test_completion_counts_what_the_tool_did_not_name() -> None:
    meter = Meter()
    meter.set_totals(ScannedTotals(files=10, bytes=1000))
    reading = a_reading(bytes_finished=100, files_finished=1)
    meter.complete(reading)
    progress = meter.progress(reading, 0.0, "now")
    assert (progress.files_done, progress.files_skipped, progress.bytes_done) == (10, 9, 1000)


def test_completion_without_a_scan_makes_what_is_done_all() -> None:
    meter = Meter()
    reading = a_reading(bytes_finished=100, files_finished=1)
    meter.complete(reading)
    progress = meter.progress(reading, 0.0, "now")
    assert (progress.percent, progress.bytes_total, progress.files_total) == (100.0, 100, 1)


def test_phase_attempt_and_current_file_are_shown() -> None:
    meter = Meter()
    meter.begin_phase(PhaseName.VERIFY, 3)
    progress = meter.last("then")
    assert (progress.phase, progress.attempt, progress.updated_at) == ("verify", 3, "then")
