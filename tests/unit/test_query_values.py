"""Proves that a value that was left empty means any, and that nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from fastapi_app.error_filter import FilterBody, asked_for
from fastapi_app.query_values import Cursor
from models.error_event import Severity
from models.error_query import ErrorFilter

FIELDS = ("severity", "component", "job_id", "error_type", "resolved", "since")


@pytest.mark.parametrize("field", FIELDS)
def test_an_empty_value_means_any(field: str) -> None:
    for value in ("", None):
        assert FilterBody.model_validate({field: value}).filter() == ErrorFilter()


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "resolved"])
@pytest.mark.parametrize("value", [False, [], {}])
def test_what_is_no_value_at_all_does_not_mean_any(field: str, value: Any) -> None:
    # Else every error would be resolved.
    with pytest.raises(ValidationError):
        FilterBody.model_validate({field: value})


def test_errors_that_are_unresolved_are_not_any() -> None:
    assert FilterBody.model_validate({"resolved": False}).filter().resolved is False


def test_an_address_says_the_same_as_a_body() -> None:
    body = FilterBody.model_validate({"severity": "high", "q": "disk", "since": "2026-11-26T10:00"})
    assert asked_for(severity=Severity.HIGH, q="disk", since=body.since) == body.filter()
    assert body.filter().since == "2026-11-26T10:00:00.000Z"
    assert asked_for() == ErrorFilter()


def test_a_cursor_is_a_number_or_left_out() -> None:
    cursor = TypeAdapter(Cursor)
    assert [cursor.validate_python(value) for value in ("", None, "17")] == [None, None, "17"]
    for value in ("x", "-1", "٣", "9" * 19):
        with pytest.raises(ValidationError):
            cursor.validate_python(value)
