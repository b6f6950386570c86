"""Which process is which: boot id, pid and start time, read from /proc, never a bare pid.

The kernel uses pids again, so a pid kept in a file may one day be a stranger's (proc(5)).
"""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

_STATE_FIELD = 0
_START_TIME_FIELD = 19
"""Fields 3 (state) and 22 (starttime) of /proc/<pid>/stat, counted after the command's name."""


class ProcessIdentity(NamedTuple):
    """A process; `start_ticks` is its start in clock ticks since boot (proc(5))."""

    pid: int
    start_ticks: int
    boot_id: str


def identify(pid: int) -> ProcessIdentity | None:
    """Return who has this pid now; None when nobody does, or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself contain some: the last one closes it.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[_STATE_FIELD] in (b"Z", b"X"):
        return None
    return ProcessIdentity(pid, int(fields[_START_TIME_FIELD]), boot_id())


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly this process lives and is not a zombie."""
    return identify(identity.pid) == identity


def send_signal(identity: ProcessIdentity, signal_number: int, *, to_group: bool = False) -> bool:
    """Signal exactly this process, or the group it leads; False when it is gone.

    The start time is compared while a pidfd holds the process, so that the pid cannot pass to a
    stranger in between (pidfd_open(2)); a group lives as long as its leader is not reaped.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(identity):
            return False
        if to_group:
            os.killpg(identity.pid, signal_number)
        else:
            signal.pidfd_send_signal(descriptor, signal_number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def boot_id() -> str:
    """Return the id that the kernel gave to the time since its start."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
