"""How the statuses of jobs and runs are shown, and the words of a run's phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi_app.preview_views import dry_run_status
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import PhaseName, RunOutcome
from models.run import Run, RunOutline
from models.run_spec import RunKind

STATUS_WORDS = {
    "pending": "Not run yet",
    "queued": "Queued",
    "running": "Running",
    "stopping": "Stopping",
    "paused": "Paused",
    "completed": "Completed",
    "warning": "Completed with warnings",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
_ICONS = {
    "pending": "circle",
    "queued": "clock",
    "running": "circle-play",
    "stopping": "loader-circle",
    "paused": "circle-pause",
    "completed": "circle-check",
    "warning": "triangle-alert",
    "failed": "circle-x",
    "interrupted": "unplug",
}
PHASE_WORDS: dict[str, str] = {
    PhaseName.PREFLIGHT: "Checking",
    PhaseName.DRY_RUN: "Comparing",
    PhaseName.TRANSFER: "Copying",
    PhaseName.SETTLE: "Writing to disk",
    PhaseName.VERIFY: "Verifying",
    PhaseName.DELETE_SOURCE: "Deleting sources",
}


@dataclass(frozen=True)
class StatusView:
    """A status as shape, word and colour: `key` is the CSS modifier, `icon` a sprite symbol."""

    key: str
    word: str
    icon: str


@dataclass(frozen=True)
class StatusCount:
    """How many jobs have a status, for the dashboard's summary line."""

    status: StatusView
    count: int


_OVERDUE = StatusView(key="overdue", word="Overdue", icon="clock")


def status_view(status: str) -> StatusView:
    """Return how a status, or the outcome `warning`, is shown."""
    return StatusView(key=status, word=STATUS_WORDS[status], icon=_ICONS[status])


def job_status(state: JobState) -> StatusView:
    """Return how a job stands: completed with something to tell is a warning."""
    if state.is_dry_run:
        return StatusView(*dry_run_status(state.status))
    warned = state.status is JobStatus.COMPLETED and state.message is not None
    return status_view("warning" if warned else state.status)


def run_status(run: Run) -> StatusView:
    """Return how a run stands, or a dry run."""
    status = "warning" if run.outcome is RunOutcome.WARNING else run.status
    if run.kind == RunKind.DRY_RUN:
        return StatusView(*dry_run_status(status))
    return status_view(status)


def outline_status(run: RunOutline) -> StatusView:
    """Return how a transfer stands or ended."""
    return status_view("warning" if run.outcome is RunOutcome.WARNING else run.status)


def status_counts(counts: Mapping[str, int], *, overdue: int = 0) -> tuple[StatusCount, ...]:
    """Return how many jobs have each status, in the order of urgency, without the empty ones; and
    before them how many are overdue, whatever their status."""
    order = (
        JobStatus.FAILED,
        JobStatus.INTERRUPTED,
        JobStatus.RUNNING,
        JobStatus.STOPPING,
        JobStatus.QUEUED,
        JobStatus.PAUSED,
        JobStatus.COMPLETED,
        JobStatus.PENDING,
    )
    late = (StatusCount(_OVERDUE, overdue),) if overdue else ()
    found = (
        StatusCount(status_view(status), counts[status]) for status in order if status in counts
    )
    return (*late, *found)
