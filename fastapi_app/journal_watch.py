"""Hears from the kernel (inotify(7)) which runs have written to their journals, and which have
closed them. What they wrote is nobody's business here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from asyncinotify import Inotify, Mask, Watch

_JOURNAL = "journal.jsonl"
_WRITTEN = Mask.MODIFY | Mask.CLOSE_WRITE
_logger = logging.getLogger(__name__)


class JournalWatch:
    """The journals of the runs that are followed. It listens within `listening`; what is followed
    before that is heard then."""

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        """`path_of` returns the directory of a run."""
        self._path_of = path_of
        self._inotify = Inotify()
        self._watches: dict[str, Watch] = {}
        self._written: set[str] = set()
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._is_closed = False

    def follow(self, run_id: str) -> None:
        """Watch a run's journal; what stands in it already counts as written."""
        self.mark(run_id)
        if self._is_closed:
            return  # The loop has ended; when it begins anew it watches every followed run.
        try:
            path = self._path_of(run_id) / _JOURNAL
            self._watches[run_id] = self._inotify.add_watch(path, _WRITTEN)
        except OSError as error:
            # No watch to be had: the look once a second reads the journal as well.
            _logger.warning("the journal of %s cannot be watched: %s", run_id, error)

    def forget(self, run_id: str) -> None:
        """Watch a run's journal no more."""
        watch = self._watches.pop(run_id, None)
        if watch is None:
            return
        try:
            self._inotify.rm_watch(watch)
        except OSError as error:
            _logger.debug("the watch of %s was gone: %s", run_id, error)

    def mark(self, run_id: str) -> None:
        """Have a run count as one that has written."""
        self._written.add(run_id)
        self._wake.set()

    def wake(self) -> None:
        """Have who waits for what is written come round at once."""
        self._wake.set()

    async def written(self, seconds: float | None) -> set[str]:
        """Wait for runs that wrote, and return them; no longer than this, None for as long as it
        takes. None of them when it was woken, or the time is up."""
        try:
            async with asyncio.timeout(None if seconds is None else max(0.0, seconds)):
                await self._wake.wait()
        except TimeoutError:
            return set()
        self._wake.clear()
        written, self._written = self._written, set()
        return written

    async def rest(self, seconds: float) -> None:
        """Rest for so long, or until a runner closes its journal: its run is over."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._closed.wait()
        except TimeoutError:
            return
        self._closed.clear()

    @asynccontextmanager
    async def listening(self, run_ids: Iterable[str]) -> AsyncIterator[None]:
        """Listen within; these runs are those that are followed. May be entered again."""
        if self._is_closed:
            self._is_closed, self._inotify = False, Inotify()
            for run_id in run_ids:
                self.follow(run_id)
        listener = asyncio.create_task(self._listen(), name="journal-watch")
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            self._inotify.close()
            self._watches.clear()
            self._is_closed = True

    async def _listen(self) -> None:
        async for event in self._inotify:
            # A journal that is forgotten, or gone, ends with an event of its own.
            if event.path is not None and event.mask & _WRITTEN:
                self.mark(event.path.parent.name)
            if event.mask & Mask.CLOSE_WRITE:
                self._closed.set()
