"""Questions to file systems that may never answer, such as those of a server that is gone.

Each is asked in a thread of its own, which is left alone when it hangs. It tells what it is about
to look at, so that it is known which disk hangs, wherever a link led: on each disk few are asked at
a time, and none while one that was asked before has had no answer for a while.

Standard library only, since the runner imports this; asking from the event loop stands in
`core/patience.py`.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Event, Thread
from typing import Any, Generic, TypeVar

from core.mounts import Disk, Mounts
from core.real_paths import Touch, real_path
from models.errors import NoAnswer

Value = TypeVar("Value")
PATIENCE_SECONDS = 3.0
"""How long an answer is waited for, and how old an unanswered question is before no other one is
asked on that disk."""
MOST_ON_A_DISK = 2
MOST_WAITING = 8
"""So many wait in a thread for their turn on a disk; the others without one."""
MOST = 64
"""So many threads at all: those of a dozen disks that hang leave room for the others."""
AGAIN_SECONDS = 0.02


class Occupied(Exception):
    """There is no place for another thread now: to be asked again."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(place)


class Question(Generic[Value]):
    """One question, and its answer once there is one."""

    def __init__(self, room: Questions, work: Callable[[Touch], Value], give_up_at: float) -> None:
        self.give_up_at = give_up_at
        self.disk: Disk | None = None
        self.touched_at = time.monotonic()
        self.answered = Event()
        self._room = room
        self._work = work
        self._path = "/"
        self._value: list[Value] = []
        self._error: BaseException | None = None

    def answer(self) -> Value:
        """Return it. Raises what the work raised; NoAnswer when it has not come, and then the
        thread ends as soon as it can."""
        if not self.answered.is_set():
            self.give_up_at = 0.0
            # It may have been mounted just now, and have hung from the first.
            disk = Mounts().of(self._path)
            self._room.found_on(self, disk)
            raise NoAnswer(disk.point)
        if self._error is not None:
            raise self._error
        return self._value[0]

    def touch(self, path: str) -> None:
        """Tell what is looked at next. Raises NoAnswer, Occupied."""
        self._path = path
        self._room.go_on(self, self._mounts.of(path))

    def work(self) -> None:
        """Find the answer, in its thread."""
        self._mounts = Mounts()
        try:
            self._value.append(self._work(self.touch))
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: raised for who asked
            self._error = error
        finally:
            self.answered.set()


class Questions:
    """All that are under way, of any thread's."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._on_disk: dict[bytes, list[Question[Any]]] = defaultdict(list)
        self._waiting: Counter[bytes] = Counter()
        self._threads = 0

    @property
    def threads(self) -> int:
        """How many are under way."""
        return self._threads

    def begin(
        self,
        work: Callable[[Touch], Value],
        *,
        give_up_at: float,
        tell: Callable[[], None] = lambda: None,
    ) -> Question[Value]:
        """Ask, until a moment of the monotonic clock; `tell` is called in the thread when there is
        an answer. Raises Occupied."""
        with self._changed:
            if self._threads >= MOST:
                raise Occupied("What was asked before")
            self._threads += 1
        question = Question(self, work, give_up_at)

        def run() -> None:
            try:
                question.work()
            finally:
                self._leave(question)
                tell()

        # A daemon: one that hangs must not keep the program from ending, as those of a pool do.
        Thread(target=run, name="question", daemon=True).start()
        return question

    def ask(
        self,
        work: Callable[[Touch], Value],
        *,
        seconds: float = PATIENCE_SECONDS,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Value:
        """Return the answer; blocking, and for so long at most. `meanwhile` is called many times a
        second while it has not come, and may raise. Raises what the work raises, and NoAnswer."""
        give_up_at = time.monotonic() + seconds
        while True:
            try:
                question = self.begin(work, give_up_at=give_up_at)
                while not question.answered.wait(AGAIN_SECONDS):
                    meanwhile()
                    if time.monotonic() > give_up_at:
                        break
                return question.answer()
            except Occupied as error:
                if time.monotonic() > give_up_at:
                    raise NoAnswer(error.place) from error
                time.sleep(AGAIN_SECONDS)

    def go_on(self, question: Question[Any], disk: Disk) -> None:
        """Let a question look at a disk, in its turn. Raises NoAnswer, Occupied."""
        with self._changed:
            if question.give_up_at < time.monotonic():
                raise NoAnswer(disk.point)  # Nobody waits for it any more.
            if question.disk is None or question.disk.device != disk.device:
                self._forget(question)
                self._take_turn(question, disk)
                self._on_disk[disk.device].append(question)
            question.disk, question.touched_at = disk, time.monotonic()

    def found_on(self, question: Question[Any], disk: Disk) -> None:
        """Take note of where a question hangs."""
        with self._changed:
            if question.disk is not None and not question.answered.is_set():
                self._forget(question)
                self._on_disk[disk.device].append(question)
                question.disk = disk

    def _take_turn(self, question: Question[Any], disk: Disk) -> None:
        while there := self._on_disk.get(disk.device):
            now = time.monotonic()
            silent_at = min(other.touched_at for other in there) + PATIENCE_SECONDS
            if min(silent_at, question.give_up_at) <= now:
                raise NoAnswer(disk.point)
            if len(there) < MOST_ON_A_DISK:
                return
            if self._waiting[disk.device] >= MOST_WAITING:
                raise Occupied(disk.point)
            self._waiting[disk.device] += 1
            try:
                self._changed.wait(min(silent_at, question.give_up_at) - now)
            finally:
                self._waiting[disk.device] -= 1
                self._waiting += Counter()  # Without what is nought.

    def _leave(self, question: Question[Any]) -> None:
        with self._changed:
            self._forget(question)
            self._threads -= 1

    def _forget(self, question: Question[Any]) -> None:
        if question.disk is None:
            return
        there = self._on_disk[question.disk.device]
        there.remove(question)
        if not there:
            del self._on_disk[question.disk.device]
        question.disk = None
        self._changed.notify_all()


def reach(path: str, touch: Touch) -> None:
    """Go where a path leads, so that it is known which disk is asked from then on; what is wrong
    with it whoever asks finds out. Raises what `touch` raises."""
    with suppress(OSError, ValueError):
        real_path(path, touch)


def is_file(path: str, touch: Touch) -> bool:
    """Whether there is a regular file at a path."""
    reach(path, touch)
    return os.path.isfile(path)


def is_folder(path: str, touch: Touch) -> bool:
    """Whether there is a folder at a path."""
    reach(path, touch)
    return os.path.isdir(path)
