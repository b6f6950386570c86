"""The store's memory: what readers see, what stands in the files, and whom to tell.

Owned by the event loop. Every change of a file goes through `write`, and every read of one through
`blocking`, so that both answer a failing disk in the same words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from models.error_event import Fault
from models.errors import FieldFault, JobNotFound, SaveOutcomeUnknown, StorageFailed
from models.job import Job
from models.job_snapshot import JobSnapshot
from models.job_state import DamagedJob, JobRecord, JobState
from storage import job_faults
from storage.group_commit import Change, NewContent
from storage.job_documents import state_content
from storage.job_files import JobFiles, Loaded, modified_at_ns
from storage.write_queue import WriteQueue

Value = TypeVar("Value")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observer:
    """Who is told what the store meets by itself: changes by hand, and faults of files."""

    jobs_changed: Callable[[Iterable[str]], None] = lambda _ids: None
    report: Callable[[Fault], None] = lambda _fault: None
    settle: Callable[[str, str], None] = lambda _error_type, _job_id: None
    """The cause of the faults of this type and job is gone."""
    run_found: Callable[[str], None] = lambda _run_id: None
    """A job came back whose run may be under way."""
    faults_of: Callable[[Job], Sequence[FieldFault]] = lambda _job: ()
    """What a definition that a person wrote must not say here, though it is valid. In a thread."""
    edited: Callable[[Job | None, Job | None], None] = lambda _before, _after: None
    """A person wrote a definition's file, or removed it: the job before and after that."""


@dataclass(frozen=True)
class Seen:
    """What stands in a definition's file, and what last stood there that was valid."""

    content: bytes
    good: bytes

    @property
    def is_good(self) -> bool:
        """Whether what stands there is valid."""
        return self.content == self.good


class JobTable:
    """Jobs in memory beside their files."""

    def __init__(self, files: JobFiles, observer: Observer) -> None:
        self.files = files
        self.observer = observer
        self.queue = WriteQueue()
        self.snapshot = JobSnapshot()
        self.damaged: dict[str, DamagedJob] = {}
        self.seen: dict[str, Seen] = {}

    def take(self, loaded: Loaded) -> None:
        """Begin with what was loaded."""
        self.snapshot = JobSnapshot(loaded.records)
        self.damaged = loaded.damaged
        self.seen = {job_id: Seen(content, content) for job_id, content in loaded.contents.items()}
        for fault in loaded.faults:
            self.report(fault)

    def record(self, job_id: str) -> JobRecord:
        """Return one job. Raises JobNotFound."""
        try:
            return self.snapshot[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def put(self, record: JobRecord) -> None:
        """From now on readers see the job so."""
        self.snapshot = self.snapshot.with_record(record)

    def forget(self, job_id: str) -> None:
        """From now on there is no such job."""
        self.snapshot = self.snapshot.without(job_id)
        self.seen.pop(job_id, None)

    def report(self, fault: Fault) -> None:
        """Tell a fault to the log and to whoever shows it."""
        _logger.error("%s", fault.message, extra={"job_id": fault.job_id, "run_id": fault.run_id})
        self.observer.report(fault)

    async def write(self, change: Change, job_id: str) -> None:
        """Make a change durable; its outcome unknown, readers are given what is on disk.

        Raises StorageFailed, SaveOutcomeUnknown, and what the change's `before` raises.
        """
        try:
            await self.queue.submit(change)
        except SaveOutcomeUnknown as error:
            self.report(job_faults.outcome_unknown(job_id, str(error)))
            try:
                await self._reload(job_id)
            except StorageFailed as failure:
                ids = {"job_id": job_id}
                _logger.error("%s could not be read again: %s", job_id, failure, extra=ids)
            raise

    async def _reload(self, job_id: str) -> None:
        """Show readers what stands on disk now."""
        loaded = await self.blocking("Reading the job again", partial(self.files.load_one, job_id))
        for fault in loaded.faults:
            self.report(fault)
        self.forget(job_id)
        if job_id in loaded.records:
            content = loaded.contents[job_id]
            self.seen[job_id] = Seen(content, content)
            self.put(loaded.records[job_id])
        self.damaged.update(loaded.damaged)
        self.observer.jobs_changed([job_id])

    async def blocking(self, what: str, work: Callable[[], Value]) -> Value:
        """Do in a thread what reads files. Raises StorageFailed."""
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise StorageFailed(what, error.strerror or str(error)) from error

    def job_file(self, job: Job, content: bytes, *, keep_backup: bool) -> NewContent:
        """Return the file of a definition as the program writes it."""
        return NewContent(
            self.files.job_path(job.id),
            content,
            keep_backup=keep_backup,
            modified_at_ns=modified_at_ns(job),
        )

    def state_file(self, state: JobState) -> NewContent:
        """Return the file of a state."""
        path = self.files.state_path(state.job_id)
        return NewContent(path, state_content(state), keep_backup=True)
