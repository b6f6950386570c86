"""The composition root: every part, put together on one exit stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.deleted_sources import DeletedSources
from core.disks import Disks
from core.engines.registry import ENGINES
from core.executors.local import LocalExecutor
from core.health import HealthBoard
from core.job_manager import JobManager
from core.job_queries import JobQueries
from core.notifying.process import SenderProcess
from core.overdue import OverdueJobs
from core.ports import Ports
from core.rclone_remotes import RcloneRemotes
from core.recovery import recover
from core.recovery_states import RecoveryState
from core.run_faults import ToldExecutor
from core.tools import LocalTools
from fastapi_app.background import Monitor
from fastapi_app.banners import Banners
from fastapi_app.counting import count_fault, open_counters, tell_of_damage
from fastapi_app.data_directory import open_data_directory
from fastapi_app.error_count import ErrorCount
from fastapi_app.fault_watch import FaultWatch
from fastapi_app.happenings import Happenings
from fastapi_app.health_checks import Parts, contribute_conditions, health_board
from fastapi_app.housekeeping import tidy_for_ever
from fastapi_app.kept_history import KeptHistory
from fastapi_app.late_source import LateSource
from fastapi_app.logs import keep_log
from fastapi_app.notifier import Notifier, Surroundings
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.recovery_words import OF_ERROR_LOG, of_disk, of_history, of_remote, of_run_end
from fastapi_app.rendering import VERSION, Cards, Renderer
from fastapi_app.scraping import Metrics, Sources
from fastapi_app.security import KnownHosts
from fastapi_app.services import Services
from fastapi_app.settings_in_force import Reach, kept_errors_of, limits_of, put_in_force
from fastapi_app.storage_observers import settings_observer, settle_mended, settler
from fastapi_app.storage_watch import StorageWatch, storage_probe
from fastapi_app.task_keeper import KeptWork
from fastapi_app.websocket.hub import Hub
from models.error_event import Component
from models.remote import is_remote
from models.settings import Settings
from storage.counters import Counters
from storage.database import Database
from storage.definition_watch import DefinitionWatch
from storage.deletion_repository import DeletionRepository
from storage.error_repository import ErrorRepository
from storage.job_storage import JobStorage
from storage.job_table import Observer
from storage.notification_repository import NotificationRepository
from storage.notification_rules import NotificationRules
from storage.run_directories import RunDirectoryStorage
from storage.run_logs import RunLogs
from storage.run_repository import RunRepository
from storage.secrets import SecretsFile
from storage.settings_store import SettingsStore
from storage.settings_watch import SettingsWatch
from utils.timestamps import utc_timestamp


class SystemClock:
    """The machine's time."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in milliseconds."""
        return utc_timestamp()


@dataclass(frozen=True)
class _Kept:
    """What stands on the disk, opened; and the settings that are saved there."""

    error_log: ErrorRepository
    settings: SettingsStore
    jobs: JobStorage
    runs: RunRepository
    directories: RunDirectoryStorage
    credentials: SecretsFile
    deletions: DeletionRepository
    rules: NotificationRules


@dataclass(frozen=True)
class _Ground:
    """What everything else stands on."""

    data_dir: Path
    database: Database
    counters: Counters
    source: LateSource
    kept: _Kept
    tools: LocalTools
    overdue: OverdueJobs
    queries: JobQueries
    faults: FaultWatch
    recovery: RecoveryEvents


@dataclass(frozen=True)
class _Pages:
    """What pages are made of, and what stands on every one."""

    renderer: Renderer
    history: KeptHistory
    cards: Cards
    banners: Banners
    happenings: Happenings
    error_count: ErrorCount


@dataclass(frozen=True)
class _Runs:
    """Who begins, follows and ends runs, and who tells of them."""

    monitor: Monitor
    manager: JobManager
    notifier: Notifier
    deleted_sources: DeletedSources


async def compose(
    settings: Settings, hosts: KnownHosts, url: Callable[..., str], stack: AsyncExitStack
) -> Services:
    """Return the parts of one application, which end with the stack. Raises StorageFailed."""
    ground = await _ground(settings, stack)
    pages = await _pages(ground, Renderer(url, root_path=settings.root_path))
    runs = await _runs(ground)
    remotes, disks = _remotes(ground), _disks(ground)
    again = ground.recovery.works(
        remotes=remotes.look_again, history=pages.history.look_again, disks=disks.look_again
    )
    for work in (*_works(ground, pages, runs), *again, *ground.faults.works()):
        keeper = ground.faults.tasks.keep(*work)
        await _keep_running(stack, keeper, f"{work.name}-keeper")
    kept, hub = ground.kept, ground.source.hub
    store, error_log = kept.settings, kept.error_log
    reach = Reach(runs.manager, runs.monitor, remotes, hosts, error_log)
    await put_in_force(store, reach)
    store.call_after_changes(partial(put_in_force, store, reach))
    health_checks = _health(ground, runs.monitor)
    stack.push_async_callback(health_checks.close)
    return Services(
        settings=settings,
        settings_store=store,
        hosts=hosts,
        data_dir=ground.data_dir,
        database=ground.database,
        error_log=error_log,
        jobs=kept.jobs,
        directories=kept.directories,
        logs=RunLogs(kept.directories.path_of),
        manager=runs.manager,
        credentials=kept.credentials,
        deletions=kept.deletions,
        deleted_sources=runs.deleted_sources,
        queries=ground.queries,
        overdue=ground.overdue,
        faults=ground.faults,
        tools=ground.tools,
        remotes=remotes,
        hub=hub,
        monitor=runs.monitor,
        renderer=pages.renderer,
        cards=pages.cards,
        banners=pages.banners,
        disks=disks,
        happenings=pages.happenings,
        recovery=ground.recovery,
        notifier=runs.notifier,
        history=pages.history,
        health=health_checks,
        error_count=pages.error_count,
        metrics=_metrics(ground, runs.monitor, health_checks),
    )


