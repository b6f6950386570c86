"""The rest of the ports in memory: clock, run directories, executor, event sink and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from core.deleted_sources import DeletedSources
from core.job_manager import JobManager
from core.new_run import RunLimits
from core.ports import Ports
from core.recovery_states import OnChange
from models.credential import Credential
from models.errors import CredentialUnusable, RunnerStartFailed
from models.events import JournalLine, JournalPart, RunLook, RunProcesses
from models.run import RunFiles
from models.run_spec import RunSpec
from tests.fakes.deletion_logs import InMemoryDeletionLog
from tests.fakes.stores import Failing, InMemoryJobStore, InMemoryRunStore
from utils.timestamps import utc_timestamp


class SettableClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_795_521_600.0

    def now(self) -> str:
        """Return the time, a second later with each call, so that an order can be seen."""
        self.seconds += 1
        return utc_timestamp(self.seconds)


class InMemoryRunDirectories(Failing):
    """Run directories as dictionaries; a test writes journals and results into them."""

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[str, RunSpec] = {}
        self.only_files: dict[str, tuple[str, ...]] = {}
        self.found_files: dict[str, RunFiles] = {}
        self.journals: dict[str, tuple[JournalLine, ...]] = {}
        self.results: dict[str, JournalLine] = {}
        self.held: set[str] = set()
        self.known_processes: dict[str, RunProcesses] = {}

    async def prepare(self, spec: RunSpec, *, only_files: Sequence[str] = ()) -> None:
        """Keep a spec, and the names of the files that it is over."""
        await self._touch_disk("prepare")
        self.specs[spec.run_id] = spec
        self.only_files[spec.run_id] = tuple(only_files)

    async def confine(self, run_id: str, allowed_roots: tuple[str, ...] | None) -> None:
        """Keep other allowed folders."""
        await self._touch_disk("confine")
        if run_id in self.specs:
            self.specs[run_id] = self.specs[run_id]._replace(allowed_roots=allowed_roots)

    async def spec(self, run_id: str) -> RunSpec | None:
        """Return what was kept."""
        return self.specs.get(run_id)

    async def remove(self, run_id: str) -> None:
        """Remove a run's directory."""
        self.specs.pop(run_id, None)
        self.journals.pop(run_id, None)
        self.results.pop(run_id, None)

    async def settled(self, days: float) -> frozenset[str]:
        """Return whose directories there are, but for those whose run lives; all are old here."""
        return frozenset(self.specs.keys() - self.held)

    async def read_journal(self, run_id: str) -> tuple[JournalLine, ...]:
        """Return the whole journal."""
        return self.journals.get(run_id, ())

    async def read_journal_part(self, run_id: str, offset: int) -> JournalPart:
        """Return the next lines; offsets are counted in lines here."""
        lines = self.journals.get(run_id, ())[offset:]
        return JournalPart(lines, offset + len(lines))

    async def look(
        self, offsets: Mapping[str, int], *, at_locks: bool
    ) -> dict[str, RunLook | OSError]:
        """Look at many runs."""
        found: dict[str, RunLook | OSError] = {}
        for run_id, offset in offsets.items():
            try:
                is_held = not at_locks or await self.is_held(run_id)
                found[run_id] = RunLook(is_held, await self.read_journal_part(run_id, offset))
            except OSError as error:
                found[run_id] = error
        return found

    async def files(self, run_id: str) -> RunFiles:
        """Return what the test put there."""
        return self.found_files.get(run_id, RunFiles())

    async def processes(self, run_id: str) -> RunProcesses:
        """Return who performs the run."""
        return self.known_processes.get(run_id, RunProcesses(None))

    async def result(self, run_id: str) -> JournalLine | None:
        """Return the end of the run."""
        return self.results.get(run_id)

    async def is_held(self, run_id: str) -> bool:
        """Whether the test says so."""
        return run_id in self.held


