"""How much room the disks have that the jobs' local destinations lie on.

Asking a disk may take for ever when it hangs on a network: each is asked in a thread of its own, no
second time while it has not answered, and nobody waits for it longer than a moment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import NamedTuple

from core.preflight_mounts import mount_points
from core.preflight_space import Room, existing_part, room_of

FRESH_SECONDS = 30.0
"""How old an answer may be that is shown without asking again."""
PATIENCE_SECONDS = 0.25
"""How long a page waits for answers; what comes later is there for the next one."""
_MOST_ASKED = 8
"""How many disks may owe an answer at a time."""
_MOST_DISKS = 50
_logger = logging.getLogger(__name__)


class Disk(NamedTuple):
    """A disk by where it is mounted; `room` is None while it does not answer."""

    mount: str
    jobs: int
    room: Room | None


class Disks:
    """The disks of some destinations, as they were a short while ago."""

    def __init__(self, destinations: Callable[[], Iterable[str]]) -> None:
        """Take what returns the local paths that jobs write to."""
        self._destinations = destinations
        self._asked: dict[str, Future[list[Disk]]] = {}
        self._answers: dict[str, list[Disk]] = {}
        self._looked_at = float("-inf")

    async def now(self) -> tuple[Disk, ...]:
        """Return the disks, the one with the smallest free share first."""
        if time.monotonic() - self._looked_at > FRESH_SECONDS:
            self._looked_at = time.monotonic()
            await self._ask()
        pending = [asyncio.wrap_future(one) for one in self._asked.values() if not one.done()]
        if pending:
            await asyncio.wait(pending, timeout=PATIENCE_SECONDS)
        self._take()
        found = [disk for disks in self._answers.values() for disk in disks]
        return tuple(sorted(found, key=_free_share)[:_MOST_DISKS])

    async def _ask(self) -> None:
        groups = await asyncio.to_thread(_by_mount, tuple(self._destinations()))
        self._answers = {mount: self._answers.get(mount, []) for mount in groups}
        for mount, paths in groups.items():
            if mount not in self._asked and len(self._asked) < _MOST_ASKED:
                self._asked[mount] = _ask_in_thread(paths)
            if not self._answers[mount]:
                self._answers[mount] = [Disk(mount, len(paths), None)]

    def _take(self) -> None:
        for mount, asked in list(self._asked.items()):
            if not asked.done():
                continue
            del self._asked[mount]
            try:
                if mount in self._answers:
                    self._answers[mount] = asked.result()
            except OSError as error:
                _logger.warning("the disk at %s does not tell its room: %s", mount, error)
                self._answers[mount] = [
                    Disk(mount, disk.jobs, None) for disk in self._answers[mount]
                ]


def _ask_in_thread(paths: Sequence[str]) -> Future[list[Disk]]:
    answer: Future[list[Disk]] = Future()

    def look() -> None:
        try:
            answer.set_result(_disks_of(paths))
        except OSError as error:
            answer.set_exception(error)

    # A daemon: one that hangs must not keep the dashboard from ending, as those of a pool do.
    Thread(target=look, name="disk", daemon=True).start()
    return answer


def _by_mount(paths: Sequence[str]) -> dict[str, list[str]]:
    """Group paths by what is mounted above them, as they are written: no disk is touched."""
    mounts = {os.fsdecode(point) for point in mount_points()} | {"/"}
    groups: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        mount = os.path.normpath(path)
        while mount not in mounts:
            mount = os.path.dirname(mount)
        groups[mount].append(path)
    return groups


def _disks_of(paths: Sequence[str]) -> list[Disk]:
    """Return the disks that paths really lie on: a link may lead to another one. Raises OSError."""
    found: dict[int, tuple[str, int]] = {}
    devices: dict[str, tuple[int, str]] = {}
    for path in paths:
        folder = existing_part(os.path.realpath(path))
        if folder not in devices:
            devices[folder] = os.stat(folder).st_dev, folder
        device, example = devices[folder]
        _, jobs = found.get(device, ("", 0))
        found[device] = example, jobs + 1
    return [Disk(_mount_of(folder), jobs, room_of(folder)) for folder, jobs in found.values()]


def _mount_of(folder: str) -> str:
    while not os.path.ismount(folder):
        folder = os.path.dirname(folder)
    return folder


def _free_share(disk: Disk) -> tuple[float, str]:
    share = disk.room.free / disk.room.total if disk.room and disk.room.total else 0.0
    return share, disk.mount
