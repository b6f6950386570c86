"""Proves that a duration of a form means the seconds that a person typed, whatever the unit."""

from __future__ import annotations

import pytest

from fastapi_app.duration_fields import fields_of, posted_duration
from utils.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "number", "unit"),
    [
        ("", "", "86400"),
        ("86400", "1", "86400"),
        ("90000", "25", "3600"),
        ("5400", "90", "60"),
        ("61", "61", "1"),
        ("soon", "soon", "86400"),
    ],
)
def test_stored_seconds_are_shown_as_the_smallest_whole_number(
    seconds: str, number: str, unit: str
) -> None:
    assert fields_of(seconds) == (number, unit)
    if number.isdecimal():
        assert posted_duration({"x": number, "x_unit": unit}, "x") == seconds


@pytest.mark.parametrize(
    ("number", "unit", "seconds"),
    [
        ("1.5", "86400", "129600"),
        ("1,5", "3600", "5400"),
        (" 2 ", "60", "120"),
        ("90000", None, "90000"),
        ("90000", "7", "90000"),
        ("", "3600", ""),
        ("soon", "3600", "soon"),
        ("nan", "3600", "nan"),
        ("1e999", "3600", "1e999"),
        ("-1", "60", "-1"),
        ("0.001", "60", "0.001"),
        ("9" * 99, "60", "9" * 99),
    ],
)
def test_what_is_no_duration_is_left_as_it_was_typed(
    number: str, unit: str | None, seconds: str
) -> None:
    posted = {"x": number} | ({"x_unit": unit} if unit else {})
    assert posted_duration(posted, "x") == seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (60, "1 minute"),
        (5400, "1 hour 30 minutes"),
        (90_000, "1 day 1 hour"),
        (172_801, "2 days 1 second"),
        (86_400_000, "1,000 days"),
    ],
)
def test_a_duration_in_words(seconds: int, words: str) -> None:
    assert in_words(seconds) == words
