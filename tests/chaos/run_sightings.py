"""Which processes of runs live at one and the same moment, as the system tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Sighting:
    """A living process of a run; `is_transfer` says that it leads an engine process that writes."""

    process: psutil.Process
    run_id: str
    command: list[str]
    is_transfer: bool


def sightings(data_dir: Path) -> list[Sighting]:
    """Return the processes of all runs of a data directory that live at one moment: the runners by
    their command line, what they started by what stands in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            run_id, command = _run_of(process, data_dir), process.cmdline()
            if run_id is not None and command:
                found.append(Sighting(process, run_id, command, _is_transfer(process.pid, command)))
        except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            continue
    # They were met one after the other: those that live now did so together.
    return [one for one in found if _lives(one.process)]


def _run_of(process: psutil.Process, data_dir: Path) -> str | None:
    for word in process.cmdline():
        if word.startswith(f"{data_dir}/runs/"):
            return Path(word).name
    environment = process.environ()
    is_ours = environment.get("LONGSHORE_DATA_DIR") == str(data_dir)
    return environment.get("LONGSHORE_RUN") if is_ours else None


def _is_transfer(pid: int, command: list[str]) -> bool:
    is_dry = "--dry-run" in command or "-n" in command
    return Path(command[0]).name == "rsync" and not is_dry and os.getpgid(pid) == pid


def _lives(process: psutil.Process) -> bool:
    try:
        # `is_running` compares the time when it began: a pid may be another's by now.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
