"""Proves that whatever a component reports can be written and sent as JSON, within limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.error_event import MAX_DETAILS, MAX_MESSAGE, MAX_NAME, MAX_STACK_TRACE
from tests.fakes.builders import a_fault


def test_texts_are_cut_to_their_limits() -> None:
    fault = a_fault(
        message="m" * 10_000,
        error_type="t" * 1000,
        job_id="j" * 1000,
        job_name="n" * 1000,
        run_id="r" * 1000,
        stack_trace="first" + "s" * 100_000 + "last",
    )
    assert fault.message == "m" * MAX_MESSAGE
    for name in (fault.error_type, fault.job_id, fault.job_name, fault.run_id):
        assert name is not None
        assert len(name) == MAX_NAME
    assert fault.stack_trace is not None
    assert len(fault.stack_trace) == MAX_STACK_TRACE
    assert fault.stack_trace.endswith("last")


def test_what_fits_is_left_as_it_is() -> None:
    fault = a_fault(
        message="Grüße 🚢\n", job_id="", stack_trace="", details={"a": [1, {"b": None}]}
    )
    assert (fault.message, fault.job_id, fault.stack_trace) == ("Grüße 🚢\n", "", "")
    assert (fault.job_name, fault.run_id) == (None, None)
    assert fault.details == {"a": [1, {"b": None}]}


def test_details_do_not_change_with_what_they_were_made_of() -> None:
    files = ["a"]
    fault = a_fault(details={"files": files})
    files.append("b")
    assert fault.details == {"files": ["a"]}


def test_details_that_are_too_large_are_left_out_and_that_is_said() -> None:
    details = a_fault(details={"a": "x" * (MAX_DETAILS + 1)}).details
    assert list(details) == ["left_out"]
    assert "characters" in str(details["left_out"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (10**30, hex(10**30)),
        (10**5000, hex(10**5000)),
        ("\ud800", "\\ud800"),
        ({"\udcff": "\udcff"}, {"\\udcff": "\\udcff"}),
        ((1, 2), [1, 2]),
        ({1: 2}, {"1": 2}),
        (ValueError("odd"), "odd"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_take_becomes_text(value: Any, kept: Any) -> None:
    details = a_fault(details={"a": value}).details
    assert details == {"a": kept}
    json.dumps(details, allow_nan=False, ensure_ascii=False).encode()


def test_a_value_that_contains_itself_ends_somewhere() -> None:
    endless: list[Any] = []
    endless.append(endless)
    json.dumps(a_fault(details={"a": endless}).details)


def test_lone_surrogates_become_their_escapes() -> None:
    fault = a_fault(message="a\udcff", job_name="\ud800", stack_trace="\udc00")
    assert (fault.message, fault.job_name, fault.stack_trace) == ("a\\udcff", "\\ud800", "\\udc00")
