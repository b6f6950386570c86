"""What is looked at to tell how each part is, and the answer that becomes of it.

By which rules a part is healthy or not stands in models/health.py.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.access.registry import Access
from core.health import Finding, Findings, HealthBoard, Look, hung
from core.helper_tools import HelperTools
from core.job_queries import JobQueries
from core.overdue import OverdueJobs
from core.patience import in_a_thread
from core.recovery_states import BREAKER, DEGRADATION, RETRY
from core.tools import LocalTools, Tool
from fastapi_app.background import Monitor
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.rendering import VERSION
from fastapi_app.websocket.hub import Hub
from models.error_event import Severity
from models.errors import StorageFailed
from models.health import (
    DONE_WITHOUT,
    LEFT_ALONE,
    LOW_DISK_BYTES,
    LOW_DISK_INODES,
    OVERDUE_JOBS,
    TRIED_AGAIN,
    Components,
    Condition,
    DatabaseHealth,
    DiskHealth,
    EnginesHealth,
    ErrorTrackingHealth,
    Health,
    MonitorHealth,
    Part,
    PartHealth,
    Readiness,
    Reason,
    StorageHealth,
    ToolsHealth,
    status_for,
    worst,
)
from storage.database import Database
from storage.database_probe import ProbeAnswer, Trouble, probe_database
from storage.error_counts import unresolved
from storage.error_repository import ErrorRepository
from storage.job_files import STATES_DIRECTORY
from storage.job_storage import JobStorage
from storage.layout import DATABASE_NAME
from storage.settings_store import SettingsStore
from utils.durable_file import TEMPORARY_PREFIX, remove_file, replace_file

_BEAT_SECONDS = 0.3
"""How long the monitor may take to come round; it rests a tenth of a second between two turns."""
_LONG_TURN_SECONDS = 1.0
"""A turn of the monitor that has work to do may last as long."""
_ASKING_SECONDS = 5.0
"""How long tools may take to tell their versions before that is a fault; at the start they do."""
_PROBE = f"{STATES_DIRECTORY}/{TEMPORARY_PREFIX}health"
"""Where the next start removes what a crash left of it."""
_MODELS: Mapping[Part, type[PartHealth]] = {
    Part.STORAGE: StorageHealth,
    Part.DATABASE: DatabaseHealth,
    Part.MONITOR: MonitorHealth,
    Part.ENGINES: EnginesHealth,
    Part.ERROR_TRACKING: ErrorTrackingHealth,
    Part.DISK: DiskHealth,
    Part.TOOLS: ToolsHealth,
}
_CONDITION_OF_KIND = {LEFT_ALONE: BREAKER, DONE_WITHOUT: DEGRADATION, TRIED_AGAIN: RETRY}
_DATABASE_REASONS = {
    Trouble.FULL: Reason.NO_ROOM,
    Trouble.READ_ONLY: Reason.READ_ONLY,
    Trouble.DAMAGED: Reason.DAMAGED,
    Trouble.OTHER: Reason.WRITE_FAILED,
}


@dataclass(frozen=True)
class Parts:
    """What the checks look at."""

    data_dir: Path
    jobs: JobStorage
    settings: SettingsStore
    access: Access
    database: Database
    error_log: ErrorRepository
    monitor: Monitor
    hub: Hub
    tools: LocalTools
    queries: JobQueries


def health_board(parts: Parts) -> HealthBoard:
    """Return the checks of all parts."""
    return HealthBoard(
        {
            Part.STORAGE: partial(_storage, parts),
            Part.DATABASE: DatabaseLook(parts.database, parts.data_dir / DATABASE_NAME).look,
            Part.MONITOR: MonitorLook(parts.monitor, parts.hub).look,
            Part.ENGINES: EnginesLook(parts.tools).look,
            Part.ERROR_TRACKING: partial(_error_tracking, parts),
            Part.DISK: partial(_disk, parts.data_dir),
            Part.TOOLS: _tools_look(parts.queries),
        },
        {
            Part.STORAGE: partial(_storage_figures, parts),
            Part.ERROR_TRACKING: partial(_error_figures, parts.error_log),
        },
    )


def contribute_conditions(
    board: HealthBoard, overdue: OverdueJobs, recovery: RecoveryEvents
) -> None:
    """Have a board count the overdue jobs, and what is not at rest among the strategies for faults
    that pass."""

    def of_kind(name: str, kind: str) -> Condition:
        return Condition(name=name, count=sum(one.kind == kind for one in recovery.states()))

    board.contribute(lambda: Condition(name=OVERDUE_JOBS, count=len(overdue.now())))
    for name, kind in _CONDITION_OF_KIND.items():
        board.contribute(partial(of_kind, name, kind))


def health_of(found: Findings) -> Health:
    """Return the answer of GET /health."""
    components = Components.model_validate(
        {part.value: _component(part, finding) for part, finding in found.parts.items()}
    )
    statuses = [status_for(part, finding.reasons) for part, finding in found.parts.items()]
    return Health(
        status=worst([*statuses, *(one.status for one in found.conditions)]),
        timestamp=found.at,
        version=VERSION,
        components=components,
        conditions=found.conditions,
    )


def readiness_of(health: Health) -> Readiness:
    """Return the answer of GET /health/ready."""
    needed = {Part.STORAGE: health.components.storage, Part.DATABASE: health.components.database}
    unusable = tuple(part for part, one in needed.items() if one.status == "unhealthy")
    return Readiness(status="not_ready" if unusable else "ready", unusable=unusable)


def _component(part: Part, finding: Finding) -> PartHealth:
    return _MODELS[part].model_validate(
        {
            **finding.figures,
            "status": status_for(part, finding.reasons),
            "reasons": finding.reasons,
            "detail": finding.detail,
            "hung_seconds": finding.hung_seconds,
        }
    )


def _storage_figures(parts: Parts) -> dict[str, Any]:
    return {
        "jobs": len(parts.jobs.snapshot()),
        "damaged_jobs": len(parts.jobs.damaged()),
        "settings": "usable" if parts.settings.damage is None else "damaged",
        "access": "usable" if parts.access.damage is None else "damaged",
    }


async def _storage(parts: Parts) -> Finding:
    figures = _storage_figures(parts)
    reasons = [Reason.JOBS_DAMAGED] * (figures["damaged_jobs"] > 0)
    reasons += [Reason.SETTINGS_DAMAGED] * (figures["settings"] == "damaged")
    reasons += [Reason.ACCESS_DAMAGED] * (figures["access"] == "damaged")
    try:
        seconds = await in_a_thread(partial(_write_durably, parts.data_dir), name="health-storage")
    except OSError as error:
        words = os.strerror(error.errno or 0)
        return Finding(figures, (Reason.WRITE_FAILED, *reasons), words)
    return Finding({**figures, "write_seconds": seconds}, tuple(reasons))


def _write_durably(directory: Path) -> float:
    began = time.monotonic()
    replace_file(directory / _PROBE, b"Longshore looks whether it can write here.\n")
    remove_file(directory / _PROBE)
    return round(time.monotonic() - began, 4)


class DatabaseLook:
    """Writes and reads the database, and tells another program's lock from a slow write."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path
        self._was_locked = False

    async def look(self) -> Finding:
        """Return how the database is."""
        may_be_own = self._database.is_writing
        answer = await in_a_thread(partial(probe_database, self._path), name="health-database")
        reason = self._reason(answer, may_be_own=may_be_own or self._database.is_writing)
        self._was_locked = reason is Reason.LOCKED
        if reason is not None:
            return Finding(reasons=(reason,), detail=answer.detail)
        return Finding(
            {"schema_version": answer.schema_version, "write_seconds": round(answer.seconds, 4)}
        )

    def _reason(self, answer: ProbeAnswer, *, may_be_own: bool) -> Reason | None:
        if answer.trouble is None:
            return None
        if answer.trouble is not Trouble.LOCKED:
            return _DATABASE_REASONS[answer.trouble]
        # A write of ours may hold the lock, or wait for whoever does: then it fails at last.
        is_foreign = not may_be_own or self._was_locked or self._database.failed_writes > 0
        return Reason.LOCKED if is_foreign else Reason.BUSY


