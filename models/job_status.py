"""JobStatus: the statuses of a job and of a run. A leaf, which everything may import."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """The statuses of a job (contracts.md). `paused` was stopped by a person, `interrupted` by
    the machine; both are resumable."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


ACTIVE_STATUSES = frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.STOPPING})
RESUMABLE_STATUSES = frozenset({JobStatus.PAUSED, JobStatus.INTERRUPTED})
