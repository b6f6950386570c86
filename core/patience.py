"""Asking what file systems may never answer, from the event loop: with patience, and in no thread
that others need (`core/questions.py`)."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TypeVar

from core.mounts import Mounts
from core.questions import AGAIN_SECONDS, PATIENCE_SECONDS, Occupied, Questions, is_folder, reach
from core.real_paths import Touch
from models.errors import NoAnswer

Value = TypeVar("Value")
Look = Callable[[str, Touch], bool]
PAGE_SECONDS = 0.15
"""How long a page waits for one answer that it can do without."""


async def ask(
    questions: Questions, work: Callable[[Touch], Value], *, seconds: float = PATIENCE_SECONDS
) -> Value:
    """Return what the work finds in its thread. Raises what it raises, and NoAnswer."""
    give_up_at, loop = time.monotonic() + seconds, asyncio.get_running_loop()
    while True:
        answered = asyncio.Event()

        def tell(answered: asyncio.Event = answered) -> None:
            with suppress(RuntimeError):  # The loop has ended; nobody wants to know any more.
                loop.call_soon_threadsafe(answered.set)

        try:
            question = questions.begin(work, give_up_at=give_up_at, tell=tell)
            with suppress(TimeoutError):
                async with asyncio.timeout(give_up_at - time.monotonic()):
                    await answered.wait()
            return question.answer()
        except Occupied as error:
            if time.monotonic() > give_up_at:
                raise NoAnswer(error.place) from error
            await asyncio.sleep(AGAIN_SECONDS)


async def answers(questions: Questions, *paths: str) -> None:
    """Return when what these paths lead to answers, so that longer work can begin there. Raises
    NoAnswer."""

    def look(path: str, touch: Touch) -> None:
        reach(path, touch)
        with suppress(OSError):
            os.statvfs(path)  # What its client remembers is no answer of a file server.

    await asyncio.gather(*(ask(questions, partial(look, path)) for path in paths))


async def in_a_thread(work: Callable[[], Value], *, name: str) -> Value:
    """Do blocking work in a thread of its own, however long it takes.

    Not in one of a pool: work that hangs would take a place there, and keep the program from
    ending. Whoever calls this sees to it that few do.
    """
    done: Future[Value] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed on whole to whoever waits
            if done.set_running_or_notify_cancel():
                done.set_exception(error)
        else:
            if done.set_running_or_notify_cancel():
                done.set_result(result)

    Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)


async def there_now(
    questions: Questions, paths: Iterable[str], look: Look = is_folder
) -> dict[str, bool | None]:
    """Return which of these are there now; None of one that gives no answer in time."""
    give_up_at, mounts = time.monotonic() + 2 * PAGE_SECONDS, Mounts()
    groups: dict[bytes, list[str]] = defaultdict(list)
    for path in paths:
        text = os.path.normpath(path)  # noqa: ASYNC240 - looks at the text alone
        groups[mounts.of(text).device].append(path)
    found: dict[str, bool | None] = {}

    async def look_at(group: list[str]) -> None:
        # One after another: those of one disk need its places.
        for path in group:
            left = give_up_at - time.monotonic()
            try:
                work = partial(look, path)
                found[path] = await ask(questions, work, seconds=min(left, PAGE_SECONDS))
            except NoAnswer:
                found[path] = None

    await asyncio.gather(*map(look_at, groups.values()))
    return found
