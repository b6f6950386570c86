"""Runs that are dead, with strangers on exactly the pids that their journals name.

`python -m tests.chaos.pid_reuse DATA_DIR TRIES`, as the first process of a pid namespace of its own
(unshare(1)): there it may say which pid the kernel gives next. Prints what it did as JSON.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.executors.local import LocalExecutor
from core.runner.journal import Journal
from models import events
from models.job_state import JobState
from models.job_status import JobStatus
from storage.database import Database
from storage.job_storage import JobStorage
from storage.run_directories import RunDirectoryStorage
from storage.run_repository import RunRepository
from tests.fakes.builders import a_job, a_run, a_spec
from tests.fakes.observers import Noted
from tests.support import RunningServer, wait_until
from utils.process_identity import ProcessIdentity, boot_id, identify, is_alive, send_signal

NEXT_PID = Path("/proc/sys/kernel/ns_last_pid")
_COMMAND = ["/bin/sleep", "600"]
HELD_ONE_IN = 10
"""Of so many runs one is held: something that it started still lives, but no runner."""


@dataclass
class Stranger:
    """A process that has nothing to do with any run. It leads a session and a group of its own and
    blocks every signal, so that the kernel keeps note of whatever it is sent."""

    who: ProcessIdentity

    @property
    def is_untouched(self) -> bool:
        """Whether it lives, goes on, and was sent nothing."""
        if identify(self.who.pid) != self.who:
            return False
        with open(f"/proc/{self.who.pid}/status", encoding="ascii") as file:
            facts = dict(line.split(":\t", 1) for line in file.read().splitlines())
        noted = int(facts["SigPnd"], 16) | int(facts["ShdPnd"], 16)
        return not noted and facts["State"][0] in "RSD"


@dataclass
class DeadRun:
    """A run whose processes are gone, as an earlier dashboard left it behind."""

    number: int
    runner: ProcessIdentity
    engine: ProcessIdentity
    strangers: list[Stranger] = field(default_factory=list)
    left_over: ProcessIdentity | None = None
    """Something that the run started, which lives and holds its lock."""

    @property
    def run_id(self) -> str:
        """Its id."""
        return f"run-{self.number:03d}"

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return f"job-{self.number:03d}"

    @property
    def is_held(self) -> bool:
        """Whether something of it is left."""
        return self.number % HELD_ONE_IN == 0

    @property
    def status(self) -> JobStatus:
        """What the job was when the dashboard ended."""
        return JobStatus.STOPPING if self.number % 3 == 0 else JobStatus.RUNNING


def main(data_dir: Path, tries: int) -> None:
    """Put a stranger on every pid, have all that acts on journals act, and look at them."""
    runs = die(tries)
    asyncio.run(leave_behind(data_dir, runs))
    for run in runs:
        write_journal(data_dir, run)
    for run in runs:
        place_strangers(run)
    for run in runs:
        if run.is_held:
            hold(data_dir, run)
    strangers = [stranger for run in runs for stranger in run.strangers]
    assert all(stranger.is_untouched for stranger in strangers), "the means to tell is broken"

    heard = [ask_by_identity(run) for run in runs]
    assert not any(heard), "a stranger was taken for a process of a run"
    require_untouched(runs, "the signals by identity")
    asyncio.run(act(data_dir, [run for run in runs if not run.is_held]))
    require_untouched(runs, "the executor")
    adopted = recover(data_dir, runs)
    require_untouched(runs, "recovery and the monitor")

    prove_that_touching_is_seen(strangers)
    told = {"tries": len(runs), "strangers": len(strangers), "adopted": adopted}
    print(json.dumps(told))  # noqa: T201


def die(count: int) -> list[DeadRun]:
    """Start a runner and an engine process for each run, and have them end; zombies first."""
    runs = [DeadRun(number, started(), started()) for number in range(count)]
    dead = [who for run in runs for who in (run.runner, run.engine)]
    for who in dead:
        assert is_alive(who)
        os.kill(who.pid, signal.SIGKILL)
    for who in dead:
        wait_until(lambda who=who: identify(who.pid) is None, what="a zombie")  # type: ignore[misc]
        assert not is_alive(who), "a zombie with the right identity counts as alive"
        assert not send_signal(who, signal.SIGTERM)
        assert not send_signal(who, signal.SIGTERM, to_group=True)
        os.waitpid(who.pid, 0)
    # Whoever comes now begins at another tick of the kernel's clock than these did.
    last = max(who.start_ticks for who in dead)
    tick = os.sysconf("SC_CLK_TCK")
    wait_until(
        lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * tick > last + 2, what="the next tick"
    )
    return runs


def started(*, inherits: int | None = None, deaf: bool = False) -> ProcessIdentity:
    """Start a process that leads a session of its own; a deaf one blocks every signal."""
    if inherits is not None:
        os.set_inheritable(inherits, True)
    pid = os.posix_spawn(
        _COMMAND[0], _COMMAND, {}, setsid=True, setsigmask=signal.valid_signals() if deaf else ()
    )
    who = identify(pid)
    assert who is not None
    return who


async def leave_behind(data_dir: Path, runs: Iterable[DeadRun]) -> None:
    """Keep jobs, states, history and run directories as they are while runs are under way."""
    jobs = await JobStorage.open(data_dir, Noted().observer)
    database = await Database.open(data_dir)
    history, directories = RunRepository(database), RunDirectoryStorage(data_dir)
    for run in runs:
        state = JobState(
            run.job_id,
            status=run.status,
            run_id=run.run_id,
            stop_requested=run.status is JobStatus.STOPPING,
        )
        # A destination for each: runs to one and the same would wait for each other.
        to = f"/mnt/{run.job_id}"
        await jobs.create(a_job(run.job_id, destination=to), state)
        kept = a_run(run.run_id, job_id=run.job_id, status=run.status, destination=to)
        await history.add(kept)
        await directories.prepare(a_spec(run_id=run.run_id, job_id=run.job_id, destination=to))
    await database.close()
    await jobs.close()


def write_journal(data_dir: Path, run: DeadRun) -> None:
    """Write what the run's runner wrote before it was killed."""
    journal = Journal(str(data_dir / "runs" / run.run_id))
    journal.append(events.RunStarted(run.runner))
    journal.append(events.PhaseStarted("transfer"))
    journal.append(events.EngineStarted(run.engine, 1))
    journal.close()


