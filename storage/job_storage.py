"""The YAML store of jobs: one file for a definition, one for its state.

Readers get an immutable snapshot; every change goes through one writing thread, in order, and is
acknowledged when it is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from models.errors import InvalidDocument, JobNotFound, StorageFailed, VersionConflict
from models.job import JOB_ID, Job, faults_of
from models.job_state import DamagedJob, JobRecord, JobState
from models.job_status import JobStatus
from models.progress import Progress
from storage import yaml_documents
from utils.durable_file import backup_of, remove_file, replace_file

FORMAT = 1
JOBS_DIRECTORY = "jobs"
STATES_DIRECTORY = "state"
_logger = logging.getLogger(__name__)


class JobStorage:
    """Definitions and states in a data directory, with everything in memory for readers."""

    def __init__(self, directory: Path) -> None:
        self._jobs_directory = directory / JOBS_DIRECTORY
        self._states_directory = directory / STATES_DIRECTORY
        self._snapshot: Mapping[str, JobRecord] = MappingProxyType({})
        self._damaged: tuple[DamagedJob, ...] = ()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job-writer")

    @classmethod
    async def open(cls, directory: Path) -> JobStorage:
        """Load every job of a data directory; unreadable ones are listed as damaged.

        Raises StorageFailed when the directory itself cannot be used.
        """
        storage = cls(directory)
        await storage._write("Loading the jobs", storage._load)
        return storage

    def snapshot(self) -> Mapping[str, JobRecord]:
        """Return every job, by id, as an immutable picture of one moment."""
        return self._snapshot

    def damaged(self) -> tuple[DamagedJob, ...]:
        """Return the job files that could not be read, with the reasons."""
        return self._damaged

    async def create(self, job: Job, state: JobState) -> None:
        """Keep a new job. Raises StorageFailed; then nothing is left of it."""

        def work() -> None:
            _save(self._state_path(job.id), _state_content(state))
            try:
                _save(self._job_path(job.id), _job_content(job))
            except OSError:
                remove_file(self._state_path(job.id))
                raise

        await self._write("Saving the job", work)
        self._put(JobRecord(job, state))

    async def replace(self, job: Job, *, expected_version: int) -> None:
        """Replace a definition. Raises JobNotFound, VersionConflict, StorageFailed."""
        current = self._record(job.id).job.version
        if current != expected_version:
            raise VersionConflict(job.id, expected_version, current)
        await self._write(
            "Saving the job", lambda: _save(self._job_path(job.id), _job_content(job))
        )
        self._put(JobRecord(job, self._record(job.id).state))

    async def delete(self, job_id: str) -> None:
        """Remove definition and state. Raises JobNotFound, StorageFailed."""
        self._record(job_id)

        def work() -> None:
            remove_file(self._job_path(job_id))
            remove_file(self._state_path(job_id))

        await self._write("Deleting the job", work)
        remaining = {key: value for key, value in self._snapshot.items() if key != job_id}
        self._snapshot = MappingProxyType(remaining)

    async def save_state(self, state: JobState) -> JobState:
        """Keep a state under the next version and return it so. Raises StorageFailed."""
        current = self._record(state.job_id)
        saved = replace(state, version=current.state.version + 1)
        await self._write(
            "Saving the job's state",
            lambda: _save(self._state_path(state.job_id), _state_content(saved)),
        )
        self._put(JobRecord(self._record(state.job_id).job, saved))
        return saved

    def publish_state(self, state: JobState) -> None:
        """Show a state to readers without keeping it: progress, which the journal keeps."""
        self._put(JobRecord(self._record(state.job_id).job, state))

    async def close(self) -> None:
        """Finish what is under way; may be called twice."""
        await asyncio.to_thread(self._writer.shutdown)

    def _record(self, job_id: str) -> JobRecord:
        try:
            return self._snapshot[job_id]
        except KeyError:
            raise JobNotFound(job_id) from None

    def _put(self, record: JobRecord) -> None:
        self._snapshot = MappingProxyType({**self._snapshot, record.job.id: record})

    async def _write(self, what: str, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, work)
        except OSError as error:
            raise StorageFailed(what, error.strerror or str(error)) from error

    def _job_path(self, job_id: str) -> Path:
        return self._jobs_directory / f"{job_id}.yaml"

    def _state_path(self, job_id: str) -> Path:
        return self._states_directory / f"{job_id}.yaml"

    def _load(self) -> None:
        for directory in (self._jobs_directory, self._states_directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        jobs, damaged = _read_jobs(self._jobs_directory)
        for job in damaged:
            _logger.error("job file %s.yaml cannot be used: %s", job.id, job.reason)
        records = {job.id: JobRecord(job, self._read_state(job.id)) for job in jobs}
        self._snapshot = MappingProxyType(records)
        self._damaged = tuple(damaged)

    def _read_state(self, job_id: str) -> JobState:
        path = self._state_path(job_id)
        for candidate in (path, Path(backup_of(path))):
            if not candidate.exists():
                continue
            try:
                return _state_from(yaml_documents.read(candidate), job_id)
            except InvalidDocument as error:
                _logger.error("state file %s cannot be used: %s", candidate.name, error.reason)
        return JobState(job_id)


@dataclass(frozen=True)
class DirectoryCheck:
    """How many job files can be read, and which cannot."""

    jobs: int
    damaged: tuple[DamagedJob, ...]


def check_directory(directory: Path) -> DirectoryCheck:
    """Read every job file of a data directory without changing anything. Blocking."""
    jobs, damaged = _read_jobs(directory / JOBS_DIRECTORY)
    return DirectoryCheck(len(jobs), tuple(damaged))


def _read_jobs(directory: Path) -> tuple[list[Job], list[DamagedJob]]:
    jobs: list[Job] = []
    damaged: list[DamagedJob] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            jobs.append(_read_job(path))
        except InvalidDocument as error:
            damaged.append(DamagedJob(path.stem, error.reason))
    return jobs, damaged


def _save(path: Path, content: bytes) -> None:
    replace_file(path, content, keep_backup=True)


def _job_content(job: Job) -> bytes:
    return yaml_documents.render({"format": FORMAT, "id": job.id, **job.model_dump(mode="json")})


def _state_content(state: JobState) -> bytes:
    return yaml_documents.render_quickly(_state_document(state))


def _read_job(path: Path) -> Job:
    document = yaml_documents.read(path)
    if not JOB_ID.match(path.stem):
        raise InvalidDocument(path.name, "its name is not a job id")
    if document.get("id") != path.stem:
        raise InvalidDocument(path.name, f"holds the job {document.get('id')!r}")
    try:
        return Job.model_validate(document)
    except ValidationError as error:
        reasons = "; ".join(f"{fault.field}: {fault.message}" for fault in faults_of(error))
        raise InvalidDocument(path.name, reasons) from error


def _state_document(state: JobState) -> dict[str, Any]:
    return {"format": FORMAT, **asdict(state)} | {
        "status": str(state.status),
        "previous_status": str(state.previous_status) if state.previous_status else None,
        "progress": _plain(state.progress._asdict()) if state.progress else None,
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    # Members of StrEnum are strings that the dumper would not take for strings.
    return {key: str(value) if isinstance(value, str) else value for key, value in values.items()}


def _state_from(document: dict[str, Any], job_id: str) -> JobState:
    known = {key: value for key, value in document.items() if key in JobState.__dataclass_fields__}
    progress, previous = known.get("progress"), known.get("previous_status")
    try:
        state = JobState(
            **known
            | {
                "job_id": job_id,
                "status": JobStatus(known.get("status", "")),
                "previous_status": JobStatus(previous) if previous else None,
                "progress": Progress(**progress) if progress else None,
            }
        )
    except (TypeError, ValueError) as error:
        raise InvalidDocument(f"{job_id}.yaml", str(error)) from error
    if state.is_active and not state.run_id:
        raise InvalidDocument(f"{job_id}.yaml", f"is {state.status} without a run")
    return state
