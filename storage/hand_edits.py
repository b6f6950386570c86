"""What a person did to a definition's file: taken over, told, or undone where a run needs it.

Each of these is called under the job's lock, which the store holds.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from functools import partial

from models.errors import InvalidDocument, StorageFailed
from models.job import Job
from models.job_state import DamagedJob, JobRecord, JobState
from storage import job_faults
from storage.found_files import OnDisk, reason_of, shown
from storage.group_commit import Change, NewContent
from storage.job_documents import job_from, told
from storage.job_files import edited, is_programs, modified_at_ns
from storage.job_table import JobTable, Seen
from utils.durable_file import backup_of

_UNREADABLE = OnDisk(b"", 0)
"""What stands for a file that cannot be read."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """A file, and the job in it, or the reason why there is none."""

    file: OnDisk
    job: Job | None = None
    reason: str = ""


class HandEdits:
    """Brings the store in line with one definition's file at a time."""

    def __init__(self, table: JobTable) -> None:
        self._table = table

    async def reconcile(self, job_id: str) -> None:
        """Take over what stands in a file now. Raises StorageFailed."""
        found = await self._table.blocking("Reading the job's file", partial(self._read, job_id))
        if found is None:
            await self._take_removal(job_id)
        elif found.job is None:
            await self._take_invalid(shown(job_id), found.file.content, found.reason)
        elif found.file.content != self._good_content_of(job_id):
            await self._take_edit(found.job, found.file)

    def _good_content_of(self, job_id: str) -> bytes | None:
        """What stands in the file, unless it was refused when it was last seen: by other settings
        the same text may be accepted."""
        seen = self._table.seen.get(job_id)
        return seen.content if seen and seen.is_good else None

    def _read(self, job_id: str) -> _Found | None:
        """In a thread, for a large file takes its time: what a person wrote, if it is new."""
        try:
            file = self._table.files.read_job(job_id)
        except OSError as error:
            os.stat(self._table.files.jobs_directory)
            return _Found(_UNREADABLE, reason=reason_of(error))
        if file is None:
            return None
        try:
            job = job_from(file.content, job_id, modified_at_ns=file.modified_at_ns)
        except InvalidDocument as error:
            return _Found(file, reason=error.reason)
        if file.content != self._good_content_of(job_id):
            faults = tuple(self._table.observer.faults_of(job))
            if faults:
                return _Found(file, reason=told(file.content, faults))
        return _Found(file, job)

    async def _take_removal(self, job_id: str) -> None:
        """A file is gone: so is its job, unless a run of it is under way."""
        if shown(job_id) in self._table.damaged and not await self._has_run(job_id):
            del self._table.damaged[shown(job_id)]
            self._table.observer.settle(job_faults.DAMAGED, shown(job_id))
            self._table.observer.jobs_changed([shown(job_id)])
        record = self._table.snapshot.get(job_id)
        if record is None:
            return
        if not record.state.is_active:
            self._table.forget(job_id)
            self._table.observer.edited(record.job, None)
            self._table.observer.settle(job_faults.EDIT_INVALID, job_id)
            self._table.observer.jobs_changed([job_id])
            return
        content = self._table.seen[job_id].good
        path = self._table.files.job_path(job_id)
        file = NewContent(path, content, modified_at_ns=modified_at_ns(record.job))
        await self._table.write(Change("Restoring the job", (file,)), job_id)
        self._table.seen[job_id] = Seen(content, content)
        self._table.report(job_faults.restored(record.job))

    async def _take_invalid(self, job_id: str, content: bytes, reason: str) -> None:
        """A file is not valid: the last good definition stays in force, and becomes the backup."""
        record = self._table.snapshot.get(job_id)
        if record is None:
            if self._table.damaged.get(job_id) != DamagedJob(job_id, reason):
                self._table.damaged[job_id] = DamagedJob(job_id, reason)
                self._table.observer.settle(job_faults.DAMAGED, job_id)
                self._table.report(job_faults.damaged(job_id, reason))
                self._table.observer.jobs_changed([job_id])
            return
        seen = self._table.seen[job_id]
        if not seen.is_good and seen.content == content:
            return  # Told already.
        good = seen.good
        self._table.seen[job_id] = Seen(content, good)
        self._table.observer.settle(job_faults.EDIT_INVALID, job_id)
        self._table.report(job_faults.edit_invalid(record.job, reason))
        await self._keep_beside(job_id, None, good)

    async def _take_edit(self, job: Job, found: OnDisk) -> None:
        """A file was written by a person: its definition is in force as the next version."""
        record = self._table.snapshot.get(job.id)
        if record is None:
            state = await self._state_of(job.id)
            version = job.version
            if state is not None:
                read_last = partial(self._table.files.last_version, job.id, state, found.content)
                last = await self._table.blocking("Reading the job", read_last)
                if not (is_programs(job, found) and version > last):  # As an import writes it.
                    version = max(version, last) + 1
        else:
            state, version = record.state, max(record.job.version + 1, job.version)
        job, state = edited(job, found, state, version=version)
        seen = self._table.seen.get(job.id)
        self._table.seen[job.id] = Seen(found.content, found.content)
        state = replace(state, version=state.version + 1)
        self._table.put(JobRecord(job, state))
        was_damaged = self._table.damaged.pop(job.id, None) is not None
        # What a damaged file said before is not known.
        before = record.job if record else job if was_damaged else None
        self._table.observer.edited(before, job)
        for error_type in (job_faults.EDIT_INVALID, job_faults.DAMAGED):
            self._table.observer.settle(error_type, job.id)
        self._table.observer.jobs_changed([job.id])
        if record is None and state.is_active and state.run_id:
            # Its run may have gone on while the file could not be used.
            self._table.observer.run_found(state.run_id)
        await self._keep_beside(job.id, state, seen.good if seen else None)

    async def _has_run(self, job_id: str) -> bool:
        """Whether a run of a job without a definition may be under way: that is not over with."""
        state = await self._state_of(job_id)
        return state is not None and state.is_active

    async def _state_of(self, job_id: str) -> JobState | None:
        read = partial(self._table.files.read_state, job_id)
        return await self._table.blocking("Reading the job's state", read)

    async def _keep_beside(self, job_id: str, state: JobState | None, good: bytes | None) -> None:
        """Keep the version of an edit, and the definition before it as the backup.

        An edit is in force whether or not there is room for these: they are made up for by the
        next save and the next start.
        """
        files: list[NewContent] = []
        if state is not None:
            files.append(self._table.state_file(state))
        if good is not None:
            files.append(NewContent(backup_of(self._table.files.job_path(job_id)), good))
        try:
            await self._table.queue.submit(Change("Keeping what belongs to an edit", tuple(files)))
        except StorageFailed as error:
            _logger.warning("%s: %s", job_id, error, extra={"job_id": job_id})