class MonitorLook:
    """Has the monitor come round once, to see that it still does."""

    def __init__(self, monitor: Monitor, hub: Hub) -> None:
        self._monitor = monitor
        self._hub = hub
        self._silent_since: float | None = None

    async def look(self) -> Finding:
        """Return how the monitor is."""
        monitor = self._monitor
        is_heard = monitor.is_running and await self._hears()
        figures = {
            "followed_runs": monitor.followed_count,
            "failed_steps": monitor.faults.failed_steps,
            "clients": self._hub.client_count,
            "last_turn_seconds": round(monitor.last_turn_seconds, 3),
        }
        if not monitor.is_running:
            return Finding(figures, (Reason.ENDED,))
        turn_seconds = monitor.turn_seconds
        if is_heard or (turn_seconds is not None and turn_seconds < _LONG_TURN_SECONDS):
            self._silent_since = None
            return Finding(figures)
        if self._silent_since is None:
            self._silent_since = time.monotonic() - max(_BEAT_SECONDS, turn_seconds or 0.0)
        return hung(time.monotonic() - self._silent_since, **figures)

    async def _hears(self) -> bool:
        try:
            async with asyncio.timeout(_BEAT_SECONDS):
                await self._monitor.beat()
        except TimeoutError:
            return False
        return True


