"""Forgets, once an hour, what the settings do not keep: old runs with their directories, and what
lies in the trash folders of sources for longer than their jobs want."""

from __future__ import annotations

import asyncio
import logging

from core.deleted_sources import DeletedSources
from core.job_manager import JobManager
from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity

_FIRST_SECONDS = 60.0
"""Not right at the start, when whoever waits for a page comes first."""
_INTERVAL_SECONDS = 3600.0
_FAILED = "HousekeepingFailed"
_logger = logging.getLogger(__name__)


async def tidy_for_ever(
    manager: JobManager, deleted_sources: DeletedSources, error_log: ErrorLog
) -> None:
    """Tidy until cancelled; what fails is told, and tried again an hour later."""
    await asyncio.sleep(_FIRST_SECONDS)
    while True:
        try:
            count = await manager.cleanup_stopped_engines()
            emptied = await deleted_sources.empty_trash()
        except Exception as error:
            _logger.exception("tidying failed")
            error_log.report(
                Fault(
                    severity=Severity.MEDIUM,
                    component=Component.JOB_MANAGER,
                    error_type=_FAILED,
                    message="Old runs and trash could not be removed "
                    f"({type(error).__name__}: {error}).",
                )
            )
        else:
            error_log.settle(error_type=_FAILED, job_id=None)
            if count:
                _logger.info("%d old runs were removed", count)
            if emptied:
                _logger.info("the trash folders of %d runs were emptied", emptied)
        await asyncio.sleep(_INTERVAL_SECONDS)
