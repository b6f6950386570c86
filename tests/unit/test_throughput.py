"""Proves how a run's throughput is read from its journal: nothing sent is lost or counted twice,
and neither the answer nor the memory grows with the journal."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import events
from models.events import FileFailed, PhaseEnded, ProgressMade, RunEnded, RunStarted
from models.progress import Progress
from storage.throughput import MAX_POINTS, RatePoint, SentOverTime, read_throughput
from utils.process_identity import ProcessIdentity
from utils.timestamps import utc_timestamp

BEGAN = 1_795_000_000.0


def line(event: events.Event, seconds: float) -> bytes:
    """Return an event as a runner writes it, so many seconds after the run began."""
    document = events.to_document(event, utc_timestamp(BEGAN + seconds))
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def progress(seconds: float, sent: int, **fields: Any) -> bytes:
    """Return a line of progress."""
    return line(ProgressMade(Progress(phase="transfer", bytes_sent=sent, **fields)), seconds)


STARTED = line(RunStarted(ProcessIdentity(1, 2, "boot")), 0)


def sent_in(points: tuple[RatePoint, ...]) -> float:
    """Return how much was sent in all, by the rates alone."""
    begins = [0.0, *(point.seconds for point in points)]
    return sum(
        (point.seconds - since) * point.bytes_per_second
        for since, point in zip(begins, points, strict=False)
    )


def test_rates_are_what_was_sent_between_two_seconds(tmp_path: Path) -> None:
    lines = [progress(tenth / 10, tenth * 100) for tenth in range(1, 31)]
    (tmp_path / "journal.jsonl").write_bytes(STARTED + b"".join(lines))
    points = read_throughput(tmp_path)
    assert [point.seconds for point in points] == pytest.approx([1.0, 2.0, 3.0])
    assert [point.bytes_per_second for point in points] == pytest.approx([1000.0] * 3)


def test_a_pause_and_the_time_before_anything_is_sent_are_there(tmp_path: Path) -> None:
    lines = [progress(5, 0), progress(6, 600), progress(60, 600), progress(61, 700)]
    ended = RunEnded("completed", 1, 0, None, 0, 0, Progress(bytes_sent=700))
    (tmp_path / "journal.jsonl").write_bytes(STARTED + b"".join(lines) + line(ended, 70))
    rates = [(round(seconds), round(rate)) for seconds, rate in read_throughput(tmp_path)]
    assert rates == [(5, 0), (6, 600), (60, 0), (61, 100), (70, 0)]


def test_what_is_no_progress_tells_nothing_whatever_a_file_is_called(tmp_path: Path) -> None:
    name = '","bytes_sent":99999999,"t":"2030-01-01T00:00:00.000Z'
    lines = [
        line(FileFailed(name, name), 1),
        progress(2, 50, current_file=name),
        line(PhaseEnded("transfer", "completed", name), 3),
        b"\xff\xfe no line of ours, bytes_sent 7\n",
        b'{"t":"2026-99-99T99:99:99.000Z","event":"progress","progress":{"bytes_sent":7}}\n',
        progress(4, 100)[:-40],
    ]
    (tmp_path / "journal.jsonl").write_bytes(STARTED + b"".join(lines))
    # The last line is on its way still.
    assert read_throughput(tmp_path) == (RatePoint(2.0, 25.0),)


def test_there_is_nothing_without_a_journal_and_before_a_run_begins(tmp_path: Path) -> None:
    assert read_throughput(tmp_path) == ()
    (tmp_path / "journal.jsonl").write_bytes(STARTED)
    assert read_throughput(tmp_path) == ()


def test_a_clock_that_is_set_back_does_not_turn_the_run_back() -> None:
    sent = SentOverTime()
    for time, count in ((1000, 0), (1010, 100), (10, 150), (20, 250)):
        sent.add(time, count)
    assert [round(seconds) for seconds, _ in sent.points()] == [10, 20]
    assert sent_in(sent.points()) == pytest.approx(250)


def test_a_figure_that_goes_back_is_no_negative_rate() -> None:
    sent = SentOverTime()
    for time, count in ((0, 0), (10, 100), (20, 40), (30, 130)):
        sent.add(time, count)
    assert [round(rate) for _, rate in sent.points()] == [10, 0, 3]


@given(
    st.lists(st.tuples(st.floats(0.001, 400), st.integers(0, 10**12)), min_size=1, max_size=500),
    st.integers(2, 40),
)
def test_nothing_that_was_sent_is_lost_or_counted_twice(
    steps: list[tuple[float, int]], most: int
) -> None:
    over_time = SentOverTime(most)
    over_time.add(0.0, 0)
    time = total = 0.0
    for seconds, count in steps:
        time += seconds
        total += count
        over_time.add(time, int(total))
    points = over_time.points()
    assert len(points) <= most
    assert all(point.bytes_per_second >= 0 for point in points)
    begins = [0.0, *(point.seconds for point in points)]
    assert all(a < b for a, b in pairwise(begins))
    if time >= 1:
        assert points[-1].seconds == pytest.approx(time)
        assert sent_in(points) == pytest.approx(total, rel=1e-6)


def test_a_long_journal_fills_neither_the_memory_nor_the_answer(tmp_path: Path) -> None:
    chance, sent, lines = Random(1), 0, 50_000
    with (tmp_path / "journal.jsonl").open("wb") as file:
        file.write(STARTED)
        for number in range(1, lines + 1):
            sent += chance.randrange(10**6)
            file.write(progress(number * 2.0, sent, current_file="photos/IMG_0001.jpg"))
    tracemalloc.start()
    points = read_throughput(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert MAX_POINTS // 2 <= len(points) <= MAX_POINTS
    assert points[-1].seconds == pytest.approx(lines * 2.0)
    assert sent_in(points) == pytest.approx(sent)
    assert peak < 2_000_000, f"{peak} bytes"