async def _ground(settings: Settings, stack: AsyncExitStack) -> _Ground:
    data_dir = settings.data_dir.absolute()
    stack.enter_context(open_data_directory(data_dir, settings))
    stack.enter_context(keep_log(data_dir, settings))
    database = await Database.open(data_dir)
    stack.push_async_callback(database.close)
    counters = await _keep_counters(stack, data_dir, database)
    source = LateSource(counters)
    source.hub = hub = Hub(source)
    kept = await _open(settings, source, database, counters, stack)
    error_log, jobs, runs = kept.error_log, kept.jobs, kept.runs
    tools = LocalTools(ENGINES)
    source.overdue = overdue = OverdueJobs(
        jobs, error_log, successes=await runs.last_successes(), changed=hub.jobs_changed
    )
    queries = JobQueries(jobs, runs, overdue=overdue)
    storage_watch = StorageWatch(error_log, storage_probe(database, data_dir))
    source.faults = faults = FaultWatch(error_log, jobs, tools, storage_watch)
    await faults.find_told()
    hub.on_drop, hub.on_calm = faults.live.dropped, faults.live.calm
    recovery = await _recovery(error_log, source)
    return _Ground(
        data_dir, database, counters, source, kept, tools, overdue, queries, faults, recovery
    )


async def _pages(ground: _Ground, renderer: Renderer) -> _Pages:
    source, queries, error_log = ground.source, ground.queries, ground.kept.error_log
    hub, faults, recovery = source.hub, ground.faults, ground.recovery
    history = _history(queries, error_log, recovery, source, hub)
    source.cards = Cards(queries, renderer, history, ground.overdue)
    source.banners = Banners(
        error_log,
        source.has_new_errors,
        queries=queries,
        renderer=renderer,
        hub=hub,
        notes=lambda: (*faults.storage.notes(), *recovery.notes()),
    )
    faults.storage.on_change = source.banners.notes_changed
    await source.banners.refresh()
    happenings = Happenings(error_log, queries, renderer=renderer, hub=hub)
    source.happenings = happenings
    await happenings.fill()
    source.error_count = error_count = ErrorCount(error_log, renderer=renderer, hub=hub)
    return _Pages(renderer, history, source.cards, source.banners, happenings, error_count)


async def _runs(ground: _Ground) -> _Runs:
    source, kept, store = ground.source, ground.kept, ground.kept.settings
    local = LocalExecutor(kept.directories, kept.directories.path_of)
    executor = ToldExecutor(local, ground.faults.runs)
    monitor = Monitor(
        source,
        kept.directories,
        executor,
        kept.directories.path_of,
        kept.error_log,
        grace_seconds=store.in_force.stop_grace_seconds,
    )
    source.monitor = monitor
    source.notifier = notifier = _notifier(ground)
    ports = Ports(
        kept.jobs,
        kept.runs,
        kept.directories,
        executor,
        ground.tools,
        monitor,
        SystemClock(),
        kept.credentials,
        kept.deletions,
    )
    on_recovery = ground.recovery.listener(Component.STORAGE, of_run_end)
    manager = JobManager(ports, limits_of(store), on_recovery=on_recovery)
    await recover(
        kept.jobs,
        kept.directories,
        manager,
        resumes_interrupted=store.in_force.resume_interrupted,
    )
    return _Runs(monitor, manager, notifier, DeletedSources(ports, manager.at_rest))


def _notifier(ground: _Ground) -> Notifier:
    kept = ground.kept
    return Notifier(
        Surroundings(
            kept.rules,
            NotificationRepository(ground.database),
            kept.error_log,
            ground.queries,
            kept.credentials,
            SenderProcess(ground.data_dir / "notifications"),
        )
    )


def _remotes(ground: _Ground) -> RcloneRemotes:
    return RcloneRemotes(
        ground.tools,
        config=limits_of(ground.kept.settings).rclone_config,
        on_change=ground.recovery.listener(Component.ENGINE, of_remote),
    )


def _disks(ground: _Ground) -> Disks:
    return Disks(
        partial(_local_destinations, ground.queries),
        on_change=ground.recovery.listener(Component.STORAGE, of_disk),
    )


