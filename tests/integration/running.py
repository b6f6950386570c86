"""What integration tests share about servers and processes: waiting, looking, comparing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.support import ENDED, RunningServer, assert_progress_never_decreases, wait_until

KEPT_FILE_MODE = 0o600
KEPT_FOLDER_MODE = 0o700


@contextmanager
def ended_server(server: RunningServer) -> Iterator[RunningServer]:
    """Start a server, end it afterwards, and check every journal that it left."""
    server.start()
    try:
        yield server
    finally:
        server.close()
    for directory in (server.data_dir / "runs").glob("*/"):
        # A run that could not be started has none.
        if (directory / "journal.jsonl").exists():
            assert_progress_never_decreases(server.journal(directory.name))


def run_to_end(server: RunningServer, job_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
    """Start a job, wait until it is at rest again and return its run."""
    run = server.wait_for_end(server.start_job(job_id), seconds=seconds)
    # The history is written before the state, so that the run is over a moment before the job is.
    wait_for_status(server, job_id, *ENDED)
    return run


def event_of(server: RunningServer, run_id: str, kind: str) -> dict[str, Any]:
    """Wait for the first event of a kind in a run's journal and return it."""

    def found() -> dict[str, Any] | None:
        path = server.data_dir / "runs" / run_id / "journal.jsonl"
        if not path.exists():
            return None
        return next((line for line in server.journal(run_id) if line["event"] == kind), None)

    event = wait_until(found, what=f"{kind} in the journal of {run_id}")
    assert event is not None
    return event


def wait_for_bytes(server: RunningServer, job_id: str, count: int) -> dict[str, Any]:
    """Wait until a running job has that many bytes done; returns the progress shown then."""

    def far_enough() -> dict[str, Any] | None:
        state = server.state(job_id)
        assert state["status"] == "running", state
        progress: dict[str, Any] | None = state["progress"]
        return progress if progress and progress["bytes_done"] >= count else None

    progress = wait_until(far_enough, what=f"{count} bytes of {job_id}")
    assert progress is not None
    return progress


def wait_for_partial(destination: Path, count: int) -> None:
    """Wait until the file that is being written beneath a folder has that many bytes."""

    def far_enough() -> bool:
        try:
            return any(path.stat().st_size >= count for path in destination.glob(".*"))
        except FileNotFoundError:
            return False  # It got its final name in between.

    wait_until(far_enough, what=f"{count} bytes at the destination")


def wait_for_status(
    server: RunningServer, job_id: str, *statuses: str, seconds: float = 30.0
) -> dict[str, Any]:
    """Wait until a job has one of these statuses; returns its state."""

    state: dict[str, Any] = {}

    def reached() -> bool:
        state.update(server.state(job_id))
        return state["status"] in statuses

    try:
        wait_until(reached, seconds=seconds, what=f"{job_id} as one of {statuses}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {state}") from None
    return state


def processes_of(run_id: str, *, group: int | None = None) -> list[str]:
    """Return the living processes of a run: by its id on the command line, or by process group."""
    return list(_living(lambda line, pid: run_id in line or group_of(pid) == group))


def _living(wanted: Callable[[str, int], bool]) -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and wanted(line, process.pid):
                yield f"{process.pid} {line}"
        except psutil.NoSuchProcess:
            continue


def group_of(pid: int) -> int | None:
    """Return a process's group, or None when it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def start_ticks(pid: int) -> int:
    """Return when a process began, in clock ticks since boot (proc(5)), as the kernel tells it."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def seconds_since_epoch(timestamp: str) -> float:
    """Return a timestamp of ours as seconds since the epoch."""
    return datetime.fromisoformat(timestamp).timestamp()
