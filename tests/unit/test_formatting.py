"""Proves how figures are written for people: unknown is an en dash, nothing rounds to all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_app import formatting
from models.run import Phase

KIB = 1024.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1023.7, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (KIB**2 - 1, "1.0 MiB"),
        (KIB**2, "1.0 MiB"),
        (29.44 * KIB**2, "29.4 MiB"),
        (KIB**3, "1.0 GiB"),
        (KIB**4, "1.0 TiB"),
        (KIB**5, "1.0 PiB"),
        (5000 * KIB**5, "5000.0 PiB"),
    ],
)
def test_size(value: float | None, text: str) -> None:
    assert formatting.size(value) == text
    assert formatting.rate(value) == (text if value is None else f"{text}/s")


@given(value=st.floats(min_value=0, max_value=2**50))
def test_a_size_below_the_last_unit_has_at_most_four_digits_before_the_point(value: float) -> None:
    assert float(formatting.size(value).split()[0]) < 1024


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0%"), (0.4, "0%"), (12.9, "12%"), (99.9, "99%"), (100.0, "100%")],
)
def test_percent(value: float | None, text: str) -> None:
    assert formatting.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (999, "999"), (1204, "1,204"), (10**9, "1,000,000,000")],
)
def test_count(value: int | None, text: str) -> None:
    assert formatting.count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (10, "10 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (249, "4 min 09 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (3840, "1 h 04 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d 00 h"),
        (266400, "3 d 02 h"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (-60, "just now"),
        (0, "just now"),
        (9, "just now"),
        (10, "10 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86399, "23 h ago"),
        (86400, "1 d ago"),
        (30 * 86400, "30 d ago"),
    ],
)
def test_ago(before: int, text: str) -> None:
    now = datetime.fromtimestamp(1_795_521_600, UTC)
    then = datetime.fromtimestamp(1_795_521_600 - before, UTC).isoformat()
    assert formatting.ago(then, now) == text
    assert formatting.ago(None, now) == "–"


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        (None, None, None),
        ("2026-11-23T10:00:00.000Z", None, None),
        (None, "2026-11-23T10:00:00.000Z", None),
        ("2026-11-23T10:00:00.000Z", "2026-11-23T10:00:01.250Z", 1.25),
        ("2026-11-23T10:00:01.000Z", "2026-11-23T10:00:00.000Z", 0.0),
        ("2026-11-23T10:00:00+01:00", "2026-11-23T10:00:00Z", 3600.0),
    ],
)
def test_seconds_between(start: str | None, end: str | None, seconds: float | None) -> None:
    assert formatting.seconds_between(start, end) == seconds


@pytest.mark.parametrize(
    ("ended_at", "measured", "seconds"),
    [
        ("2026-11-23T10:00:04.000Z", 4.2, 4.2),
        ("2026-11-23T09:00:04.000Z", 4.2, 4.2),  # Set back by an hour meanwhile.
        ("2026-11-23T11:00:04.000Z", 4.2, 4.2),
        ("2026-11-23T10:00:04.000Z", 0.0, 0.0),
        ("2026-11-23T10:00:04.000Z", None, 4.0),
        ("2026-11-23T09:00:04.000Z", None, 0.0),
        (None, None, None),
    ],
)
def test_the_time_taken_is_the_measured_one(
    ended_at: str | None, measured: float | None, seconds: float | None
) -> None:
    phase = Phase("transfer", "2026-11-23T10:00:00.000Z", ended_at, duration_seconds=measured)
    assert formatting.time_taken(phase) == seconds


def test_exact_time() -> None:
    assert formatting.exact_time("2026-11-23T10:00:00.999Z") == "2026-11-23 10:00:00 UTC"
    assert formatting.exact_time("2026-11-23T10:00:00+01:00") == "2026-11-23 09:00:00 UTC"
    assert formatting.exact_time(None) == formatting.exact_time("") == "–"


@pytest.mark.parametrize(
    ("text", "short"), [("", ""), ("12345", "12345"), ("123456", "1234…"), ("1" * 99, "1111…")]
)
def test_shortened(text: str, short: str) -> None:
    assert formatting.shortened(text, 5) == short


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("", ""),
        ("/srv/photos", "/srv/photos"),
        ("/a" * 22, "/a" * 22),
        (
            "/srv/data/2026/family/holidays/sea/pictures/a.jpg",
            "/srv/data/2026/…/holidays/sea/pictures/a.jpg",
        ),
    ],
)
def test_short_path(path: str, short: str) -> None:
    assert formatting.short_path(path) == short


@given(path=st.text(min_size=1, max_size=200), length=st.integers(min_value=8, max_value=80))
def test_a_short_path_keeps_its_ends_and_its_length(path: str, length: int) -> None:
    short = formatting.short_path(path, length)
    assert len(short) <= length
    if short != path:
        head, _, tail = short.partition("…")
        assert path.startswith(head)
        assert path.endswith(tail.rpartition("…")[2])
