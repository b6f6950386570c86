"""Which files of an ended run failed, and what a run over exactly those is to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from core.new_run import new_run
from models.errors import RetryRefused
from models.job_state import JobRecord
from models.job_status import JobStatus
from models.progress import PhaseName, RunOutcome
from models.remote import is_remote
from models.run import FailedFile, Run, RunFiles
from models.run_spec import RunKind, RunSpec
from models.transitions import STATUS_OF_OUTCOME

_DONE = frozenset({RunOutcome.COMPLETED, RunOutcome.WARNING})
_TRIED_ALL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})
"""A paused or interrupted job goes on with what it left undone, failed files included; one whose
run was discarded begins anew."""
_TRANSFER_ALL = "--ignore-times"
"""Both tools then transfer a file whatever its size and time (rsync(1); rclone docs)."""
STILL_TO_DO = (
    "These files are good now, but the last run over everything did not do all it should: start "
    "the job again."
)


def names_to_retry(failed: Run, files: RunFiles, record: JobRecord) -> tuple[str, ...]:
    """Return the names of a run's failed files as they are on disk, each once.

    Raises RetryRefused with the reason when they cannot be tried again by themselves.
    """
    reason = _why_not_the_job(failed, record) or _why_not_the_files(failed, files)
    if reason is not None:
        raise RetryRefused(failed.id, reason)
    return tuple(dict.fromkeys(file.name for file in files.failed if file.name is not None))


def listed(names: Iterable[str], engine: str) -> tuple[str, ...]:
    """Return names as they stand in the list that an engine is given."""
    if engine != "rsync":
        return tuple(names)
    # rsync drops what it takes for a comment, even where a zero byte ends each name (its source,
    # io.c, read_line: RL_DUMP_COMMENTS).
    return tuple(f"./{name}" if name.startswith(_COMMENT_SIGNS) else name for name in names)


def refuse_folders(failed: Run, names: Iterable[str]) -> None:
    """Raise RetryRefused when one of these names in a local source is a folder: what lies in it did
    not fail by name. Blocking."""
    if is_remote(failed.source):
        return
    for name in names:
        try:
            is_folder = stat.S_ISDIR(os.lstat(os.path.join(failed.source, name)).st_mode)
        except OSError:
            continue  # The tool says so when it comes to that file.
        if is_folder:
            raise RetryRefused(failed.id, _FOLDER)


def why_not(failed: Run, files: RunFiles, record: JobRecord) -> str | None:
    """Return why a run's failed files cannot be tried again by themselves, or None."""
    try:
        names_to_retry(failed, files, record)
    except RetryRefused as refused:
        return refused.reason
    return None


def retry_run(failed: Run, record: JobRecord, *, files: int, now: str) -> Run:
    """Return a queued run over the failed files of another one, so many of them."""
    return replace(
        new_run(record.job, now=now),
        only_failed_of=failed.id,
        only_files=files,
        leaves_job=_status_after(failed, record),
    )


def narrowed(spec: RunSpec, failed: Run) -> RunSpec:
    """Return what a run over the failed files of another one is to do: it deletes nothing, neither
    at the destination nor at the source, and the totals of all files say nothing about it."""
    if failed.outcome is RunOutcome.FAILED and spec.verification == "checksum":
        # What a verification found wrong may have the right size and time.
        spec = spec._replace(extra_args=(*spec.extra_args, _TRANSFER_ALL))
    return spec._replace(
        only_failed_of=failed.id,
        delete_extraneous=False,
        max_delete=None,
        source_deletion=None,
        delete_empty_directories=False,
        trash_days=None,
        expected_bytes=None,
        expected_files=None,
        cut_off_file=None,
    )


_COMMENT_SIGNS = ("#", ";")
_FOLDER = (
    "A folder is among them, and what lies in it did not fail by name: start the job, which skips "
    "what is good already."
)
_OF_FOLDERS = (
    "opendir ",
    "readdir",
    "change_dir ",
    "directory has vanished",
    "error reading source",
)
"""How the reasons begin that the tools give for a folder. What lies in it is not known."""


class JobEnd(NamedTuple):
    """What the end of a run leaves its job: `is_good` when all that the job is for was done."""

    status: JobStatus
    message: str | None
    is_good: bool


def job_end(run: Run, outcome: RunOutcome) -> JobEnd:
    """Return what a run that ended so leaves its job."""
    status = STATUS_OF_OUTCOME[outcome]
    if status is JobStatus.COMPLETED and run.leaves_job is not None:
        return JobEnd(run.leaves_job, run.message or STILL_TO_DO, is_good=False)
    return JobEnd(status, run.message, is_good=status is JobStatus.COMPLETED)


def _why_not_the_job(failed: Run, record: JobRecord) -> str | None:
    job, state = record.job, record.state
    if state.is_active:
        return f"The job is {state.status}: wait until it has ended, or stop it."
    if failed.kind != RunKind.TRANSFER:
        return "That run only told what a transfer would do: start the job."
    if state.status not in _TRIED_ALL:
        what = "resume it" if state.is_resumable else "start it"
        return f"The job is {state.status}: {what}, and these files are tried again as well."
    before = (failed.engine, failed.source, failed.destination)
    if before != (job.engine, job.source, job.destination):
        return (
            "The job has another engine, source or destination since that run: start it, and "
            "everything is looked at."
        )
    return None


def _why_not_the_files(failed: Run, files: RunFiles) -> str | None:
    count = files.failed_in_all(failed.files_failed)
    if not count:
        return "No file failed in that run."
    if any(_is_about_folder(file) for file in files.failed):
        return _FOLDER
    known = [file for file in files.failed if _is_usable(file.name)]
    if len(known) == count:
        return None
    if not known:
        return (
            "The tool did not tell which files these are by their names on disk: start the job, "
            "which skips what is good already."
        )
    return (
        f"{count:,} files failed, and of {len(known):,} alone the names on disk are known: start "
        "the job, which skips what is good already."
    )


def _is_about_folder(file: FailedFile) -> bool:
    return file.reason.startswith(_OF_FOLDERS) or ": mkdir failed" in file.reason


def _is_usable(name: str | None) -> bool:
    """Whether this is a name within the source: it comes from a tool's output."""
    if not name or name.startswith("/") or "\0" in name or ".." in name.split("/"):
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _status_after(failed: Run, record: JobRecord) -> JobStatus | None:
    """Return what a good retry leaves the job; None when nothing else is left to do.

    That is so when the run before the retry looked at every file, these apart, or when a later
    one did all it should.
    """
    state = record.state
    was_last = state.run_id == failed.id
    if was_last and failed.leaves_job is None and _looked_at_all(failed):
        return None
    if not was_last and state.status is JobStatus.COMPLETED and state.message is None:
        return None
    return state.status


def _looked_at_all(run: Run) -> bool:
    if run.outcome in _DONE:
        return True
    # After a transfer that came to its end the verification may have found what differs.
    transfers = [phase for phase in run.phases if phase.name == PhaseName.TRANSFER]
    return bool(transfers) and transfers[-1].outcome in _DONE
