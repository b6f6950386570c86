"""JobState and JobRecord: how a job is now, apart from what it is to do.

The definition belongs to the person, the state to the program (architecture.md, decision 3).
"""

from __future__ import annotations

from dataclasses import dataclass

from models.job import Job
from models.job_status import ACTIVE_STATUSES, RESUMABLE_STATUSES, JobStatus
from models.progress import Progress


@dataclass(frozen=True)
class AtRest:
    """What a job was before a dry run, and is again when that ends, in whichever way."""

    status: JobStatus
    run_id: str | None = None
    definition_version: int | None = None
    message: str | None = None
    progress: Progress | None = None
    changed_at: str | None = None


@dataclass(frozen=True)
class JobState:
    """The program's side of a job. `version` counts durable saves of the state alone."""

    job_id: str
    status: JobStatus = JobStatus.PENDING
    version: int = 0
    run_id: str | None = None
    definition_version: int | None = None
    """Of the definition that the run named by `run_id` performs."""
    message: str | None = None
    progress: Progress | None = None
    previous_status: JobStatus | None = None
    """What a queued job was before: it gets that status again when its queued run is stopped."""
    stop_requested: bool = False
    """Whether a person asked the run to stop, so that it ends as paused however it ends."""
    edited_version: int | None = None
    edited_digest: str | None = None
    """The version that a definition got when a person had changed its file, and the SHA-256 of that
    file: the version stands here because the person's file is not written by the program."""
    changed_at: str | None = None
    before_dry_run: AtRest | None = None
    """There while a dry run of the job is queued, running or stopping, and only then."""
    last_good_at: str | None = None
    """When a run of this job last completed, with or without warnings."""

    @property
    def is_active(self) -> bool:
        """Whether a run of this job is queued, running or stopping."""
        return self.status in ACTIVE_STATUSES

    @property
    def is_dry_run(self) -> bool:
        """Whether the run that is queued, running or stopping is a dry run."""
        return self.before_dry_run is not None

    @property
    def is_resumable(self) -> bool:
        """Whether a next run goes on where the last one was cut off."""
        return self.status in RESUMABLE_STATUSES


@dataclass(frozen=True)
class JobRecord:
    """A job and its state, as one consistent pair out of a snapshot."""

    job: Job
    state: JobState


@dataclass(frozen=True)
class DamagedJob:
    """A job file that cannot be read, with the reason; nothing else is affected by it."""

    id: str
    reason: str
