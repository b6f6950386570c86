"""A new run: its record, and what it is to do, frozen from the job's definition as it is now."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

from core.allowed_roots import EVERYWHERE, Roots
from models.job import Job
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.run import Run
from models.run_spec import KEPT_FOLDER, RunKind, RunSpec
from models.transitions import advance, begin_dry_run, begin_run

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
    rclone_config: str | None = None
    """The configuration with rclone's remotes, as an absolute path; None leaves it to rclone."""
    allowed_roots: Roots = EVERYWHERE
    data_dir: str | None = None
    """Longshore's own data directory, an absolute path."""


def new_run(job: Job, *, now: str, kind: RunKind = RunKind.TRANSFER) -> Run:
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
        kind=kind,
    )


def begun(state: JobState, run: Run, definition_version: int | None) -> JobState:
    """Return the state of a job whose new run waits or begins at once, of this version of its
    definition where that matters to a later run. Raises IllegalTransition."""
    begin = begin_dry_run if run.kind == RunKind.DRY_RUN else begin_run
    queued = replace(
        begin(state, changed_at=run.queued_at),
        run_id=run.id,
        definition_version=definition_version,
        progress=None,
    )
    if run.status is JobStatus.QUEUED:
        return replace(queued, message=run.message)
    return advance(queued, JobStatus.RUNNING, changed_at=run.queued_at)


def spec_of(
    run: Run,
    record: JobRecord,
    *,
    tool_path: str | None,
    limits: RunLimits,
    tool_version: str | None = None,
    daemon_user: str | None = None,
) -> RunSpec:
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
        tool_version=tool_version,
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
        kind=run.kind,
        # What a job replaces that deletes its sources may be the only copy of one of them.
        keep_replaced_in=(
            _kept_folder(run) if job.options.keep_replaced or job.source_deletion.enabled else None
        ),
        extra_args=job.options.extra_args,
        timeout_seconds=job.options.timeout_seconds,
        hard_links=job.options.hard_links,
        acls=job.options.acls,
        xattrs=job.options.xattrs,
        ssh_identity=job.options.ssh_identity,
        ssh_host_keys=job.options.ssh_host_keys,
        daemon_user=daemon_user,
        transfers=job.options.transfers,
        checkers=job.options.checkers,
        rclone_config=limits.rclone_config,
        source_marker=job.options.source_marker,
        source_mount=job.options.source_mount,
        destination_mount=job.options.destination_mount,
        source_deletion=job.source_deletion.mode if job.source_deletion.enabled else None,
        delete_empty_directories=job.source_deletion.delete_empty_directories,
        trash_days=job.source_deletion.trash_days,
        allowed_roots=limits.allowed_roots,
        data_dir=limits.data_dir,
    )


def _kept_folder(run: Run) -> str:
    # Colons are no part of a name on every file system.
    return f"{KEPT_FOLDER}/{run.queued_at[:19].replace(':', '-')}"
