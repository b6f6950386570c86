"""That the storage fails: one event, a note on every page at once, until it works again.

The note stands in memory: the database may be what does not answer. It gives way to the banner of
the event as soon as the error log has that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import text

from core.ports import ErrorLog
from fastapi_app.moments import moment
from fastapi_app.recovery_events import Note
from models.error_event import Component, Fault, Severity
from models.errors import FileFailed, SaveOutcomeUnknown, StorageBusy, StorageFailed
from storage.database import Database
from utils.timestamps import utc_timestamp

STORAGE_FAILING = "StorageFailing"
PROBE_SECONDS = 1.0
"""How often is tried whether it works again. Nothing is tried while nothing fails."""
_PROBE_BYTES = 64 * 1024
_NOTHING = text("DELETE FROM error_events WHERE 0")
_logger = logging.getLogger(__name__)


def _nobody() -> None:
    """Nobody shows it yet."""


class StorageWatch:
    """Tells the error log and every page that changes cannot be kept. `run` is its loop."""

    def __init__(self, error_log: ErrorLog, probe: Callable[[], Awaitable[None]]) -> None:
        """`probe` writes something, and raises StorageFailed when that fails."""
        self._error_log = error_log
        self._probe = probe
        self._fault: Fault | None = None
        self._since = ""
        self._is_told = False
        self._wake = asyncio.Event()
        self.on_change: Callable[[], None] = _nobody
        self.on_works_again: Callable[[], None] = _nobody

    def failed(self, error: StorageFailed) -> None:
        """Something could not be kept; returns at once."""
        if isinstance(error, (SaveOutcomeUnknown, FileFailed)):
            return  # The store tells the one by itself; the other says nothing of the disk.
        fault = _fault(error)
        if self._fault is None:
            self._since, self._is_told = utc_timestamp(), False
        self._fault = fault
        self._error_log.report(fault)
        self._wake.set()
        self.on_change()

    def notes(self) -> tuple[Note, ...]:
        """Return what is to be said on every page beside the events."""
        if self._fault is None or self._is_told:
            return ()
        return (Note(self._fault.message, moment(self._since)),)

    async def run(self) -> None:
        """Try again while it fails, until cancelled."""
        self._error_log.settle(error_type=STORAGE_FAILING, job_id=None)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._fault is not None:
                await self._look_whether_told()
                await asyncio.sleep(PROBE_SECONDS)
                await self._try_again()

    async def _look_whether_told(self) -> None:
        if self._is_told:
            return
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._error_log.flush()
                page = await self._error_log.list_events(
                    component=Component.STORAGE, resolved=False
                )
        except (TimeoutError, StorageFailed):
            return
        self._is_told = any(event.error_type == STORAGE_FAILING for event in page.items)
        if self._is_told:
            self.on_change()

    async def _try_again(self) -> None:
        try:
            await self._probe()
        except StorageFailed as error:
            _logger.warning("the storage still fails: %s", error)
            return
        fault, self._fault = self._fault, None
        if fault is not None and not self._is_told:
            # The log may have given it up meanwhile. If not, it is the same one, counted.
            self._error_log.report(fault)
        self._error_log.settle(error_type=STORAGE_FAILING, job_id=None)
        self.on_works_again()
        self.on_change()


def storage_probe(database: Database, data_dir: Path) -> Callable[[], Awaitable[None]]:
    """Return what tries whether the data directory and the database can be written to."""

    async def probe() -> None:
        try:
            await asyncio.to_thread(_write_to, data_dir)
        except OSError as error:
            raise StorageFailed("Writing to the data directory", _reason(error)) from error
        await database.write(lambda connection: connection.execute(_NOTHING))

    return probe


def _write_to(directory: Path) -> None:
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(os.urandom(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _fault(error: StorageFailed) -> Fault:
    is_busy = isinstance(error, StorageBusy)
    what = (
        "Another program holds the database: changes cannot be kept until it lets go."
        if is_busy
        else f"Changes cannot be kept: {error.reason}. Make sure that the disk of the data "
        "directory has room and can be written to."
    )
    return Fault(
        severity=Severity.HIGH if is_busy else Severity.CRITICAL,
        component=Component.STORAGE,
        error_type=STORAGE_FAILING,
        message=what,
        details={"what": error.what, "reason": error.reason},
    )
