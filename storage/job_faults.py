"""What there is to tell about job files that were damaged, mended or changed by hand."""

from __future__ import annotations

from models.error_event import Component, Fault, Severity
from models.job import Job

RECOVERED = "JobFileRecovered"
DAMAGED = "JobFileDamaged"
EDIT_INVALID = "JobFileEditInvalid"
RESTORED = "JobFileRestored"
STATE_RECOVERED = "JobStateRecovered"
ALL_MISSING = "JobFilesMissing"
OUTCOME_UNKNOWN = "SaveOutcomeUnknown"
CLEARED_BY_MENDING = frozenset({DAMAGED, EDIT_INVALID})
"""What is over once the file is mended; the others tell what happened, until a person dismisses
them."""


def recovered(job: Job, reason: str, aside: str) -> Fault:
    """A damaged definition was restored from its previous version."""
    return _fault(
        RECOVERED,
        f"The file of “{job.name}” was damaged ({reason}). Its previous version is in force again; "
        f"the damaged file is kept as {aside}.",
        job_id=job.id,
        job_name=job.name,
        details={"reason": reason, "kept_as": aside},
    )


def damaged(job_id: str, reason: str, backup_reason: str | None = None) -> Fault:
    """A definition cannot be used, and why its previous version cannot stand in for it."""
    backup = f" Its previous version ({job_id}.yaml.bak) {backup_reason}." if backup_reason else ""
    return _fault(
        DAMAGED,
        f"{job_id}.yaml cannot be used: {reason}.{backup} No other job is affected.",
        job_id=job_id,
        details={"reason": reason, "backup": backup_reason},
    )


def edit_invalid(job: Job, reason: str) -> Fault:
    """A person's edit is not valid; the last good definition stays in force."""
    return _fault(
        EDIT_INVALID,
        f"{job.id}.yaml was changed by hand and cannot be used: {reason}. The last good "
        f"definition of “{job.name}” stays in force until the file is mended.",
        job_id=job.id,
        job_name=job.name,
        details={"reason": reason},
    )


def restored(job: Job) -> Fault:
    """The definition of a job under way was gone and was written again."""
    return _fault(
        RESTORED,
        f"{job.id}.yaml disappeared while a run of “{job.name}” was under way, and was written "
        "again. Stop the run first to delete the job.",
        job_id=job.id,
        job_name=job.name,
    )


def state_recovered(job_id: str, reason: str, aside: str, *, has_backup: bool) -> Fault:
    """A state could not be read."""
    source = "the one before is used" if has_backup else "the job begins as never run"
    return _fault(
        STATE_RECOVERED,
        f"The state of {job_id} was damaged ({reason}): {source}. The damaged file is kept as "
        f"{aside}.",
        severity=Severity.MEDIUM,
        job_id=job_id,
        details={"reason": reason, "kept_as": aside},
    )


def all_files_missing(count: int) -> Fault:
    """There are states but not one definition."""
    return _fault(
        ALL_MISSING,
        f"There is not one job file, though {count} jobs are known by their states. Is the data "
        "directory mounted, and the right one?",
        severity=Severity.CRITICAL,
        details={"states": count},
    )


def outcome_unknown(job_id: str, message: str) -> Fault:
    """A save was put in its place, but the disk did not confirm it."""
    return _fault(OUTCOME_UNKNOWN, message, job_id=job_id)


def _fault(
    error_type: str,
    message: str,
    *,
    severity: Severity = Severity.HIGH,
    job_id: str | None = None,
    job_name: str | None = None,
    details: dict[str, str | int | None] | None = None,
) -> Fault:
    return Fault(
        severity=severity,
        component=Component.STORAGE,
        error_type=error_type,
        message=message,
        details=details or {},
        job_id=job_id,
        job_name=job_name,
    )
