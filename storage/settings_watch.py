"""Notices within two seconds what people do to settings.yaml by hand, and has it taken over.

The kernel tells of changes (inotify(7)); where it cannot, the file is looked at every second.
"""

from __future__ import annotations

import asyncio
import logging
import os

from asyncinotify import Inotify, Mask

from storage.file_events import EDITS, GONE, POLL_SECONDS, QUIET_SECONDS, RETRY_SECONDS
from storage.settings_document import SETTINGS_NAME
from storage.settings_store import SettingsStore

_logger = logging.getLogger(__name__)


class SettingsWatch:
    """Watches the settings of one store. `run` is its loop."""

    def __init__(self, store: SettingsStore) -> None:
        self._store = store
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; what fails is logged and tried again."""
        listener = asyncio.create_task(self._listen(), name="settings-events")
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(QUIET_SECONDS)
                self._wake.clear()
                try:
                    await self._store.reconcile()
                except Exception:
                    # The loop's boundary: logged, and tried again.
                    _logger.exception("settings changed by hand are not taken over")
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake.set)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            await self._listen_to_kernel()
        except OSError as error:
            _logger.warning("settings.yaml cannot be watched (%s): it is polled", error)
        # For good: the directory is gone, or the kernel does not tell.
        while True:
            self._wake.set()
            await asyncio.sleep(POLL_SECONDS)

    async def _listen_to_kernel(self) -> None:
        with Inotify() as inotify:
            inotify.add_watch(self._store.directory, EDITS)
            # What changed before the watch began is not told.
            self._wake.set()
            async for event in inotify:
                if event.mask & GONE and event.name is None:
                    return
                is_its = event.name is not None and os.fspath(event.name) == SETTINGS_NAME
                if is_its or event.mask & Mask.Q_OVERFLOW:
                    self._wake.set()
