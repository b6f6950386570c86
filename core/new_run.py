"""A new run: its record, and what it is to do, frozen from the job's definition as it is now."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from models.job import Job
from models.job_state import JobRecord
from models.job_status import JobStatus
from models.run import Run
from models.run_spec import RunSpec

_HALF_DONE = frozenset({JobStatus.PAUSED, JobStatus.INTERRUPTED, JobStatus.FAILED})
"""After these, parts of files may wait at the destination."""


@dataclass(frozen=True)
class RunLimits:
    """How many runs at once, how long a stopped tool may take to end (seconds), how much of its
    output is kept (bytes), and how many ended runs of a job are, for how long (days)."""

    max_concurrent_runs: int = 4
    stop_grace_seconds: float = 10
    max_log_bytes: int = 20 * 1000 * 1000
    kept_runs_per_job: int = 50
    kept_run_days: float = 90
    resume_interrupted: bool = False


def new_run(job: Job, *, now: str) -> Run:
    """Return a queued run of a job; its id begins with the time, so that ids sort by age."""
    return Run(
        id=f"{re.sub('[^0-9T]', '', now[:19])}-{secrets.token_hex(4)}",
        job_id=job.id,
        job_name=job.name,
        engine=job.engine,
        source=job.source,
        destination=job.destination,
        status=JobStatus.QUEUED,
        queued_at=now,
    )


def spec_of(run: Run, record: JobRecord, *, tool_path: str | None, limits: RunLimits) -> RunSpec:
    """Return what a run is to do, out of the definition and the state before it."""
    job = record.job
    resumes = record.state.status in _HALF_DONE
    progress = record.state.progress
    # Of another source or other patterns the last totals say nothing.
    expected = progress if record.state.definition_version == job.version else None
    return RunSpec(
        run_id=run.id,
        job_id=job.id,
        engine=job.engine,
        tool_path=tool_path,
        source=job.source,
        destination=job.destination,
        exclude=job.options.exclude,
        include=job.options.include,
        bandwidth_limit=job.options.bytes_per_second,
        delete_extraneous=job.options.delete_extraneous,
        max_delete=job.options.max_delete,
        verification=job.verification,
        resume=resumes,
        cut_off_file=progress.current_file if resumes and progress else None,
        expected_bytes=expected.bytes_total if expected else None,
        expected_files=expected.files_total if expected else None,
        max_attempts=job.retry.max_attempts,
        first_delay_seconds=job.retry.first_delay_seconds,
        max_delay_seconds=job.retry.max_delay_seconds,
        stop_grace_seconds=limits.stop_grace_seconds,
        max_log_bytes=limits.max_log_bytes,
    )
