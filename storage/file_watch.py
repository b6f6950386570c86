"""Notices within two seconds what people do to a file by hand, and has it taken over.

The kernel tells of changes (inotify(7)); where it cannot, the file is looked at every second.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from asyncinotify import Inotify, Mask

from storage.file_events import EDITS, GONE, POLL_SECONDS, QUIET_SECONDS, RETRY_SECONDS

_logger = logging.getLogger(__name__)


class FileWatch:
    """Watches one file of a directory; `take_over` reads it. `run` is its loop."""

    def __init__(
        self, directory: Path, name: str, take_over: Callable[[], Awaitable[object]]
    ) -> None:
        self._directory = directory
        self._name = name
        self._take_over = take_over
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; what fails is logged and tried again."""
        listener = asyncio.create_task(self._listen(), name="file-events")
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(QUIET_SECONDS)
                self._wake.clear()
                try:
                    await self._take_over()
                except Exception:
                    # The loop's boundary: logged, and tried again.
                    _logger.exception("what was changed in %s is not taken over", self._name)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            await self._listen_to_kernel()
        except OSError as error:
            _logger.warning("%s cannot be watched (%s): it is polled", self._name, error)
        # For good: the directory is gone, or the kernel does not tell.
        while True:
            self._wake.set()
            await asyncio.sleep(POLL_SECONDS)

    async def _listen_to_kernel(self) -> None:
        with Inotify() as inotify:
            inotify.add_watch(self._directory, EDITS)
            # What changed before the watch began is not told.
            self._wake.set()
            async for event in inotify:
                if event.mask & GONE and event.name is None:
                    return
                is_its = event.name is not None and os.fspath(event.name) == self._name
                if is_its or event.mask & Mask.Q_OVERFLOW:
                    self._wake.set()
