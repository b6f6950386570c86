"""Changes of jobs in any store, in the words of a test."""

from __future__ import annotations

from dataclasses import replace

from core.ports import JobStore
from models.errors import VersionConflict
from models.job import Job
from models.job_state import JobRecord, JobState


async def save_state(store: JobStore, state: JobState) -> JobState:
    """Keep a state and return it as it is kept."""
    record = await store.transform(state.job_id, lambda record: replace(record, state=state))
    return record.state


async def save_job(store: JobStore, job: Job, *, expected_version: int) -> None:
    """Replace a definition of this version."""

    def change(record: JobRecord) -> JobRecord:
        if record.job.version != expected_version:
            raise VersionConflict(job.id, expected_version, record.job.version)
        return replace(record, job=job)

    await store.transform(job.id, change)


def anything(_record: JobRecord) -> None:
    """Allow it."""