def place_strangers(run: DeadRun) -> None:
    """Give the run's pids to strangers."""
    for dead in (run.runner, run.engine):
        NEXT_PID.write_text(str(dead.pid - 1))
        stranger = started(deaf=True)
        assert stranger.pid == dead.pid, "the pid was not used again"
        assert stranger.start_ticks > dead.start_ticks
        run.strangers.append(Stranger(stranger))


def hold(data_dir: Path, run: DeadRun) -> None:
    """Leave something of the run that holds its lock, and a stranger that reads the lock's file, as
    a backup of the data directory may."""
    path = data_dir / "runs" / run.run_id / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    run.left_over = started(inherits=lock)
    os.close(lock)
    reader = os.open(path, os.O_RDONLY)
    run.strangers.append(Stranger(started(inherits=reader, deaf=True)))
    os.close(reader)


def ask_by_identity(run: DeadRun) -> bool:
    """Ask and signal by the dead identities, and by the strangers' own in another boot."""
    in_another_boot = [stranger.who._replace(boot_id="another") for stranger in run.strangers]
    assert all(who.boot_id != boot_id() for who in in_another_boot)
    return any(
        is_alive(who) or send_signal(who, number) or send_signal(who, number, to_group=True)
        for who in (run.runner, run.engine, *in_another_boot)
        for number in (signal.SIGTERM, signal.SIGKILL)
    )


async def act(data_dir: Path, runs: Iterable[DeadRun]) -> None:
    """Have the executor stop and end them, by the identities that the journals name."""
    directories = RunDirectoryStorage(data_dir)
    executor = LocalExecutor(directories, directories.path_of)
    for run in runs:
        processes = await directories.processes(run.run_id)
        assert (processes.runner, processes.engines) == (run.runner, (run.engine,))
        assert not await executor.stop(run.run_id)
        assert not await executor.runner_lives(run.run_id, processes)
        for kill in (False, True):
            await executor.end(run.run_id, processes, kill=kill)


def recover(data_dir: Path, runs: list[DeadRun]) -> int:
    """Start the dashboard on them and wait until every job is at rest; returns how many runs it
    adopted of those of which nothing is left."""
    server = RunningServer(data_dir)
    server.start()
    try:
        for run in runs:
            # A stop while the dashboard takes a run for living: the pid is not the runner's.
            if run.is_held and run.status is JobStatus.RUNNING:
                server.http.post(f"/api/v1/jobs/{run.job_id}/stop")
        at_rest = {"interrupted", "paused"}
        wait_until(
            lambda: {job["state"]["status"] for job in server.jobs()} <= at_rest,
            seconds=60,
            what="the end of all dead runs",
        )
        for run in runs:
            assert server.run(run.run_id)["outcome"] in at_rest
            assert run.left_over is None or not is_alive(run.left_over), "what it left goes on"
    finally:
        server.terminate()
        server.http.close()
    log = (data_dir / "logs" / "longshore.log").read_text(encoding="utf-8")
    told = re.findall(r"recovery: (\d+) runs adopted, (\d+) had ended", log)
    assert len(told) == 1, log
    adopted, ended = map(int, told[0])
    assert ended == 0
    return adopted - sum(run.is_held for run in runs)


def require_untouched(runs: Iterable[DeadRun], by: str) -> None:
    """Fail when any stranger was touched."""
    touched = [
        f"{run.run_id}: {stranger.who}"
        for run in runs
        for stranger in run.strangers
        if not stranger.is_untouched
    ]
    assert not touched, f"touched by {by}: {touched}"


def prove_that_touching_is_seen(strangers: list[Stranger]) -> None:
    """Touch some of them: with a signal that they block, and with those that none can block."""
    for number, stranger in zip(
        (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL), strangers, strict=False
    ):
        assert send_signal(stranger.who, number, to_group=True)
        wait_until(lambda one=stranger: not one.is_untouched, what="its note")  # type: ignore[misc]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
