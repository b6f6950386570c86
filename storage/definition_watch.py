"""Notices within two seconds what people do to job files by hand, and has the store take it over.

The kernel tells of changes (inotify(7)); where it cannot, the directory is looked at once a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from asyncinotify import Inotify, Mask

from models.errors import LongshoreError
from storage.file_events import EDITS, GONE, POLL_SECONDS, QUIET_SECONDS, RETRY_SECONDS
from storage.job_storage import JobStorage

_MANY = 2
"""When so many jobs vanish at once and none is left, a disk may be gone rather than a file."""
_SUFFIX = ".yaml"
_Signature = dict[str, tuple[int, int, int]]
_logger = logging.getLogger(__name__)


class DefinitionWatch:
    """Watches the definitions of one store. `run` is its loop."""

    def __init__(self, store: JobStorage) -> None:
        self._store = store
        self._directory = store.jobs_directory
        self._waiting: set[str] = set()
        self._looks_at_all = False
        self._wake = asyncio.Event()
        self.is_running = False
        self.failed_steps = 0

    async def run(self) -> None:
        """Watch until cancelled; a failing step is logged and counted, and is tried again."""
        listener = asyncio.create_task(self._listen(), name="definition-events")
        self.is_running = True
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(QUIET_SECONDS)
                self._wake.clear()
                await self._take_over()
        finally:
            self.is_running = False
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _take_over(self) -> None:
        job_ids, self._waiting = self._waiting, set()
        wanted = None if self._looks_at_all else sorted(job_ids)
        self._looks_at_all = False
        failed: set[str] = set()
        before = len(self._store.snapshot())
        try:
            changed = await self._store.changed_on_disk(wanted)
        except LongshoreError as error:
            self._note_failure(error)
            self._looks_at_all = self._looks_at_all or wanted is None
            self._try_later(job_ids)
            return
        for job_id in changed:
            try:
                await self._store.reconcile(job_id)
            except Exception as error:  # noqa: BLE001 - the loop's boundary: logged and counted
                self._note_failure(error)
                failed.add(job_id)
        if failed:
            self._try_later(failed)
        if before >= _MANY and not self._store.snapshot():
            self._store.report_all_missing(before)

    def _try_later(self, job_ids: Iterable[str]) -> None:
        self._waiting.update(job_ids)
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)

    def _note_failure(self, error: Exception) -> None:
        self.failed_steps += 1
        _logger.error("a change of the job files could not be taken over", exc_info=error)

    async def _listen(self) -> None:
        try:
            await self._listen_to_kernel()
        except OSError as error:
            _logger.warning("the job files cannot be watched (%s): they are polled", error)
        # For good: the directory is gone, or the kernel does not tell.
        await self._poll()

    async def _listen_to_kernel(self) -> None:
        with Inotify() as inotify:
            inotify.add_watch(Path(self._directory), EDITS)
            # What changed before the watch began is not told.
            self._look_at_all()
            async for event in inotify:
                if event.mask & GONE:
                    return
                if event.mask & Mask.Q_OVERFLOW:
                    self._look_at_all()
                elif event.name is not None:
                    self._note(os.fspath(event.name))

    async def _poll(self) -> None:
        before: _Signature | None = None
        while True:
            now = await asyncio.to_thread(_signature, self._directory)
            if before is None:
                self._look_at_all()
            else:
                for name, _ in now.items() ^ before.items():
                    self._note(name)
            before = now
            await asyncio.sleep(POLL_SECONDS)

    def _note(self, name: str) -> None:
        if name.endswith(_SUFFIX) and not name.startswith("."):
            self._waiting.add(name.removesuffix(_SUFFIX))
            self._wake.set()

    def _look_at_all(self) -> None:
        self._looks_at_all = True
        self._wake.set()


def _signature(directory: str) -> _Signature:
    found: _Signature = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    facts = entry.stat()
                    found[entry.name] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    except OSError as error:
        _logger.warning("the job files cannot be listed: %s", error)
    return found