def _works(ground: _Ground, pages: _Pages, runs: _Runs) -> tuple[KeptWork, ...]:
    """Return what is to be kept running, in the order of its beginning."""
    manager, error_log = runs.manager, ground.kept.error_log
    follow = partial(runs.monitor.run, manager)
    take_in = partial(manager.intake.run, error_log)
    tidy = partial(tidy_for_ever, manager, runs.deleted_sources, error_log)
    watch_definitions = DefinitionWatch(ground.kept.jobs).run
    watch_settings = SettingsWatch(ground.kept.settings).run
    return (
        KeptWork("monitor", Component.BACKGROUND_MONITOR, follow),
        KeptWork("deletion-intake", Component.JOB_MANAGER, take_in),
        KeptWork("hub", Component.WEBSOCKET, ground.source.hub.run),
        KeptWork("overdue", Component.JOB_MANAGER, ground.overdue.run),
        KeptWork("definition-watch", Component.STORAGE, watch_definitions),
        KeptWork("banners", Component.UI, pages.banners.run),
        KeptWork("happenings", Component.UI, pages.happenings.run),
        KeptWork("notifier", Component.NOTIFICATIONS, runs.notifier.run),
        KeptWork("error-count", Component.UI, pages.error_count.run),
        KeptWork("housekeeping", Component.JOB_MANAGER, tidy),
        KeptWork("settings-watch", Component.STORAGE, watch_settings),
    )


def _health(ground: _Ground, monitor: Monitor) -> HealthBoard:
    kept = ground.kept
    board = health_board(
        Parts(
            ground.data_dir,
            kept.jobs,
            kept.settings,
            ground.database,
            kept.error_log,
            monitor,
            ground.source.hub,
            ground.tools,
            ground.queries,
        )
    )
    contribute_conditions(board, ground.overdue, ground.recovery)
    return board


def _metrics(ground: _Ground, monitor: Monitor, health: HealthBoard) -> Metrics:
    kept = ground.kept
    return Metrics(
        Sources(
            version=VERSION,
            engines=tuple(ENGINES),
            data_dir=ground.data_dir,
            settings=kept.settings,
            database=ground.database,
            jobs=kept.jobs,
            runs=kept.runs,
            queries=ground.queries,
            error_log=kept.error_log,
            counters=ground.counters,
            hub=ground.source.hub,
            monitor=monitor,
            overdue=ground.overdue,
            recovery=ground.recovery,
            health=health,
        )
    )


async def _open(
    settings: Settings,
    source: LateSource,
    database: Database,
    counters: Counters,
    stack: AsyncExitStack,
) -> _Kept:
    """Open what stands on the disk; what is wrong there is told to the error log."""
    data_dir = settings.data_dir.absolute()
    error_log = ErrorRepository(
        database, on_change=source.errors_changed, on_report=partial(count_fault, counters)
    )
    stack.push_async_callback(error_log.close)
    tell_of_damage(counters, error_log)
    store = await SettingsStore.open(data_dir, settings, settings_observer(error_log))
    stack.push_async_callback(store.close)
    error_log.kept = kept_errors_of(store)
    observer = Observer(
        source.jobs_changed,
        report=error_log.report,
        settle=settler(error_log),
        run_found=source.run_found,
    )
    jobs = await JobStorage.open(data_dir, observer)
    stack.push_async_callback(jobs.close)
    await settle_mended(error_log, jobs)
    return _Kept(
        error_log=error_log,
        settings=store,
        jobs=jobs,
        runs=RunRepository(database, on_over=source.run_over, on_step=source.run_step),
        directories=RunDirectoryStorage(data_dir),
        credentials=SecretsFile(data_dir),
        deletions=DeletionRepository(database, data_dir),
        rules=await NotificationRules.open(data_dir, settings_observer(error_log)),
    )


async def _keep_counters(stack: AsyncExitStack, data_dir: Path, database: Database) -> Counters:
    counters = await open_counters(data_dir, database)
    stack.push_async_callback(counters.close)
    await _keep_running(stack, counters.run(), "counters")
    return counters


async def _keep_running(stack: AsyncExitStack, work: Any, name: str) -> None:
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


async def _recovery(error_log: ErrorRepository, source: LateSource) -> RecoveryEvents:
    recovery = RecoveryEvents(error_log, on_change=source.notes_changed)
    await recovery.settle_left_over()
    error_log.on_failing = recovery.watch_error_log(OF_ERROR_LOG)
    return recovery


def _history(
    queries: JobQueries,
    error_log: ErrorRepository,
    recovery: RecoveryEvents,
    source: LateSource,
    hub: Hub,
) -> KeptHistory:
    tell = recovery.listener(Component.STORAGE, of_history)

    def on_change(state: RecoveryState) -> None:
        tell(state)
        if state.is_at_rest:
            hub.jobs_changed(source.cards.history_returns())

    return KeptHistory(queries, error_log, on_change=on_change)


def _local_destinations(queries: JobQueries) -> list[str]:
    jobs = (record.job for record in queries.all_jobs().values())
    return [job.destination for job in jobs if not is_remote(job.destination)]
