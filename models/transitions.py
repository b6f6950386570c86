"""The state machine of a job as a table; `advance` is the only way to change a status."""

from __future__ import annotations

from dataclasses import replace

from models.errors import IllegalTransition
from models.job_state import AtRest, JobState
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

DRY_RUN_TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    **dict.fromkeys(JobStatus, frozenset()),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING}),
    JobStatus.RUNNING: frozenset({JobStatus.STOPPING}),
}
"""The same while a dry run is under way. From all three of its statuses the job goes back to what
it was (`end_dry_run`), and nowhere else: how a dry run ends says nothing about the job."""

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

    Raises IllegalTransition when the table has no such arrow; of a job with a dry run, those of
    DRY_RUN_TRANSITIONS count.
    """
    table = DRY_RUN_TRANSITIONS if state.is_dry_run else TRANSITIONS
    if wanted not in table[state.status]:
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


def begin_run(state: JobState, *, changed_at: str) -> JobState:
    """Return the state with a run queued. Raises IllegalTransition when the job is not at rest."""
    return advance(state, JobStatus.QUEUED, changed_at=changed_at)


def begin_dry_run(state: JobState, *, changed_at: str) -> JobState:
    """Return the state with a dry run queued, which remembers how the job was.

    Raises IllegalTransition when the job is not at rest.
    """
    queued = begin_run(state, changed_at=changed_at)
    before = AtRest(
        status=state.status,
        run_id=state.run_id,
        definition_version=state.definition_version,
        message=state.message,
        progress=state.progress,
        changed_at=state.changed_at,
    )
    return replace(queued, before_dry_run=before)


def end_dry_run(state: JobState) -> JobState:
    """Return the state as it was before the dry run. Raises IllegalTransition when none is under
    way."""
    before = state.before_dry_run
    if before is None or not state.is_active:
        raise IllegalTransition(state.job_id, state.status, "what it was before a dry run")
    return replace(
        state,
        status=before.status,
        run_id=before.run_id,
        definition_version=before.definition_version,
        message=before.message,
        progress=before.progress,
        changed_at=before.changed_at,
        previous_status=None,
        stop_requested=False,
        before_dry_run=None,
    )
