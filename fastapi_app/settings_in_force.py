"""How settings come to be in force: what they mean for each part, at the start and when they
change."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from core.job_manager import JobManager
from core.new_run import RunLimits
from core.rclone_remotes import RcloneRemotes
from fastapi_app.background import Monitor
from fastapi_app.security import KnownHosts
from models.errors import LongshoreError
from models.setting_facts import SAVED
from storage.settings_store import SettingsStore

_BYTES_PER_MEGABYTE = 1_000_000
_KEPT = ("kept_runs_per_job", "kept_run_days")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reach:
    """The parts that go by settings which change while they run."""

    manager: JobManager
    monitor: Monitor
    remotes: RcloneRemotes
    hosts: KnownHosts


def limits_of(store: SettingsStore) -> RunLimits:
    """Return the limits of runs as they are now.

    While it is not known what was saved, no run is removed for being old: the person may have
    wanted to keep more than the default.
    """
    now = store.in_force
    kept = {name: getattr(now, name) for name in _KEPT}
    if store.is_lost:
        kept |= {name: SAVED[name].maximum for name in _KEPT if name not in store.decided}
    return RunLimits(
        max_concurrent_runs=now.max_concurrent_runs,
        stop_grace_seconds=now.stop_grace_seconds,
        max_log_bytes=int(now.max_log_megabytes * _BYTES_PER_MEGABYTE),
        kept_runs_per_job=int(kept["kept_runs_per_job"]),
        kept_run_days=kept["kept_run_days"],
        resume_interrupted=now.resume_interrupted,
        rclone_config=str(now.rclone_config) if now.rclone_config else None,
    )


async def put_in_force(store: SettingsStore, reach: Reach) -> None:
    """Have every part go by the settings as they are now."""
    limits = limits_of(store)
    reach.hosts.replace(store.in_force.extra_hosts)
    reach.monitor.grace_seconds = limits.stop_grace_seconds
    reach.remotes.config = limits.rclone_config
    try:
        await reach.manager.use_limits(limits)
    except LongshoreError as error:
        # The monitor tries every second to start what waits.
        _logger.error("queued runs did not start with the new settings: %s", error)
