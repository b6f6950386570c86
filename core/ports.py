"""What `core` needs from outside, as Protocols. Each has a second implementation, in tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.credential import Credential
from models.deleted_sources import DeletingRun
from models.error_event import Component, ErrorEvent, ErrorPage, Fault, Severity
from models.error_query import ErrorFilter, ErrorGroup, ErrorJob, ErrorStatistics, KeptErrors
from models.events import JournalLine, JournalPart, RunLook, RunProcesses
from models.job import Job
from models.job_snapshot import JobSnapshot
from models.job_state import DamagedJob, JobRecord, JobState
from models.progress import RunOutcome
from models.run import DayTotal, Run, RunFiles, RunOutline, RunPage
from models.run_spec import RunKind, RunSpec
from models.source_deletions import Deletion


class Clock(Protocol):
    """The time."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in milliseconds."""
        ...


class JobStore(Protocol):
    """Definitions and states. A command is acknowledged when it is durable."""

    def snapshot(self) -> JobSnapshot:
        """Return every job, by id, as an immutable picture of one moment."""
        ...

    def damaged(self) -> tuple[DamagedJob, ...]:
        """Return the job files that could not be read, with the reasons."""
        ...

    async def create(self, job: Job, state: JobState) -> None:
        """Keep a new job. Raises JobExists, StorageFailed; then nothing is left of it."""
        ...

    async def transform(self, job_id: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Replace a job by what `change` makes of the newest record; returns it as it is now kept.

        The only read-modify-write; `change` may be called more than once. Definition and state
        get the next version of their own when they differ. Raises JobNotFound, StorageFailed,
        SaveOutcomeUnknown (what is shown then was read back from disk), and what `change` raises.
        """
        ...

    async def delete(self, job_id: str, *, allow: Callable[[JobRecord], None]) -> None:
        """Remove definition and state unless `allow` raises. Raises JobNotFound, StorageFailed."""
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

    async def prune(
        self, job_id: str | None, *, keep: int, ended_before: str | None = None
    ) -> tuple[str, ...]:
        """Forget ended runs of a job, or of each, and return their ids: all but so many of the
        newest, and those that ended before a time, unless they are their job's last.

        Dry runs are counted apart, and no more than MAX_DRY_RUNS of a job are kept.
        """
        ...

    async def known(self, run_ids: Collection[str]) -> frozenset[str]:
        """Return which of these runs there are."""
        ...

    async def unfinished(self) -> tuple[str, ...]:
        """Return the runs that are kept without an end."""
        ...

    async def oldest_first(self, run_ids: Collection[str]) -> tuple[str, ...]:
        """Return those of these runs that there are, in the order in which they were added: no
        change of the clock upsets it."""
        ...

    async def list_runs(
        self,
        *,
        job_id: str | None = None,
        kind: RunKind | None = None,
        outcome: RunOutcome | None = None,
        q: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return a page of the history, newest first; of one kind of runs, of an outcome, of jobs
        with a text in their name (in any case of ASCII letters), or of all."""
        ...

    async def outlines_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[RunOutline, ...]]:
        """Return outlines of the newest transfers of some jobs, oldest first within a job."""
        ...

    async def recent_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest transfers of some jobs, oldest first within a job."""
        ...

    async def totals_by_day(self, since: str) -> tuple[DayTotal, ...]:
        """Return what ended on each day of UTC from one on (`2026-11-23`), by outcome, the oldest
        first: transfers, also those that are forgotten by now."""
        ...

    async def last_successes(self) -> Mapping[str, str]:
        """Return when the last success of each job ended that has had one, also of a run that is
        forgotten by now."""
        ...


class ErrorLog(Protocol):
    """What went wrong. Call it on the event loop."""

    kept: KeptErrors
    """How much is kept."""

    def report(self, fault: Fault) -> None:
        """Record a fault: at once, without waiting and without raising.

        The same unresolved fault met again is counted, not repeated.
        """
        ...

    def settle(self, *, error_type: str, job_id: str | None) -> None:
        """Resolve every event of this type and job, because the cause is gone; as `report` does.

        It takes its turn after what was reported before it.
        """
        ...

    async def list_events(
        self,
        *,
        severity: Severity | None = None,
        component: Component | None = None,
        job_id: str | None = None,
        resolved: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ErrorPage:
        """Return a page of the events that are written, newest first. Raises StorageFailed."""
        ...

    async def find(
        self, wanted: ErrorFilter, *, limit: int = 50, cursor: str | None = None
    ) -> ErrorPage:
        """Return a page of the events that match, as `list_events` does. Raises StorageFailed."""
        ...

    async def get(self, event_id: str) -> ErrorEvent:
        """Return one event. Raises ErrorEventNotFound, StorageFailed."""
        ...

    async def groups(self, wanted: ErrorFilter, limit: int = 50) -> tuple[ErrorGroup, ...]:
        """Return the events that match by kind of fault, what was seen last first. Raises
        StorageFailed."""
        ...

    async def jobs(self, limit: int = 50) -> tuple[ErrorJob, ...]:
        """Return the jobs that events are about, that of the newest first. Raises
        StorageFailed."""
        ...

    async def statistics(self) -> ErrorStatistics:
        """Return the figures of the log as they are now. Raises StorageFailed."""
        ...

    async def resolve(self, event_id: str) -> None:
        """Take an event for done; again changes nothing. Raises ErrorEventNotFound,
        StorageFailed."""
        ...

    async def resolve_many(self, which: Collection[str] | ErrorFilter) -> int:
        """Take events for done, by their ids or all that match; returns how many of them were
        open. Raises StorageFailed."""
        ...

    async def forget_old(self) -> None:
        """Forget what is kept no longer. Raises StorageFailed."""
        ...

    async def flush(self) -> None:
        """Return when everything reported so far is written, or was given up and logged."""
        ...

    async def close(self) -> None:
        """Write what is waiting and take no more; may be called twice."""
        ...


class RunDirectories(Protocol):
    """The directories of runs: spec, journal, log, lock and result."""

    async def prepare(self, spec: RunSpec, *, only_files: Sequence[str] = ()) -> None:
        """Make the directory and freeze the spec in it, with the names on disk of the files that
        the run is over where these are not all. Raises StorageFailed."""
        ...

    async def confine(self, run_id: str, allowed_roots: tuple[str, ...] | None) -> None:
        """Freeze other allowed folders in the spec of a run that has not begun. Raises
        StorageFailed."""
        ...

    async def spec(self, run_id: str) -> RunSpec | None:
        """Return what a run is to do as it was frozen, or None when that cannot be read: its
        runner then says so."""
        ...

    async def remove(self, run_id: str) -> None:
        """Remove a run's directory."""
        ...

    async def settled(self, days: float) -> frozenset[str]:
        """Return whose directories have been as they are for so long; not those of runs that
        live."""
        ...

    async def read_journal(self, run_id: str) -> tuple[JournalLine, ...]:
        """Return the whole journal; a line that cannot be read is passed over and logged."""
        ...

    async def read_journal_part(self, run_id: str, offset: int) -> JournalPart:
        """Return the next whole lines of a journal from an offset in bytes."""
        ...

    async def look(
        self, offsets: Mapping[str, int], *, at_locks: bool
    ) -> dict[str, RunLook | OSError]:
        """Look at many runs at once: at their locks, and then at their journals from offsets on.

        Without `at_locks` each counts as held.
        """
        ...

    async def files(self, run_id: str) -> RunFiles:
        """Return what the journal tells of single files."""
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

    async def submit(self, run_id: str, secret: str | None = None) -> None:
        """Start the runner of a prepared run, with the password of its credential in its
        environment alone. Raises RunnerStartFailed."""
        ...

    async def stop(self, run_id: str) -> bool:
        """Ask the runner to stop; False when it is not alive."""
        ...

    async def runner_lives(self, run_id: str, processes: RunProcesses) -> bool:
        """Whether the runner of a run lives, whose lock somebody holds."""
        ...

    async def end(self, run_id: str, processes: RunProcesses, *, kill: bool) -> None:
        """Signal all that lives of a run whose runner is gone; with `kill` so that nothing can
        refuse it, the runner included."""
        ...


