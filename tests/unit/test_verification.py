"""Proves that a verification is passed only by a copy that was looked at and found the same."""

from __future__ import annotations

import pytest

from core.engines.base import ExitMeaning, Failure, Verdict
from core.engines.registry import ENGINES
from core.runner.verification import Differences


class Listed:
    """A reader for which each line names a file that differs, or is the same."""

    def __init__(self) -> None:
        self.refusal: ExitMeaning | None = None
        self.is_unproven = False
        self.files_compared = 0
        self.bytes_compared: int | None = None

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line."""
        self.files_compared += 1
        return None if segment.startswith(b"=") else Failure(segment.decode(), "It differs.")

    def tells_progress(self, segment: bytes) -> bool:
        """A line that begins so names what is the same."""
        return segment.startswith(b"=")

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Every line counts."""
        return True


def fault(
    *different: str, verdict: Verdict = Verdict.GOOD, known: tuple[str, ...] = (), named: int = 100
) -> str | None:
    """Return the fault of a verification that listed these files."""
    differences = Differences(Listed(), most_named=named)
    differences.take([path.encode() for path in different])
    return differences.fault(ExitMeaning(verdict, "Told so."), known_failures=known)


def test_no_difference_is_no_fault() -> None:
    assert fault() is None


@pytest.mark.parametrize("known", [(), ("/from/b",), ("/from/ab",)])
def test_a_difference_is_a_fault_whatever_else_has_failed(known: tuple[str, ...]) -> None:
    assert fault("b/a", known=known) == "Verification: 1 file differs from the source."


@pytest.mark.parametrize("known", ["/from/b/a", "b/a"])
def test_a_file_that_is_known_to_have_failed_is_no_news(known: str) -> None:
    assert fault("b/a", verdict=Verdict.PARTIAL, known=(known,)) is None
    assert fault("b/a", "b/c", known=(known,)) == "Verification: 1 file differs from the source."


def test_differences_that_are_not_named_are_counted() -> None:
    assert fault("a", "b", "c", known=("/from/a",), named=1) == (
        "Verification: 2 files differ from the source."
    )


@pytest.mark.parametrize("verdict", [Verdict.FATAL, Verdict.TRANSIENT])
def test_a_verification_that_broke_off_proves_nothing(verdict: Verdict) -> None:
    told = "Verification could not be done: Told so."
    assert fault(verdict=verdict) == told
    assert fault("a", verdict=verdict, known=("/from/a",)) == told


def test_a_verification_that_skipped_something_for_no_known_reason_proves_nothing() -> None:
    assert fault(verdict=Verdict.PARTIAL) == "Verification could not be done: Told so."


def test_rclone_is_partial_only_when_it_named_a_file() -> None:
    assert not ENGINES["rclone"].is_partial_for_sure(1, files_failed=0)
    assert ENGINES["rclone"].is_partial_for_sure(1, files_failed=1)
    assert ENGINES["rsync"].is_partial_for_sure(24, files_failed=0)
