"""Run and Phase: one execution of a job, as frozen values.

How events change a run stands in `models/run_history.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run_spec import RunKind

MAX_NOTICES = 20
MAX_ATTEMPT_TIMES = 100
MAX_DRY_RUNS = 10
"""How many dry runs of a job are kept: each may have a long list beside it."""


@dataclass(frozen=True)
class Phase:
    """One step of a run; `outcome` is None while it is under way."""

    name: str
    started_at: str
    ended_at: str | None = None
    outcome: str | None = None
    message: str | None = None
    duration_seconds: float | None = None
    """As its runner measured it: the times above are by a clock that may have been set meanwhile.
    None when the runner was cut off, or did not measure it."""


@dataclass(frozen=True)
class Run:
    """One execution of a job; times are UTC, ISO 8601."""

    id: str
    job_id: str
    job_name: str
    engine: str
    source: str
    destination: str
    status: JobStatus
    queued_at: str
    outcome: RunOutcome | None = None
    attempts: int = 0
    started_at: str | None = None
    ended_at: str | None = None
    phases: tuple[Phase, ...] = ()
    bytes_done: int = 0
    bytes_sent: int = 0
    files_done: int = 0
    files_skipped: int = 0
    files_failed: int = 0
    files_deleted: int = 0
    exit_code: int | None = None
    message: str | None = None
    progress: Progress | None = None
    kind: str = RunKind.TRANSFER
    files_special: int = 0
    """FIFOs, sockets and devices, which no engine copies."""
    sources_deleted: int = 0
    notices: tuple[str, ...] = ()
    """What a person should know of it beside its outcome; at most MAX_NOTICES."""
    preview: Mapping[str, int] | None = None
    """What a dry run counted, by kind of change; sizes in bytes."""
    only_failed_of: str | None = None
    """The run whose failed files alone this one is over; None in a run over everything."""
    only_files: int | None = None
    """How many files these are."""
    leaves_job: JobStatus | None = None
    """What its job is after a good end, where other files wait for a run over everything; None
    leaves that to the outcome."""
    attempt_times: tuple[str, ...] = ()
    """When its attempts began; at most MAX_ATTEMPT_TIMES, and none of a run of an older version."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, in whichever way."""
        return self.outcome is not None

    @property
    def is_success(self) -> bool:
        """Whether the run did all that its job is for: not one that only tells what would be done,
        nor one over some files while others still wait."""
        has_done = self.outcome in {RunOutcome.COMPLETED, RunOutcome.WARNING}
        return has_done and self.kind == RunKind.TRANSFER and self.leaves_job is None

    @property
    def duration_seconds(self) -> float | None:
        """How long an ended run took, as its runner measured it; None when it did not."""
        measured = [phase.duration_seconds for phase in self.phases]
        known = [seconds for seconds in measured if seconds is not None]
        if not self.is_over or not measured or len(known) < len(measured):
            return None
        return sum(known)


class RunOutline(NamedTuple):
    """What lists tell of a past run beside others of its job."""

    id: str
    job_id: str
    status: JobStatus
    outcome: RunOutcome | None
    started_at: str | None
    ended_at: str | None
    duration_seconds: float | None
    """As its runner measured it, like that of a Run."""
    notices: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, in whichever way."""
        return self.outcome is not None


def outline_of(run: Run) -> RunOutline:
    """Return the outline of a run."""
    return RunOutline(
        run.id,
        run.job_id,
        run.status,
        run.outcome,
        run.started_at,
        run.ended_at,
        run.duration_seconds,
        run.notices,
    )


@dataclass(frozen=True)
class RunPage:
    """A page of the history, newest first; `next_cursor` is None on the last page."""

    items: tuple[Run, ...]
    total: int
    next_cursor: str | None = None


@dataclass(frozen=True)
class DayTotal:
    """How many transfers ended with an outcome on a day of UTC, and what they sent."""

    day: str
    outcome: RunOutcome
    runs: int
    bytes_sent: int


@dataclass(frozen=True)
class FailedFile:
    """One file that a run could not do, with the tool's reason."""

    path: str
    reason: str
    name: str | None = None
    """As it is on disk, from the top of the source; see models/events.py, FileFailed."""


@dataclass(frozen=True)
class SkippedFile:
    """One special file that a run passed over: `fifo`, `socket`, `device`, or `special`."""

    path: str
    kind: str


@dataclass(frozen=True)
class RunFiles:
    """What a run's journal tells of single files: which failed in its last attempt, each once,
    and which no engine copies."""

    failed: tuple[FailedFile, ...] = ()
    repeated: int = 0
    """How often a file that failed was told of once more."""
    skipped: tuple[SkippedFile, ...] = ()

    def failed_in_all(self, counted: int) -> int:
        """How many files failed, of which a run counted so many failures: not all are named."""
        return max(counted - self.repeated, len(self.failed))
