"""Progress, and the words of a run's phases and outcomes: a leaf that the runner speaks too.

Standard library only. Apart from `models/run.py`, so that a runner loads no more than it says;
named tuples and not dataclasses for the same reason: those cost each start of a runner 30 ms.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class PhaseName(StrEnum):
    """The steps of a run, in their order (architecture.md, words)."""

    PREFLIGHT = "preflight"
    DRY_RUN = "dry_run"
    """In place of all that follow: tells what they would do."""
    TRANSFER = "transfer"
    SETTLE = "settle"
    VERIFY = "verify"
    DELETE_SOURCE = "delete_source"


class RunOutcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"


class Totals(StrEnum):
    """How far the totals of a Progress can be trusted."""

    UNKNOWN = "unknown"
    ESTIMATED = "estimated"
    KNOWN = "known"


class Progress(NamedTuple):
    """How far a run is. Sizes in bytes, rates in bytes per second, durations in seconds.

    `bytes_done` is what stands at the destination over all attempts, skipped files included;
    `bytes_sent` is what travelled; `percent` is None until totals are known or estimated.
    Neither ever decreases within a run (architecture.md, decision 6).

    The `phase_` fields tell how far a phase is that looks at the files once more after the
    transfer (`verify`, `delete_source`): what it has looked at, skipped or deleted so far, and of
    how much. They begin anew with each phase and are None in one that has no progress of its own;
    where they are not, `bytes_per_second` and `eta_seconds` are the phase's.
    """

    phase: str = PhaseName.PREFLIGHT
    attempt: int = 1
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_sent: int = 0
    files_done: int = 0
    files_total: int | None = None
    files_skipped: int = 0
    totals: str = Totals.UNKNOWN
    percent: float | None = None
    bytes_per_second: int | None = None
    eta_seconds: int | None = None
    current_file: str | None = None
    updated_at: str = ""
    phase_files: int | None = None
    phase_files_total: int | None = None
    phase_bytes: int | None = None
    phase_bytes_total: int | None = None
    phase_percent: float | None = None