class Credentials(Protocol):
    """Users and passwords by name, as they are at this moment: nothing of them is kept."""

    async def find(self, name: str) -> Credential:
        """Return a credential. Raises CredentialUnusable."""
        ...


class DeletionLog(Protocol):
    """What runs deleted at their sources; kept longer than the runs themselves."""

    async def take(self, run: DeletingRun) -> None:
        """Take the record that a run has left in its directory, if it left one; again changes
        nothing. Raises StorageFailed."""
        ...

    async def untaken(self) -> tuple[str, ...]:
        """Return the runs that have left a record that was not taken yet. Raises StorageFailed."""
        ...

    async def run(self, run_id: str) -> DeletingRun | None:
        """Return what is known of a run that deleted, or None. Raises StorageFailed."""
        ...

    async def note_put_back(
        self,
        run_id: str,
        results: Sequence[tuple[bytes, str | None]],
        *,
        now: str,
        is_all: bool,
    ) -> None:
        """Keep what came of putting files back: by name the reason why one stays in the trash
        folder, None where it is back. The last ones settle the counts. Raises StorageFailed."""
        ...

    async def in_trash(self, run_id: str, *, after: int) -> tuple[Deletion, ...]:
        """Return the next of what lies in a run's trash folder, or may, by what was noted, from
        behind a number on; names as on disk. Raises StorageFailed."""
        ...

    async def trash_due(self, now: str) -> tuple[DeletingRun, ...]:
        """Return the runs whose trash folders are to be emptied by now. Raises StorageFailed."""
        ...

    async def note_purged(self, run_id: str, *, now: str) -> None:
        """Keep that the trash folder of a run was emptied. Raises StorageFailed."""
        ...

    async def prune(self, now: str) -> int:
        """Forget what is too old or too much; returns how many runs went. Raises StorageFailed."""
        ...


class EventSink(Protocol):
    """Who wants to know which jobs changed, and which runs there are to follow."""

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note, at once and without waiting."""
        ...

    def run_started(self, run_id: str) -> None:
        """A run is under way: its journal is worth following from now on."""
        ...

    def run_stopping(self, run_id: str, *, grace_seconds: float) -> None:
        """A run was asked to stop: what has not heeded that in so long is to be ended."""
        ...


class ToolFinder(Protocol):
    """Which tools this machine has."""

    def path_of(self, engine: str) -> str | None:
        """Return the engine's executable, or None when the tool is not installed."""
        ...

    async def version_of(self, engine: str) -> str | None:
        """Return the executable's version; None where there is none or it does not tell."""
        ...


@dataclass(frozen=True)
class Ports:
    """What the commands need from outside."""

    jobs: JobStore
    runs: RunStore
    directories: RunDirectories
    executor: Executor
    tools: ToolFinder
    sink: EventSink
    clock: Clock
    credentials: Credentials
    deletions: DeletionLog
