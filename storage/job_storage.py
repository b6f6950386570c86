"""The YAML store of jobs: one file for a definition, one for its state.

Readers get an immutable snapshot. Every change goes through one writing thread and is acknowledged
when it is durable; the snapshot is replaced right after it, on the event loop that owns it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from models.errors import JobExists, JobNotFound, LongshoreError, StorageFailed
from models.job import Job
from models.job_snapshot import JobSnapshot
from models.job_state import DamagedJob, JobRecord, JobState
from storage import job_faults
from storage.found_files import keep_aside
from storage.group_commit import Change, NewContent
from storage.hand_edits import HandEdits
from storage.job_documents import job_content
from storage.job_files import JobFiles
from storage.job_table import JobTable, Observer, Seen
from storage.write_queue import WriteQueue

Value = TypeVar("Value")
_MAX_TURNS = 5
"""How often one change begins anew because a person edits the file meanwhile."""
_logger = logging.getLogger(__name__)


class _ChangedOnDisk(LongshoreError):
    """A definition's file is not what the store last saw: nothing was written over it."""


class JobStorage:
    """Definitions and states in a data directory, with everything in memory for readers."""

    def __init__(self, directory: Path, observer: Observer) -> None:
        self._table = JobTable(JobFiles(directory), observer)
        self._edits = HandEdits(self._table)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._under_way: set[asyncio.Future[Any]] = set()
        self._recording: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, directory: Path, observer: Observer | None = None) -> JobStorage:
        """Load every job of a data directory, and mend what can be mended.

        Raises StorageFailed when the directory itself cannot be used.
        """
        storage = cls(directory, observer or Observer())
        try:
            await storage._load()
        except BaseException:
            await storage.close()
            raise
        return storage

    @property
    def jobs_directory(self) -> str:
        """Where definitions are, for who watches it."""
        return self._table.files.jobs_directory

    @property
    def queue(self) -> WriteQueue:
        """Where changes wait for the disk, for who measures it."""
        return self._table.queue

    def snapshot(self) -> JobSnapshot:
        """Return every job, by id, as an immutable picture of one moment."""
        return self._table.snapshot

    def damaged(self) -> tuple[DamagedJob, ...]:
        """Return the job files that cannot be used, with the reasons."""
        return tuple(self._table.damaged[job_id] for job_id in sorted(self._table.damaged))

    async def create(self, job: Job, state: JobState) -> None:
        """Keep a new job. Raises JobExists, StorageFailed; then nothing is left of it."""
        await self._whole(job.id, partial(self._create, job, state))

    async def transform(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Replace a job by what `change` makes of it, and return it as it is now kept.

        The only read-modify-write: `change` is given the newest record, under the job's lock, and
        may be called again when a person edited the file meanwhile. What differs gets the next
        version of its own. Raises JobNotFound, StorageFailed, SaveOutcomeUnknown, and what
        `change` raises; then nothing was changed.
        """
        return await self._whole(job_id, partial(self._transform, job_id, change))

    async def delete(self, job_id: str, *, allow: Callable[[JobRecord], None]) -> None:
        """Remove definition and state, unless `allow` raises.

        Raises JobNotFound, StorageFailed, SaveOutcomeUnknown, and what `allow` raises.
        """
        await self._whole(job_id, partial(self._delete, job_id, allow))

    def publish_state(self, state: JobState) -> None:
        """Show a state to readers without keeping it: progress, which the journal keeps."""
        self._table.put(JobRecord(self._table.record(state.job_id).job, state))

    async def reconcile(self, job_id: str) -> None:
        """Take over what a person did to a definition's file. Raises StorageFailed."""
        await self._whole(job_id, partial(self._edits.reconcile, job_id))

    async def changed_on_disk(self, job_ids: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return whose definition's file is not what the store last saw, or cannot be used as it
        is; of these, or of all.

        Raises StorageFailed.
        """
        wanted = None if job_ids is None else tuple(job_ids)
        seen = {job_id: seen.content for job_id, seen in self._table.seen.items()}
        refused = {job_id for job_id, seen in self._table.seen.items() if not seen.is_good}
        unusable = frozenset(self._table.damaged) | refused
        find = partial(self._table.files.changed, wanted, seen, unusable)
        return await self._table.blocking("Reading the job files", find)

    def report_all_missing(self, count: int) -> None:
        """Tell that not one definition is left of so many."""
        self._table.report(job_faults.all_files_missing(count))

    async def close(self) -> None:
        """Finish what is under way; may be called twice."""
        under_way = [task for task in (*self._under_way, self._recording) if task is not None]
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._table.queue.close()

    async def _load(self) -> None:
        loaded = await self._table.blocking("Loading the jobs", self._table.files.load)
        self._table.take(loaded)
        if loaded.edited:
            self._recording = asyncio.create_task(self._record_edits(tuple(loaded.edited)))

    async def _record_edits(self, job_ids: Iterable[str]) -> None:
        """Keep the versions that were given to definitions edited while no server ran."""
        for job_id in job_ids:
            try:
                await self._whole(job_id, partial(self._keep_state, job_id))
            except (StorageFailed, JobNotFound) as error:
                ids = {"job_id": job_id}
                _logger.warning("the version of %s is not kept: %s", job_id, error, extra=ids)

    async def _create(self, job: Job, state: JobState) -> None:
        if job.id in self._table.snapshot or job.id in self._table.damaged:
            raise JobExists(job.id)
        content = job_content(job)

        def before() -> None:
            if self._table.files.read_job(job.id) is not None:
                raise JobExists(job.id)

        files = (
            self._table.state_file(state),
            self._table.job_file(job, content, keep_backup=False),
        )
        change = Change("Saving the job", files, before=before, is_new=True)
        await self._table.write(change, job.id)
        self._table.seen[job.id] = Seen(content, content)
        self._table.put(JobRecord(job, state))

    async def _transform(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        for _ in range(_MAX_TURNS):
            current = self._table.record(job_id)
            wanted = _next_versions(current, change(current))
            try:
                await self._save(current, wanted)
            except _ChangedOnDisk:
                await self._edits.reconcile(job_id)
                continue
            return self._table.record(job_id)
        raise StorageFailed("Saving the job", "its file is being changed again and again")

    async def _save(self, current: JobRecord, wanted: JobRecord) -> None:
        job, state, job_id = wanted.job, wanted.state, current.job.id
        files: list[NewContent] = []
        seen = self._table.seen[job_id]
        content = seen.content
        before: Callable[[], None] | None = None
        if state is not current.state:
            files.append(self._table.state_file(state))
        if job is not current.job:
            content = job_content(job)
            files.append(self._table.job_file(job, content, keep_backup=seen.is_good))
            before = partial(self._make_sure, job_id, seen)
        if not files:
            return
        what = "Saving the job" if before else "Saving the job's state"
        await self._table.write(Change(what, tuple(files), before=before), job_id)
        if before:
            self._table.seen[job_id] = Seen(content, content)
            if not seen.is_good:
                self._table.observer.settle(job_faults.EDIT_INVALID, job_id)
        newest = self._table.record(job_id)
        self._table.put(
            JobRecord(
                job if job is not current.job else newest.job,
                # Progress may have been published meanwhile.
                state if state is not current.state else newest.state,
            )
        )

    def _make_sure(self, job_id: str, seen: Seen) -> None:
        """In the writer thread: a definition is only replaced as it was last seen."""
        found = self._table.files.read_job(job_id)
        if found is None or found.content != seen.content:
            raise _ChangedOnDisk(job_id)
        if not seen.is_good:
            # An edit that was not valid is a person's work all the same.
            keep_aside(self._table.files.job_path(job_id))

    async def _delete(self, job_id: str, allow: Callable[[JobRecord], None]) -> None:
        allow(self._table.record(job_id))
        paths = (self._table.files.job_path(job_id), self._table.files.state_path(job_id))
        await self._table.write(Change("Deleting the job", removals=paths), job_id)
        self._table.forget(job_id)
        self._table.observer.settle(job_faults.EDIT_INVALID, job_id)

    async def _keep_state(self, job_id: str) -> None:
        state = self._table.record(job_id).state
        state = replace(state, version=state.version + 1)
        await self._table.write(
            Change("Saving the job's state", (self._table.state_file(state),)), job_id
        )
        newest = self._table.record(job_id)
        # Progress may have been published meanwhile.
        self._table.put(replace(newest, state=replace(newest.state, version=state.version)))

    async def _whole(self, job_id: str, work: Callable[[], Awaitable[Value]]) -> Value:
        """Do one change of a job alone, and to its end even when the caller goes away."""

        async def locked() -> Value:
            async with self._locks.setdefault(job_id, asyncio.Lock()):
                return await work()

        task = asyncio.ensure_future(locked())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)


def _next_versions(current: JobRecord, wanted: JobRecord) -> JobRecord:
    """Give what differs the version after the present one; what does not differ stays the same."""
    job, state = current.job, current.state
    if wanted.job is not current.job and wanted.job != current.job:
        job = wanted.job.model_copy(update={"version": current.job.version + 1})
    if wanted.state is not current.state and wanted.state != current.state:
        state = replace(wanted.state, version=current.state.version + 1)
    return JobRecord(job, state)
