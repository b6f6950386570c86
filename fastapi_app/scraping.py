"""Answers a scrape of /metrics: puts the figures together and has them written in a thread.

What the database and the disk tell is waited for no longer than a moment, and asked for once at a
time: a scrape comes also when these hang, and tells that.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from core.health import HealthBoard
from core.job_queries import JobQueries
from core.overdue import OverdueJobs
from fastapi_app.background import Monitor
from fastapi_app.counting import totals_of
from fastapi_app.job_metrics import JobFigures, job_metrics
from fastapi_app.metrics import (
    ALL_COMPONENTS,
    DatabaseFigures,
    DiskFigures,
    Figures,
    FiguresCollector,
)
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.websocket.hub import Hub
from models.errors import StorageFailed
from models.health import HealthStatus, status_for, worst
from storage.counters import Counters
from storage.database import Database
from storage.error_counts import unresolved
from storage.error_repository import ErrorRepository
from storage.job_storage import JobStorage
from storage.run_repository import RunRepository
from storage.settings_store import SettingsStore

PATIENCE_SECONDS = 0.5
_HEALTH_SECONDS = 0.05
"""What is looked at writes to the disk: a scrape that finds it slow tells what was found last."""
_END_OF_OPENMETRICS = b"# EOF\n"
_LEVEL = 4
Value = TypeVar("Value")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """The parts that have figures."""

    version: str
    engines: tuple[str, ...]
    data_dir: Path
    settings: SettingsStore
    database: Database
    jobs: JobStorage
    runs: RunRepository
    queries: JobQueries
    error_log: ErrorRepository
    counters: Counters
    hub: Hub
    monitor: Monitor
    overdue: OverdueJobs
    recovery: RecoveryEvents
    health: HealthBoard


class Scrape(NamedTuple):
    """What is sent."""

    body: bytes
    content_type: str
    is_compressed: bool


class Metrics:
    """The application's metrics, for any number of scrapers."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._database = _Reading(self._ask_database, patience_seconds=PATIENCE_SECONDS)
        self._disk = _Reading(self._ask_disk, patience_seconds=PATIENCE_SECONDS)
        self._looked: _Reading[None] = _Reading(self._ask_health, patience_seconds=_HEALTH_SECONDS)
        self._health: Mapping[str, HealthStatus] = {}
        self._process = ProcessCollector(registry=None)
        self._turn = asyncio.Lock()

    async def scrape(self, accept: str, *, compressed: bool) -> Scrape:
        """Return the metrics in the format that a scraper likes best."""
        async with self._turn:
            database, disk, _ = await asyncio.gather(
                self._database.value(), self._disk.value(), self._looked.value()
            )
            overdue = frozenset(one.job_id for one in self._sources.overdue.now())
            jobs = JobFigures(
                self._sources.queries.all_jobs(),
                self._sources.overdue.last_success_of,
                overdue,
                self._sources.settings.in_force.metrics_max_jobs,
            )
            figures = self._figures(jobs, database, disk)
            return await asyncio.to_thread(self._write, figures, jobs, accept, compressed)

    def _figures(
        self, jobs: JobFigures, database: DatabaseFigures | None, disk: DiskFigures | None
    ) -> Figures:
        sources, queue = self._sources, self._sources.jobs.queue
        error_log, hub, monitor = sources.error_log, sources.hub, sources.monitor
        return Figures(
            version=sources.version,
            engines=sources.engines,
            totals=totals_of(sources.counters.shown),
            statuses=jobs.snapshot.status_counts,
            damaged_jobs=len(sources.jobs.damaged()),
            overdue_jobs=len(jobs.overdue),
            not_exported=max(0, len(jobs.snapshot) - jobs.limit),
            under_way=sources.runs.under_way,
            database=database,
            disk=disk,
            health=self._health,
            not_at_rest=Counter(state.kind for state in sources.recovery.states()),
            errors_waiting=error_log.waiting_count,
            errors_dropped=error_log.dropped_count,
            error_log_fails=error_log.is_failing,
            clients=hub.client_count,
            dropped_clients=hub.dropped_clients,
            sent_frames=hub.sent_frames,
            waiting_changes=queue.waiting,
            changes=queue.changes,
            groups=queue.groups,
            write_latency=queue.latency.picture,
            monitor_runs=monitor.is_running,
            failed_steps=monitor.faults.failed_steps,
            turn_age_seconds=monitor.last_turn_seconds if monitor.followed_count else 0.0,
            monitor_lag=monitor.lag.picture,
        )

    def _write(self, figures: Figures, jobs: JobFigures, accept: str, compressed: bool) -> Scrape:
        registry = CollectorRegistry()
        registry.register(self._process)
        registry.register(FiguresCollector(figures))
        encode, content_type = choose_encoder(accept)
        text = encode(registry)
        head = text.removesuffix(_END_OF_OPENMETRICS)
        body = head + job_metrics(jobs).encode() + text[len(head) :]
        if compressed:
            body = gzip.compress(body, _LEVEL, mtime=0)
        return Scrape(body, content_type, compressed)

    async def _ask_database(self) -> DatabaseFigures | None:
        try:
            return await self._sources.database.read(
                lambda connection: DatabaseFigures(unresolved(connection))
            )
        except StorageFailed as error:
            _logger.warning("/metrics goes without the database: %s", error)
            return None

    async def _ask_health(self) -> None:
        found = await self._sources.health.findings()
        parts = {part.value: status_for(part, one.reasons) for part, one in found.parts.items()}
        whole = worst([*parts.values(), *(one.status for one in found.conditions)])
        self._health = {ALL_COMPONENTS: whole} | parts

    async def _ask_disk(self) -> DiskFigures | None:
        try:
            disk = await asyncio.to_thread(os.statvfs, self._sources.data_dir)
        except OSError as error:
            _logger.warning("/metrics goes without the disk: %s", error)
            return None
        return DiskFigures(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)


class _Reading(Generic[Value]):
    """Asks for a value that may be long in coming, and never a second time meanwhile."""

    def __init__(
        self, ask: Callable[[], Awaitable[Value | None]], *, patience_seconds: float
    ) -> None:
        self._ask = ask
        self._patience_seconds = patience_seconds
        self._asked: asyncio.Future[Value | None] | None = None

    async def value(self) -> Value | None:
        """Return the value; None when it does not come in time."""
        if self._asked is None or self._asked.done():
            # Also when the answer came late: it is old by now.
            self._asked = asyncio.ensure_future(self._ask())
        await asyncio.wait({self._asked}, timeout=self._patience_seconds)
        return self._asked.result() if self._asked.done() else None
