"""Puts imported jobs into a data directory as new files, beside a running server or without one.

Nothing is ever replaced. A server notices new definitions by itself (storage/definition_watch.py)
and then finds their states, which are there before them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.interchange import ImportedJob
from storage.job_documents import job_content, state_content
from storage.job_files import JOBS_DIRECTORY, STATES_DIRECTORY, JobFiles, modified_at_ns
from utils.durable_file import Replacement, sync_directory

_GROUP = 64
"""How many jobs are committed together; also how many a full disk can keep out beside the first."""
_TRIES = 3


@dataclass
class ImportOutcome:
    """What became of the jobs of a file, by id."""

    imported: list[str] = field(default_factory=list)
    already_there: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    """Not imported: a run of an earlier job with this id is under way."""
    kept_states: list[str] = field(default_factory=list)
    """Imported, with the other state that an earlier job of this id had left behind."""
    failure: str | None = None
    """Why it stopped; what was imported before stays."""


@dataclass
class _Staged:
    job_id: str
    definition: Replacement
    state: Replacement | None = None
    """None when a state is there already."""
    keeps_other: bool = False


def write_jobs(directory: Path, jobs: Sequence[ImportedJob]) -> ImportOutcome:
    """Write the jobs that are not there yet; each is durable before it is listed as imported."""
    files, outcome = JobFiles(directory), ImportOutcome()
    try:
        if jobs:
            _prepare(directory)
        for begin in range(0, len(jobs), _GROUP):
            _write_group(files, jobs[begin : begin + _GROUP], outcome)
    except OSError as error:
        outcome.failure = error.strerror or str(error)
    return outcome


def _prepare(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True)
        sync_directory(directory.parent)
    for name in (JOBS_DIRECTORY, STATES_DIRECTORY):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory)


def _write_group(files: JobFiles, jobs: Sequence[ImportedJob], outcome: ImportOutcome) -> None:
    for turn in range(_TRIES):
        try:
            _commit(files, list(_new_ones(files, jobs, outcome)), outcome)
        except FileNotFoundError:
            # A server that starts removes what it takes for left-over temporary files.
            if turn == _TRIES - 1:
                raise
        else:
            return


def _new_ones(
    files: JobFiles, jobs: Sequence[ImportedJob], outcome: ImportOutcome
) -> Iterator[ImportedJob]:
    told = {*outcome.imported, *outcome.already_there, *outcome.busy}
    for entry in jobs:
        job_id = entry.job.id
        if job_id in told:
            continue
        if os.path.lexists(files.job_path(job_id)):
            outcome.already_there.append(job_id)
        elif (state := files.read_state(job_id)) is not None and state.is_active:
            outcome.busy.append(job_id)
        else:
            yield entry


def _commit(files: JobFiles, jobs: Sequence[ImportedJob], outcome: ImportOutcome) -> None:
    staged: list[_Staged] = []
    try:
        for entry in jobs:
            _stage(files, entry, staged)
        for replacement in _replacements(staged):
            replacement.start_writing()
        for replacement in _replacements(staged):
            replacement.sync()
        _publish(files, staged, outcome)
    finally:
        for replacement in _replacements(staged):
            replacement.drop()


def _stage(files: JobFiles, entry: ImportedJob, staged: list[_Staged]) -> None:
    job, state_path = entry.job, files.state_path(entry.job.id)
    one = _Staged(
        job.id,
        Replacement(files.job_path(job.id), job_content(job), modified_at_ns=modified_at_ns(job)),
    )
    staged.append(one)
    if os.path.lexists(state_path):
        found = files.read_state(job.id)
        # An import that was cut off leaves the very state that this one would write.
        one.keeps_other = found is None or found.status is not entry.state.status
    else:
        one.state = Replacement(state_path, state_content(entry.state))


def _replacements(staged: Sequence[_Staged]) -> Iterator[Replacement]:
    for one in staged:
        if one.state is not None:
            yield one.state
        yield one.definition


def _publish(files: JobFiles, staged: Sequence[_Staged], outcome: ImportOutcome) -> None:
    for one in staged:
        if one.state is not None and not _is_put(one.state):
            one.keeps_other = True
    if staged:
        sync_directory(os.path.dirname(files.state_path("")))
    placed: list[_Staged] = []
    try:
        for one in staged:
            if _is_put(one.definition):
                placed.append(one)
            else:
                outcome.already_there.append(one.job_id)
    finally:
        # Also when the next one failed: what is in its place is there to stay.
        outcome.imported += [one.job_id for one in placed]
        outcome.kept_states += [one.job_id for one in placed if one.keeps_other]
        for one in placed:
            _announce(one.definition.path)
        if placed:
            sync_directory(files.jobs_directory)


def _is_put(replacement: Replacement) -> bool:
    try:
        replacement.publish_new()
    except FileExistsError:
        return False
    return True


def _announce(path: str) -> None:
    """Have the kernel tell who watches the directory that the file is whole (inotify(7)).

    A new hard link is told as IN_CREATE alone, which who waits for whole files passes over.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
