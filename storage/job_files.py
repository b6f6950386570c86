"""Job and state files of a data directory: where they are, how they are read, how they are mended.

Everything here blocks and belongs into a thread. Who calls it holds the directory (longshore.lock),
except for `look`, which changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from models.error_event import Fault
from models.errors import InvalidDocument
from models.job import JOB_ID, Job
from models.job_state import DamagedJob, JobRecord, JobState
from storage import job_faults, orphans
from storage.found_files import OnDisk, keep_aside, read_file, reason_of, shown
from storage.job_documents import MISNAMED, job_from, state_content, state_from
from utils.durable_file import (
    backup_of,
    remove_leftovers,
    replace_file,
    sync_directory,
)

JOBS_DIRECTORY = "jobs"
STATES_DIRECTORY = "state"
_SUFFIX = ".yaml"


@dataclass
class Loaded:
    """What a data directory holds, and what there is to tell about it."""

    records: dict[str, JobRecord] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    """What stands in each definition's file."""
    damaged: dict[str, DamagedJob] = field(default_factory=dict)
    edited: dict[str, JobState] = field(default_factory=dict)
    """States that are to be kept: their definition was changed by hand."""
    faults: list[Fault] = field(default_factory=list)


class JobFiles:
    """The files of jobs and states beneath a data directory."""

    def __init__(self, directory: Path) -> None:
        self._jobs = str(directory / JOBS_DIRECTORY)
        self._states = str(directory / STATES_DIRECTORY)

    @property
    def jobs_directory(self) -> str:
        """Where definitions are."""
        return self._jobs

    def job_path(self, job_id: str) -> str:
        """Return where a definition is."""
        return os.path.join(self._jobs, job_id + _SUFFIX)

    def state_path(self, job_id: str) -> str:
        """Return where a state is."""
        return os.path.join(self._states, job_id + _SUFFIX)

    def load(self) -> Loaded:
        """Read everything and mend what can be mended. Raises OSError when the directories
        themselves cannot be used."""
        self._prepare()
        loaded = Loaded()
        states = set(_ids_in(self._states))
        for job_id in _ids_in(self._jobs):
            if JOB_ID.match(job_id):
                self._load_one(job_id, loaded, has_state=job_id in states)
            else:
                name = shown(job_id)
                loaded.damaged[name] = DamagedJob(name, MISNAMED)
                loaded.faults.append(job_faults.damaged(name, MISNAMED))
        missing = states - loaded.records.keys() - loaded.damaged.keys()
        for job_id in sorted(missing):
            self._load_missing(job_id, loaded)
        if states and not loaded.records and not loaded.damaged:
            loaded.faults.append(job_faults.all_files_missing(len(states)))
        else:
            orphans.tidy(self._jobs, self._states, kept=loaded.records.keys() | loaded.damaged)
        return loaded

    def load_one(self, job_id: str) -> Loaded:
        """Read one job as at the start. Raises OSError."""
        loaded = Loaded()
        if os.path.lexists(self.job_path(job_id)):
            self._load_one(job_id, loaded, has_state=os.path.lexists(self.state_path(job_id)))
        return loaded

    def changed(
        self, job_ids: tuple[str, ...] | None, seen: Mapping[str, bytes], damaged: Set[str]
    ) -> tuple[str, ...]:
        """Return whose definition's file has other content than was seen; of these, or of all.

        A damaged job, whose content nobody remembers, counts as changed. Raises OSError.
        """
        if job_ids is None:
            job_ids = tuple(sorted({*_ids_in(self._jobs), *seen, *damaged}))
        return tuple(
            job_id for job_id in job_ids if job_id in damaged or self._differs(job_id, seen)
        )

    def _differs(self, job_id: str, seen: Mapping[str, bytes]) -> bool:
        try:
            found = self.read_job(job_id)
        except OSError:
            os.stat(self._jobs)
            return True
        return (found.content if found else None) != seen.get(job_id)

    def look(self) -> Loaded:
        """Read everything and change nothing; `faults` stays empty.

        Raises OSError when the directory of definitions cannot be read.
        """
        loaded = Loaded()
        if not os.path.isdir(self._jobs):
            return loaded
        for job_id in _ids_in(self._jobs):
            if not JOB_ID.match(job_id):
                loaded.damaged[shown(job_id)] = DamagedJob(shown(job_id), MISNAMED)
                continue
            try:
                found = read_file(self.job_path(job_id))
                job = job_from(found.content, job_id, modified_at_ns=found.modified_at_ns)
            except (OSError, InvalidDocument) as error:
                loaded.damaged[job_id] = DamagedJob(job_id, reason_of(error))
                continue
            loaded.records[job_id] = JobRecord(job, JobState(job_id))
        return loaded

    def read_state(self, job_id: str) -> JobState | None:
        """Return a stored state, or None when there is no usable one."""
        path = self.state_path(job_id)
        for candidate in (path, backup_of(path)):
            try:
                return state_from(read_file(candidate).content, job_id)
            except (OSError, InvalidDocument):
                continue
        return None

    def read_job(self, job_id: str) -> OnDisk | None:
        """Return what stands in a definition's file, or None when there is none.

        Raises OSError, also when the directory is gone: a disk that is not mounted any more must
        not look like jobs that a person deleted.
        """
        try:
            return read_file(self.job_path(job_id))
        except FileNotFoundError:
            os.stat(self._jobs)
            return None

    def _prepare(self) -> None:
        for directory in (self._jobs, self._states):
            if not os.path.isdir(directory):
                os.makedirs(directory, mode=0o700)
                sync_directory(os.path.dirname(directory))
            remove_leftovers(directory)

    def _load_one(self, job_id: str, loaded: Loaded, *, has_state: bool) -> None:
        try:
            state = self._load_state(job_id, loaded) if has_state else None
        except OSError as error:
            # Not damaged for all we know, and not to be begun anew: its run may be under way.
            reason = f"its state {reason_of(error)}"
            loaded.damaged[job_id] = DamagedJob(job_id, reason)
            loaded.faults.append(job_faults.damaged(job_id, reason))
            return
        try:
            found = read_file(self.job_path(job_id))
            job = job_from(found.content, job_id, modified_at_ns=found.modified_at_ns)
        except PermissionError as error:
            # Whole for all we know, and its owner's to open up: nothing is put in its place.
            loaded.damaged[job_id] = DamagedJob(job_id, reason_of(error))
            loaded.faults.append(job_faults.damaged(job_id, reason_of(error)))
            return
        except (OSError, InvalidDocument) as error:
            self._recover(job_id, state, reason_of(error), loaded)
            return
        job, state = self._taken_over(job, found, state, loaded)
        loaded.records[job_id] = JobRecord(job, state)
        loaded.contents[job_id] = found.content

    def _load_state(self, job_id: str, loaded: Loaded) -> JobState | None:
        path = self.state_path(job_id)
        try:
            return state_from(read_file(path).content, job_id)
        except InvalidDocument as error:
            reason = error.reason
        state = self.read_state(job_id)
        try:
            aside = keep_aside(path)
            # A damaged file must not become the backup of the next save.
            if state is None:
                os.unlink(path)
            else:
                replace_file(path, state_content(state))
        except OSError as error:
            aside = f"nowhere ({error.strerror})"
        loaded.faults.append(
            job_faults.state_recovered(job_id, reason, aside, has_backup=state is not None)
        )
        return state

    def _recover(self, job_id: str, state: JobState | None, reason: str, loaded: Loaded) -> None:
        path = self.job_path(job_id)
        try:
            backup, job = self._backup_of(job_id)
            aside = keep_aside(path)
            replace_file(path, backup.content)
        except (OSError, InvalidDocument) as error:
            loaded.damaged[job_id] = DamagedJob(job_id, reason)
            loaded.faults.append(job_faults.damaged(job_id, reason, _backup_reason(error)))
            return
        self._take_backup(job, backup, state, loaded)
        loaded.faults.append(job_faults.recovered(job, reason, aside))

    def _load_missing(self, job_id: str, loaded: Loaded) -> None:
        """Bring back the definition of a job whose run may be under way; others are gone."""
        state = self.read_state(job_id)
        if state is None or not state.is_active:
            return
        try:
            backup, job = self._backup_of(job_id)
            replace_file(self.job_path(job_id), backup.content)
        except (OSError, InvalidDocument) as error:
            reason = "its file is gone though a run was under way"
            loaded.damaged[job_id] = DamagedJob(job_id, reason)
            loaded.faults.append(job_faults.damaged(job_id, reason, reason_of(error)))
            return
        self._take_backup(job, backup, state, loaded)
        loaded.faults.append(job_faults.restored(job))

    def _take_backup(
        self, job: Job, backup: OnDisk, state: JobState | None, loaded: Loaded
    ) -> None:
        state = state or JobState(job.id)
        # Above every version that may have been given out: the lost one was the next.
        version = max(self.last_version(job.id, state, b""), job.version + 1) + 1
        job, state = edited(job, backup, state, version=version)
        loaded.edited[job.id] = state
        loaded.records[job.id] = JobRecord(job, state)
        loaded.contents[job.id] = backup.content

    def _taken_over(
        self, job: Job, found: OnDisk, state: JobState | None, loaded: Loaded
    ) -> tuple[Job, JobState]:
        """Give a definition that was read at the start its version, and tell if that is to be kept.

        The program sets the time of the files that it writes to the `updated_at` in them: a file
        with another time was written by a person, who need not know of versions. So was an older
        version that a person brought back.
        """
        version = job.version
        if state is not None:
            known = state.edited_version or 0
            if state.edited_digest == found.digest:
                version = known
                if self.last_version(job.id, state, found.content) <= version:
                    return job.model_copy(update={"version": version}), state
            elif (
                is_programs(job, found)
                and version >= known
                and not self._is_brought_back(job, found)
            ):
                return job, state
            last = self.last_version(job.id, state, found.content)
            version = max(version + int(is_programs(job, found)), last) + 1
        elif is_programs(job, found):
            return job, JobState(job.id)
        job, state = edited(job, found, state, version=version)
        loaded.edited[job.id] = state
        return job, state

    def _is_brought_back(self, job: Job, found: OnDisk) -> bool:
        """Whether a file of the program's is an older version: each but the first has a backup,
        which is another one."""
        if job.version == 1:
            return False
        backup = backup_of(self.job_path(job.id))
        try:
            if os.path.samefile(backup, self.job_path(job.id)):
                return False  # A save was cut off between the link and the rename.
            facts = os.stat(backup)
            if (facts.st_mtime_ns, facts.st_size) != (found.modified_at_ns, len(found.content)):
                return False
            # Two saves within a second look alike from outside.
            return read_file(backup).content == found.content
        except OSError:
            return True

    def last_version(self, job_id: str, state: JobState, content: bytes) -> int:
        """Return the highest version that may have been given out for a definition, as far as its
        state and its backup tell; a backup that is the same as `content` tells nothing."""
        versions = [state.edited_version or 0, state.definition_version or 0]
        try:
            backup, job = self._backup_of(job_id)
        except (OSError, InvalidDocument):
            return max(versions)
        if backup.content == content:
            return max(versions)
        if backup.digest == state.edited_digest:
            # A person's file, whose version stands in the state.
            return max(versions) + 1
        return max(*versions, job.version + 1)

    def _backup_of(self, job_id: str) -> tuple[OnDisk, Job]:
        backup = read_file(backup_of(self.job_path(job_id)))
        return backup, job_from(backup.content, job_id, modified_at_ns=backup.modified_at_ns)


def edited(
    job: Job, found: OnDisk, state: JobState | None, *, version: int
) -> tuple[Job, JobState]:
    """Return a definition that a person wrote under its new version, and the state that says so."""
    moment = datetime.fromtimestamp(found.modified_at_ns // 10**9, UTC)
    job = job.model_copy(update={"version": version, "updated_at": moment})
    state = state or JobState(job.id)
    return job, replace(state, edited_version=version, edited_digest=found.digest)


def is_programs(job: Job, found: OnDisk) -> bool:
    """Whether a file is as the program writes it."""
    return found.modified_at_ns == modified_at_ns(job) and found.content.startswith(b"format:")


def modified_at_ns(job: Job) -> int:
    """Return the time that the program gives to a definition's file."""
    return int(job.updated_at.timestamp()) * 10**9


def _ids_in(directory: str) -> Iterator[str]:
    names = sorted(os.listdir(directory))
    return (
        name.removesuffix(_SUFFIX)
        for name in names
        if name.endswith(_SUFFIX) and not name.startswith(".")
    )


def _backup_reason(error: OSError | InvalidDocument) -> str | None:
    return None if isinstance(error, FileNotFoundError) else reason_of(error)
