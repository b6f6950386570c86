"""Every process of a run, by each trace that it can leave, so that none can hide from a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_POLL_SECONDS = 0.02
Identity = tuple[int, float]
"""A pid and when it began: never a bare pid."""


def living_processes(run_directory: Path) -> dict[Identity, str]:
    """Return the processes of a run with their commands; zombies do no work and do not count.

    They are known by the run's id on a runner's command line, by its id in their environment, by
    its lock among their open files, and by such an ancestor.
    """
    found: dict[Identity, str] = {}
    for process in psutil.process_iter():
        try:
            if not _belongs(process.pid, run_directory):
                continue
            for member in (process, *process.children(recursive=True)):
                if member.status() != psutil.STATUS_ZOMBIE:
                    identity = (member.pid, member.create_time())
                    found[identity] = " ".join(member.cmdline())
        except psutil.NoSuchProcess:
            continue
    return found


def left_of(processes: dict[Identity, str]) -> list[str]:
    """Return which of these still live."""
    return [f"{identity[0]} {name}" for identity, name in processes.items() if lives(identity)]


def lives(identity: Identity) -> bool:
    """Whether exactly this process lives and is no zombie."""
    pid, began = identity
    try:
        process = psutil.Process(pid)
        return process.create_time() == began and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_all(data_dir: Path) -> None:
    """Kill whatever is left of any run of a data directory: of a test that failed."""
    for directory in (data_dir / "runs").glob("*/"):
        for pid, _ in living_processes(directory):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_until_gone(processes: dict[Identity, str], run_directory: Path, *, seconds: float) -> None:
    """Wait until these, and whatever else belongs to the run by then, are gone; fails after a
    deadline, and tells who is left."""
    deadline = time.monotonic() + seconds
    while True:
        looked_at = time.monotonic()
        left = left_of(processes) or left_of(living_processes(run_directory))
        if not left:
            return
        assert looked_at <= deadline, f"left after {seconds} s: {left}"
        time.sleep(_POLL_SECONDS)


def _belongs(pid: int, run_directory: Path) -> bool:
    words = _words(pid, "cmdline")
    if b"core.runner" in words and os.fsencode(run_directory.name) in words[-1]:
        return True
    if b"LONGSHORE_RUN=" + os.fsencode(run_directory.name) in _words(pid, "environ"):
        return True
    return str(run_directory / "lock") in _open_files(pid)


def _words(pid: int, name: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return []  # It has ended, or is nobody's business of ours.


def _open_files(pid: int) -> Iterator[str]:
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for number in numbers:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
