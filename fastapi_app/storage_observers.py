"""What the stores tell of their files, as events of the error log, and what is over of that."""

from __future__ import annotations

from collections.abc import Callable

from models.error_event import Component
from storage.error_reader import MAX_PAGE
from storage.error_repository import ErrorRepository
from storage.job_faults import CLEARED_BY_MENDING
from storage.job_storage import JobStorage
from storage.settings_store import SettingsObserver


async def settle_mended(error_log: ErrorRepository, jobs: JobStorage) -> None:
    """Resolve what was told of files that were mended or removed while no server ran."""
    damaged = {job.id for job in jobs.damaged()}
    told = await error_log.list_events(component=Component.STORAGE, resolved=False, limit=MAX_PAGE)
    for event in told.items:
        if event.error_type in CLEARED_BY_MENDING and event.job_id not in damaged:
            error_log.settle(error_type=event.error_type, job_id=event.job_id)


def settler(error_log: ErrorRepository) -> Callable[[str, str], None]:
    """Return what settles a type of fault of a job's files."""

    def settle(error_type: str, job_id: str) -> None:
        error_log.settle(error_type=error_type, job_id=job_id)

    return settle


def settings_observer(error_log: ErrorRepository) -> SettingsObserver:
    """Return who tells of a file of settings."""

    def settle(error_type: str) -> None:
        error_log.settle(error_type=error_type, job_id=None)

    return SettingsObserver(error_log.report, settle)
