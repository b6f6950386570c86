"""Forgets, once an hour, what the settings do not keep: old runs with their directories, and what
lies in the trash folders of sources for longer than their jobs want."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from core.deleted_sources import DeletedSources, Emptied
from core.job_manager import JobManager
from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity

_FIRST_SECONDS = 60.0
"""Not right at the start, when whoever waits for a page comes first."""
_INTERVAL_SECONDS = 3600.0
_FAILED = "HousekeepingFailed"
_TRASH_STAYS = "TrashStays"
_MOST_TOLD = 5
_logger = logging.getLogger(__name__)


class Forgets(Protocol):
    """A log that is kept for a while."""

    async def forget_old(self) -> None:
        """Forget what is kept no longer. Raises StorageFailed."""


async def tidy_for_ever(
    manager: JobManager, deleted_sources: DeletedSources, error_log: ErrorLog, audit_log: Forgets
) -> None:
    """Tidy until cancelled; what fails is told, and tried again an hour later."""
    await asyncio.sleep(_FIRST_SECONDS)
    while True:
        await tidy(manager, deleted_sources, error_log, audit_log)
        await asyncio.sleep(_INTERVAL_SECONDS)


async def tidy(
    manager: JobManager, deleted_sources: DeletedSources, error_log: ErrorLog, audit_log: Forgets
) -> None:
    """Tidy once; what fails is told."""
    try:
        count = await manager.cleanup_stopped_engines()
        emptied = await deleted_sources.empty_trash()
        await error_log.forget_old()
        await audit_log.forget_old()
    except Exception as error:
        _logger.exception("tidying failed")
        error_log.report(
            Fault(
                severity=Severity.MEDIUM,
                component=Component.JOB_MANAGER,
                error_type=_FAILED,
                message="Old runs, errors, entries of the audit log and trash could not be removed "
                f"({type(error).__name__}: {error}).",
            )
        )
        return
    error_log.settle(error_type=_FAILED, job_id=None)
    if count:
        _logger.info("%d old runs were removed", count)
    _tell_of_trash(emptied, error_log)


def _tell_of_trash(emptied: Emptied, error_log: ErrorLog) -> None:
    if emptied.runs:
        _logger.info("the trash folders of %d runs were emptied", emptied.runs)
    if not emptied.faults:
        error_log.settle(error_type=_TRASH_STAYS, job_id=None)
        return
    error_log.report(
        Fault(
            severity=Severity.MEDIUM,
            component=Component.JOB_MANAGER,
            error_type=_TRASH_STAYS,
            message="Trash folders of deleted sources could not be emptied; it is tried again "
            f"every hour. {' '.join(emptied.faults[:_MOST_TOLD])}",
        )
    )
