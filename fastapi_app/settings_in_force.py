"""How settings come to be in force: what they mean for each part, at the start and when they
change."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.allowed_roots import Roots
from core.job_manager import JobManager
from core.new_run import RunLimits
from core.rclone_remotes import RcloneRemotes
from fastapi_app.background import Monitor
from fastapi_app.security import KnownHosts
from models.error_query import KeptErrors
from models.errors import LongshoreError, NoAnswer, StorageFailed
from models.setting_facts import SAVED
from storage.audit_repository import AuditRepository
from storage.error_repository import ErrorRepository
from storage.job_storage import JobStorage
from storage.settings_store import SettingsStore

_BYTES_PER_MEGABYTE = 1_000_000
_KEPT_ERRORS = ("kept_errors", "kept_error_days")
_ROOTS = "allowed_roots"
_KEPT_AUDIT = ("kept_audit_days",)
_KEPT = ("kept_runs_per_job", "kept_run_days")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reach:
    """The parts that go by settings which change while they run."""

    manager: JobManager
    monitor: Monitor
    remotes: RcloneRemotes
    hosts: KnownHosts
    error_log: ErrorRepository
    jobs: JobStorage
    audit_log: AuditRepository


def limits_of(store: SettingsStore) -> RunLimits:
    """Return the limits of runs as they are now.

    While it is not known what was saved, no run is removed for being old: the person may have
    wanted to keep more than the default.
    """
    now = store.in_force
    kept = _kept(store, _KEPT)
    return RunLimits(
        max_concurrent_runs=now.max_concurrent_runs,
        stop_grace_seconds=now.stop_grace_seconds,
        max_log_bytes=int(now.max_log_megabytes * _BYTES_PER_MEGABYTE),
        kept_runs_per_job=int(kept["kept_runs_per_job"]),
        kept_run_days=float(kept["kept_run_days"]),
        resume_interrupted=now.resume_interrupted,
        rclone_config=str(now.rclone_config) if now.rclone_config else None,
        allowed_roots=roots_of(store),
        data_dir=str(store.directory),
    )


def roots_of(store: SettingsStore) -> Roots:
    """Return the allowed folders as they are now.

    While it is not known what was saved, nobody knows them either: the default, which allows
    everything, may be the opposite of what the person wanted.
    """
    if store.may_have_lost(_ROOTS) and _ROOTS not in store.decided:
        return None
    return store.in_force.root_folders


def kept_errors_of(store: SettingsStore) -> KeptErrors:
    """Return how much of the error log is kept as it is now; with as much care as of runs."""
    kept = _kept(store, _KEPT_ERRORS)
    return KeptErrors(float(kept["kept_error_days"]), int(kept["kept_errors"]))


def kept_audit_days_of(store: SettingsStore) -> float:
    """Return for how many days the audit log is kept as it is now; with as much care as runs."""
    return float(_kept(store, _KEPT_AUDIT)["kept_audit_days"])


def _kept(store: SettingsStore, names: Iterable[str]) -> dict[str, Any]:
    kept = {name: getattr(store.in_force, name) for name in names}
    if store.is_lost:
        kept |= {name: SAVED[name].maximum for name in names if name not in store.decided}
    return kept


async def put_in_force(store: SettingsStore, reach: Reach) -> None:
    """Have every part go by the settings as they are now."""
    limits = limits_of(store)
    has_other_roots = limits.allowed_roots != reach.manager.allowed_roots
    reach.hosts.replace(store.in_force.extra_hosts)
    reach.monitor.grace_seconds = limits.stop_grace_seconds
    reach.remotes.config = limits.rclone_config
    try:
        await reach.manager.use_limits(limits)
    except LongshoreError as error:
        # The monitor tries every second to start what waits.
        _logger.error("queued runs did not start with the new settings: %s", error)
    if has_other_roots:
        await look_at_refused(reach.jobs)
    reach.audit_log.kept_days = kept_audit_days_of(store)
    kept_errors = kept_errors_of(store)
    if kept_errors != reach.error_log.kept:
        reach.error_log.kept = kept_errors
        try:
            await reach.error_log.forget_old()
        except StorageFailed as error:
            # With the next fault, or within the hour.
            _logger.error("old errors are not forgotten by the new settings yet: %s", error)


async def look_at_refused(jobs: JobStorage) -> None:
    """Take over what people wrote into definitions and other allowed folders had refused."""
    # The next edit, or the next start, finds those that could not be.
    try:
        changed = await jobs.changed_on_disk()
    except StorageFailed as error:
        _logger.error("refused definitions were not looked at again: %s", error)
        return
    for job_id in changed:
        try:
            await jobs.reconcile(job_id)
        except (NoAnswer, StorageFailed) as error:
            _logger.error("the definition of %s was not looked at again: %s", job_id, error)