class EnginesLook:
    """Tells which engines have their tools; versions are asked beside it, and remembered."""

    def __init__(self, tools: LocalTools) -> None:
        self._tools = tools
        self._asking: asyncio.Task[tuple[Tool, ...]] | None = None
        self._asking_since = 0.0
        self._known: tuple[Tool, ...] | None = None

    async def look(self) -> Finding:
        """Return how the engines are, as last known while their tools take their time."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._tools.all(), name="health-tools")
            self._asking_since = time.monotonic()
        await asyncio.wait({self._asking}, timeout=_BEAT_SECONDS)
        if self._asking.done():
            asking, self._asking = self._asking, None
            self._known = asking.result()
        figures = {} if self._known is None else _engine_figures(self._known)
        seconds = time.monotonic() - self._asking_since
        if self._asking is not None and seconds >= _ASKING_SECONDS:
            return hung(seconds, **figures)
        if self._known is None:
            return Finding()
        there = [tool for tool in self._known if tool.path is not None]
        if len(there) == len(self._known):
            return Finding(figures)
        return Finding(figures, (Reason.ENGINE_MISSING if there else Reason.NO_ENGINE,))


def _engine_figures(tools: tuple[Tool, ...]) -> Mapping[str, object]:
    there = [tool for tool in tools if tool.path is not None]
    return {
        "available": {tool.engine: tool.version for tool in there},
        "missing": tuple(tool.engine for tool in tools if tool.path is None),
        "notices": tuple(tool.notice for tool in there if tool.notice is not None),
    }


def _error_figures(log: ErrorRepository) -> dict[str, Any]:
    return {"dropped": log.dropped_count, "waiting": log.waiting_count}


async def _error_tracking(parts: Parts) -> Finding:
    figures = _error_figures(parts.error_log)
    try:
        counts = await parts.database.read(unresolved)
    except StorageFailed:
        return Finding(figures, (Reason.NOT_RECORDING,))
    by_severity = Counter({severity.value: 0 for severity in Severity})
    for (severity, _), count in counts.items():
        by_severity[severity.value] += count
    figures |= {"unresolved": by_severity.total(), "unresolved_by_severity": dict(by_severity)}
    return Finding(figures, (Reason.NOT_RECORDING,) if parts.error_log.is_failing else ())


async def _disk(data_dir: Path) -> Finding:
    try:
        facts = await in_a_thread(partial(os.statvfs, data_dir), name="health-disk")
    except OSError as error:
        return Finding(reasons=(Reason.CHECK_FAILED,), detail=os.strerror(error.errno or 0))
    free_bytes = facts.f_bavail * facts.f_frsize
    counts_inodes = facts.f_files > 0
    figures = {
        "free_bytes": free_bytes,
        "total_bytes": facts.f_blocks * facts.f_frsize,
        "free_inodes": facts.f_favail if counts_inodes else None,
        "total_inodes": facts.f_files if counts_inodes else None,
    }
    if free_bytes == 0 or (counts_inodes and facts.f_favail == 0):
        return Finding(figures, (Reason.NO_ROOM,))
    reasons = [Reason.LOW_ROOM] * (free_bytes < LOW_DISK_BYTES)
    reasons += [Reason.LOW_INODES] * (counts_inodes and facts.f_favail < LOW_DISK_INODES)
    return Finding(figures, tuple(reasons))


def _tools_look(queries: JobQueries) -> Look:
    helpers = HelperTools()

    async def look() -> Finding:
        has_ssh, version = await in_a_thread(helpers.ssh, name="health-tools")
        available: dict[str, str | None] = {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        }
        if has_ssh:
            available["ssh"] = version
        figures = {"available": available, "missing": () if has_ssh else ("ssh",)}
        is_wanted = not has_ssh and any(
            "ssh://" in (record.job.source[:6], record.job.destination[:6])
            for record in queries.all_jobs().values()
        )
        return Finding(figures, (Reason.TOOL_MISSING,) if is_wanted else ())

    return look
