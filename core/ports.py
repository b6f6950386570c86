"""What `core` needs from outside, as Protocols. Each has a second implementation, in tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from models.events import JournalLine, JournalPart, RunProcesses
from models.job import Job
from models.job_state import DamagedJob, JobRecord, JobState
from models.run import Run, RunPage
from models.run_spec import RunSpec


class Clock(Protocol):
    """The time."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in milliseconds."""
        ...


class JobStore(Protocol):
    """Definitions and states. A command is acknowledged when it is durable."""

    def snapshot(self) -> Mapping[str, JobRecord]:
        """Return every job, by id, as an immutable picture of one moment."""
        ...

    def damaged(self) -> tuple[DamagedJob, ...]:
        """Return the job files that could not be read, with the reasons."""
        ...

    async def create(self, job: Job, state: JobState) -> None:
        """Keep a new job. Raises StorageFailed; then nothing is left of it."""
        ...

    async def replace(self, job: Job, *, expected_version: int) -> None:
        """Replace a definition. Raises JobNotFound, VersionConflict, StorageFailed."""
        ...

    async def delete(self, job_id: str) -> None:
        """Remove definition and state. Raises JobNotFound, StorageFailed."""
        ...

    async def save_state(self, state: JobState) -> JobState:
        """Keep a state under the next version and return it so. Raises StorageFailed."""
        ...

    def publish_state(self, state: JobState) -> None:
        """Show a state to readers without keeping it: progress, which the journal keeps."""
        ...


class RunStore(Protocol):
    """The history of runs. Runs under way are kept in memory as well, for readers."""

    async def add(self, run: Run) -> None:
        """Keep a new run."""
        ...

    async def save(self, run: Run) -> None:
        """Keep the run as it is now."""
        ...

    def publish(self, run: Run) -> None:
        """Show a run under way to readers without keeping it."""
        ...

    async def remove(self, run_id: str) -> None:
        """Forget a run that never began."""
        ...

    async def get(self, run_id: str) -> Run:
        """Return one run. Raises RunNotFound."""
        ...

    async def prune(self, job_id: str, *, keep: int) -> tuple[str, ...]:
        """Forget all but the newest ended runs of a job; returns the ids of those forgotten."""
        ...

    async def list_runs(
        self, *, job_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> RunPage:
        """Return a page of the history, newest first."""
        ...

    async def recent_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest runs of some jobs, oldest first within a job."""
        ...


class RunDirectories(Protocol):
    """The directories of runs: spec, journal, log, lock and result."""

    async def prepare(self, spec: RunSpec) -> None:
        """Make the directory and freeze the spec in it. Raises StorageFailed."""
        ...

    async def remove(self, run_id: str) -> None:
        """Remove a run's directory."""
        ...

    async def read_journal(self, run_id: str) -> tuple[JournalLine, ...]:
        """Return the whole journal; a line that cannot be read is passed over and logged."""
        ...

    async def read_journal_part(self, run_id: str, offset: int) -> JournalPart:
        """Return the next whole lines of a journal from an offset in bytes."""
        ...

    async def processes(self, run_id: str) -> RunProcesses:
        """Return who performs the run, as far as the journal tells yet."""
        ...

    async def result(self, run_id: str) -> JournalLine | None:
        """Return the end of the run as result.json tells it, or None when there is none."""
        ...

    async def is_held(self, run_id: str) -> bool:
        """Whether a live process (the runner or its engine) holds the run's lock."""
        ...


class Executor(Protocol):
    """Where a runner is started."""

    async def submit(self, run_id: str) -> None:
        """Start the runner of a prepared run. Raises RunnerStartFailed."""
        ...

    async def stop(self, run_id: str) -> bool:
        """Ask the runner to stop; False when it is not alive."""
        ...

    def stop_orphan(self, processes: RunProcesses) -> bool:
        """When the runner is gone, stop what it started and still lives; True if anything did."""
        ...


class EventSink(Protocol):
    """Who wants to know which jobs changed, and which runs there are to follow."""

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note, at once and without waiting."""
        ...

    def run_started(self, run_id: str) -> None:
        """A run is under way: its journal is worth following from now on."""
        ...


class ToolFinder(Protocol):
    """Which tools this machine has."""

    def path_of(self, engine: str) -> str | None:
        """Return the engine's executable, or None when the tool is not installed."""
        ...
