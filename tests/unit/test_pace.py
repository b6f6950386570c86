"""Proves that a time left is what it will take, and that none is told where nobody can know it."""

from __future__ import annotations

import pytest

from core.runner.pace import Counts, Pace


def paced(*parts: tuple[float, int, int, int, int]) -> Pace:
    """Return a pace after parts: seconds, and what each second brings in files, bytes, bytes sent
    and files skipped; a sample each tenth of a second."""
    pace, now = Pace(), 0.0
    counts = [0.0] * 4
    pace.add(Counts(now, 0, 0))
    for seconds, *rates in parts:
        for _ in range(round(seconds * 10)):
            now += 0.1
            counts = [count + rate / 10 for count, rate in zip(counts, rates, strict=True)]
            pace.add(Counts(now, *(round(count) for count in counts)))
    return pace


def test_a_steady_pace() -> None:
    pace = paced((5, 10, 1000, 1000, 0))
    assert pace.seconds_left(files=100, bytes_=10_000) == pytest.approx(10, rel=0.05)
    assert pace.bytes_per_second() == pytest.approx(1000, rel=0.05)


def test_nothing_is_told_before_there_is_a_pace() -> None:
    assert paced().seconds_left(files=1, bytes_=1) is None
    assert paced().bytes_per_second() is None
    assert paced((0.8, 10, 1000, 1000, 0)).seconds_left(files=1, bytes_=1000) is None
    assert paced((5, 10, 1000, 1000, 0)).seconds_left(files=0, bytes_=0) is None


def test_nothing_is_told_while_files_are_only_passed_over() -> None:
    assert paced((5, 1000, 10**6, 0, 1000)).seconds_left(files=10, bytes_=10**6) is None


def test_what_was_passed_over_quickly_says_nothing_of_what_is_copied() -> None:
    pace = paced((3, 1000, 10**6, 0, 1000), (2, 1, 1000, 1000, 0))
    assert pace.seconds_left(files=10, bytes_=10_000) == pytest.approx(10, rel=0.5)


def test_files_cost_time_beside_their_bytes() -> None:
    # A second for 1,000 small files of 1 KB, or for 32 MB of a large one.
    pace = paced((5, 1000, 10**6, 10**6, 0), (4, 0, 33 * 10**6, 33 * 10**6, 0))
    small_ones = pace.seconds_left(files=10_000, bytes_=10**7)
    assert small_ones is not None
    assert 5 < small_ones < 20, "by their bytes alone it would be 0.6 s"


def test_a_new_pace_counts_soon() -> None:
    pace = paced((20, 0, 10**6, 10**6, 0), (4, 0, 10**5, 10**5, 0))
    assert pace.seconds_left(files=0, bytes_=10**6) == pytest.approx(10, rel=0.5)


def test_a_halt_has_no_end_that_is_known() -> None:
    pace = paced((5, 0, 1000, 1000, 0), (5, 0, 0, 0, 0))
    assert pace.seconds_left(files=0, bytes_=1000) is not None
    assert paced((5, 0, 1000, 1000, 0), (12, 0, 0, 0, 0)).seconds_left(files=0, bytes_=9) is None


def test_a_tool_that_tells_in_steps() -> None:
    pace, now = Pace(), 0.0
    pace.add(Counts(now, 0, 0))
    for tenth in range(1, 48):
        now = tenth / 10
        done = tenth // 5 * 500
        pace.add(Counts(now, 0, done, done))
    left = pace.seconds_left(files=0, bytes_=10_000 - 4500)
    assert left == pytest.approx(5.3, rel=0.1)


def test_samples_are_bounded() -> None:
    pace = paced((300, 1, 1000, 1000, 0))
    assert len(pace._samples) <= 160
    assert pace.seconds_left(files=0, bytes_=10_000) == pytest.approx(10, rel=0.1)
