"""How much room the disks have that the jobs' local destinations lie on.

Asking a disk may take for ever when it hangs on a network (core/questions.py): nobody waits for it
longer than a moment. One that gives no answer is shown as it last was, and since when.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from core.error_recovery import Degradation
from core.mounts import mount_points
from core.patience import ask
from core.preflight_space import Room, existing_part, room_of
from core.questions import Questions, reach
from core.real_paths import Touch
from core.recovery_states import OnChange
from models.errors import NoAnswer
from utils.timestamps import utc_timestamp

FRESH_SECONDS = 30.0
"""How old an answer may be that is shown without asking again."""
PATIENCE_SECONDS = 0.25
"""How long a page waits for answers; what comes later is there for the next one."""
PREFIX = "disk "
"""Before the mount in the name of its degradation."""
HANGS_SECONDS = 5.0
"""After that a disk counts as one that gives no answer."""
_MOST_ASKED = 8
"""How many disks may owe an answer at a time."""
_MOST_DISKS = 50
_logger = logging.getLogger(__name__)


class Disk(NamedTuple):
    """A disk by where it is mounted; `room` is None when it has never answered. When it does not
    answer any more, `as_of` is when it last did (UTC, ISO 8601)."""

    mount: str
    jobs: int
    room: Room | None
    as_of: str | None = None


class Disks:
    """The disks of some destinations, as they were a short while ago."""

    def __init__(
        self,
        destinations: Callable[[], Iterable[str]],
        *,
        questions: Questions | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Take what returns the local paths that jobs write to."""
        self._questions = questions or Questions()
        self._destinations = destinations
        self._on_change = on_change
        self._asked: dict[str, asyncio.Future[list[Disk]]] = {}
        self._groups: dict[str, list[str]] = {}
        self._answers: dict[str, list[Disk]] = {}
        self._answered_at: dict[str, str] = {}
        self._silent: dict[str, Degradation] = {}
        self._looked_at = float("-inf")

    async def now(self) -> tuple[Disk, ...]:
        """Return the disks, the one with the smallest free share first."""
        if time.monotonic() - self._looked_at > FRESH_SECONDS:
            self._looked_at = time.monotonic()
            await self._look()
        pending = [one for one in self._asked.values() if not one.done()]
        if pending:
            await asyncio.wait(pending, timeout=PATIENCE_SECONDS)
        self._take()
        found = [disk for mount in self._answers for disk in self._shown(mount)]
        return tuple(sorted(found, key=_free_share)[:_MOST_DISKS])

    async def look_again(self) -> None:
        """Ask those anew that gave no answer: they are told of no more as soon as they do."""
        for mount in tuple(self._silent):
            self._ask(mount)

    async def _look(self) -> None:
        self._groups = await asyncio.to_thread(_by_mount, tuple(self._destinations()))
        for mount in self._answers.keys() - self._groups.keys():
            self._answered_at.pop(mount, None)
            self._note_answer(mount)  # No job writes there any more.
        self._answers = {mount: self._answers.get(mount, []) for mount in self._groups}
        for mount, paths in self._groups.items():
            self._ask(mount)
            if not self._answers[mount]:
                self._answers[mount] = [Disk(mount, len(paths), None)]

    def _ask(self, mount: str) -> None:
        if mount in self._asked or len(self._asked) >= _MOST_ASKED or mount not in self._groups:
            return
        look = partial(_look_at, self._groups[mount])
        asked = asyncio.create_task(ask(self._questions, look, seconds=HANGS_SECONDS), name="disk")
        self._asked[mount] = asked

        def answered(answer: asyncio.Future[list[Disk]]) -> None:
            if not answer.cancelled():
                answer.exception()  # Told by _take, and not once more by the loop.
                self._take()

        # Taken when it comes, and not only when somebody looks: what was told of it is over then.
        asked.add_done_callback(answered)

    def _take(self) -> None:
        for mount, asked in list(self._asked.items()):
            if not asked.done():
                continue
            del self._asked[mount]
            if mount not in self._answers:
                continue
            try:
                self._answers[mount] = asked.result()
            except NoAnswer:
                self._degradation(mount).failed(f"no answer within {HANGS_SECONDS:g} seconds")
            except OSError as error:
                _logger.warning("the disk at %s does not tell its room: %s", mount, error)
                self._degradation(mount).failed(error.strerror or str(error))
            else:
                self._answered_at[mount] = utc_timestamp()
                self._note_answer(mount)

    def _shown(self, mount: str) -> list[Disk]:
        """Return the disks of a mount, each as it last was when it gives no answer now."""
        if mount not in self._silent:
            return self._answers[mount]
        as_of = self._answered_at.get(mount)
        return [disk._replace(as_of=as_of) for disk in self._answers[mount]]

    def _note_answer(self, mount: str) -> None:
        silent = self._silent.pop(mount, None)
        if silent is not None:
            silent.clear()

    def _degradation(self, mount: str) -> Degradation:
        if mount not in self._silent:
            self._silent[mount] = Degradation(f"{PREFIX}{mount}", on_change=self._on_change)
        return self._silent[mount]


def _look_at(paths: Sequence[str], touch: Touch) -> list[Disk]:
    for path in paths:
        reach(path, touch)
    return _disks_of(paths)


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
