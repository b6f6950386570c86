"""The state machine of a job as a table; `advance` is the only way to change a status."""

from __future__ import annotations

from dataclasses import replace

from models.errors import IllegalTransition
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import RunOutcome

_AT_REST = frozenset(
    {
        JobStatus.PENDING,
        JobStatus.PAUSED,
        JobStatus.COMPLETED,
        JobStatus.FAILED,
        JobStatus.INTERRUPTED,
    }
)
_ENDS = frozenset({JobStatus.PAUSED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.INTERRUPTED})

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.QUEUED}),
    JobStatus.QUEUED: _AT_REST | {JobStatus.RUNNING},
    JobStatus.RUNNING: _ENDS | {JobStatus.STOPPING},
    JobStatus.STOPPING: _ENDS,
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.PENDING}),
    JobStatus.COMPLETED: frozenset({JobStatus.QUEUED}),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.INTERRUPTED: frozenset({JobStatus.QUEUED, JobStatus.PENDING}),
}
"""From each status, those it may become. A queued job goes back to what it was when its run is
stopped before it began; discarding makes a paused or interrupted job pending."""

STATUS_OF_OUTCOME: dict[RunOutcome, JobStatus] = {
    RunOutcome.COMPLETED: JobStatus.COMPLETED,
    RunOutcome.WARNING: JobStatus.COMPLETED,
    RunOutcome.FAILED: JobStatus.FAILED,
    RunOutcome.PAUSED: JobStatus.PAUSED,
    RunOutcome.INTERRUPTED: JobStatus.INTERRUPTED,
}
"""A run that completed with warnings leaves a completed job with a message (contracts.md)."""


def advance(
    state: JobState, wanted: JobStatus, *, changed_at: str, message: str | None = None
) -> JobState:
    """Return the state with its new status; `message` replaces the old one.

    Raises IllegalTransition when the table has no such arrow.
    """
    if wanted not in TRANSITIONS[state.status]:
        raise IllegalTransition(state.job_id, state.status, wanted)
    previous = state.status if wanted is JobStatus.QUEUED else None
    return replace(
        state,
        status=wanted,
        message=message,
        previous_status=previous,
        stop_requested=False,
        changed_at=changed_at,
    )
