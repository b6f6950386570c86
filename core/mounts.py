"""Which file system a path lies on, by the kernel's own list: no disk is touched to tell it.

Standard library only, since the runner imports this.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple


class Disk(NamedTuple):
    """A file system: its device, the same for all places where it is mounted, and one of those."""

    device: bytes
    point: str


class Mounts:
    """What is mounted at this moment (proc(5), mountinfo)."""

    def __init__(self) -> None:
        self._devices = {"/": b""}
        # What is mounted over another one comes later.
        self._devices.update((os.fsdecode(point), device) for device, point in _mounted())

    def of(self, path: str) -> Disk:
        """Return what a path lies on, as it is written; of a mount point, what is mounted there."""
        while path not in self._devices:
            path = os.path.dirname(path)
        return Disk(self._devices[path], path)

    def __contains__(self, path: str) -> bool:
        """Whether something is mounted at a path, as it is written."""
        return path in self._devices


def mount_points() -> list[bytes]:
    """Return every place where something is mounted at this moment."""
    return [point for _, point in _mounted()]


def _mounted() -> list[tuple[bytes, bytes]]:
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = [line.split(b" ") for line in file.read().splitlines()]
    except OSError:
        return []
    return [(fields[2], _plain(fields[4])) for fields in lines if len(fields) > 4]


def _plain(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), text)