class RecordingExecutor:
    """Starts nothing; keeps in order what it was asked."""

    def __init__(self, directories: InMemoryRunDirectories) -> None:
        self._directories = directories
        self.submitted: list[str] = []
        self.secrets: dict[str, str | None] = {}
        self.stopped: list[str] = []
        self.fails_with: str | None = None
        self.runners_gone: set[str] = set()
        self.ended: list[tuple[str, bool]] = []

    async def submit(self, run_id: str, secret: str | None = None) -> None:
        """Take note of a run, which must have been prepared."""
        await asyncio.sleep(0)
        assert run_id in self._directories.specs, "submitted before it was prepared"
        if self.fails_with is not None:
            raise RunnerStartFailed(run_id, self.fails_with)
        self.submitted.append(run_id)
        self.secrets[run_id] = secret
        self._directories.held.add(run_id)

    async def stop(self, run_id: str) -> bool:
        """Take note of a stop."""
        self.stopped.append(run_id)
        return run_id in self._directories.held

    async def runner_lives(self, run_id: str, processes: RunProcesses) -> bool:
        """Whether the test has not killed it."""
        return run_id in self._directories.held and run_id not in self.runners_gone

    async def end(self, run_id: str, processes: RunProcesses, *, kill: bool) -> None:
        """Take note of who was to be ended, and how."""
        self.ended.append((run_id, kill))


class InMemoryCredentials:
    """Credentials that a test puts there and takes away."""

    def __init__(self) -> None:
        self.kept: dict[str, Credential] = {}

    async def find(self, name: str) -> Credential:
        """Return a credential."""
        await asyncio.sleep(0)
        try:
            return self.kept[name]
        except KeyError:
            raise CredentialUnusable(name, "there is none of this name.") from None


class RecordingSink:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.followed: list[str] = []
        self.stopping: list[str] = []
        self.grace_seconds: dict[str, float] = {}

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note."""
        self.changed.extend(job_ids)

    def run_started(self, run_id: str) -> None:
        """Take note."""
        self.followed.append(run_id)

    def run_stopping(self, run_id: str, *, grace_seconds: float) -> None:
        """Take note."""
        self.stopping.append(run_id)
        self.grace_seconds[run_id] = grace_seconds


class FixedTools:
    """Every engine's tool at one place, or nowhere."""

    def __init__(self) -> None:
        self.path: str | None = "/usr/bin/tool"
        self.version: str | None = "99.0"

    def path_of(self, engine: str) -> str | None:
        """Return the tool's place."""
        return self.path

    async def version_of(self, engine: str) -> str | None:
        """Return the tool's version."""
        return self.version


@dataclass
class World:
    """A manager with everything outside it in memory."""

    limit: int = 4
    resume_interrupted: bool = False
    jobs: InMemoryJobStore = field(default_factory=InMemoryJobStore)
    runs: InMemoryRunStore = field(default_factory=InMemoryRunStore)
    directories: InMemoryRunDirectories = field(default_factory=InMemoryRunDirectories)
    sink: RecordingSink = field(default_factory=RecordingSink)
    tools: FixedTools = field(default_factory=FixedTools)
    clock: SettableClock = field(default_factory=SettableClock)
    credentials: InMemoryCredentials = field(default_factory=InMemoryCredentials)
    deletions: InMemoryDeletionLog = field(default_factory=InMemoryDeletionLog)
    on_recovery: OnChange | None = None

    def __post_init__(self) -> None:
        self.executor = RecordingExecutor(self.directories)
        self.restart()

    def restart(self) -> None:
        """Make a new manager over the same stores, as a restarted dashboard has."""
        self.ports = ports = Ports(
            self.jobs,
            self.runs,
            self.directories,
            self.executor,
            self.tools,
            self.sink,
            self.clock,
            self.credentials,
            self.deletions,
        )
        limits = RunLimits(
            max_concurrent_runs=self.limit, resume_interrupted=self.resume_interrupted
        )
        self.manager = JobManager(ports, limits, on_recovery=self.on_recovery)
        self.deleted_sources = DeletedSources(ports, self.manager.at_rest)
