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
from core.job_manager import JobManager
from core.job_queries import JobQueries
from core.notifying.process import SenderProcess
from core.overdue import OverdueJobs
from core.ports import Ports
from core.rclone_remotes import RcloneRemotes
from core.recovery import recover
from core.recovery_states import BREAKER, DEGRADATION, RecoveryState
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
from fastapi_app.storage_watch import StorageWatch, storage_probe
from fastapi_app.task_keeper import Work
from fastapi_app.websocket.hub import Hub
from models.error_event import Component
from models.remote import is_remote
from models.settings import Settings
from storage.counters import Counters
from storage.database import Database
from storage.definition_watch import DefinitionWatch
from storage.deletion_repository import DeletionRepository
from storage.error_reader import MAX_PAGE
from storage.error_repository import ErrorRepository
from storage.job_faults import CLEARED_BY_MENDING
from storage.job_storage import JobStorage
from storage.job_table import Observer
from storage.notification_repository import NotificationRepository
from storage.notification_rules import NotificationRules
from storage.run_directories import RunDirectoryStorage
from storage.run_logs import RunLogs
from storage.run_repository import RunRepository
from storage.secrets import SecretsFile
from storage.settings_store import SettingsObserver, SettingsStore
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


async def compose(
    settings: Settings, hosts: KnownHosts, url: Callable[..., str], stack: AsyncExitStack
) -> Services:
    """Return the parts of one application, which end with the stack. Raises StorageFailed."""
    data_dir = settings.data_dir.absolute()
    stack.enter_context(open_data_directory(data_dir, settings))
    stack.enter_context(keep_log(data_dir, settings))
    database = await Database.open(data_dir)
    stack.push_async_callback(database.close)
    counters = await _keep_counters(stack, data_dir, database)
    source = LateSource(counters)
    source.hub = hub = Hub(source)
    kept = await _open(settings, source, database, counters, stack)
    error_log, store, jobs, runs = kept.error_log, kept.settings, kept.jobs, kept.runs
    tools = LocalTools(ENGINES)
    source.overdue = overdue = OverdueJobs(
        jobs, error_log, successes=await runs.last_successes(), changed=hub.jobs_changed
    )
    queries = JobQueries(jobs, runs, overdue=overdue)
    storage_watch = StorageWatch(error_log, storage_probe(database, data_dir))
    source.faults = faults = FaultWatch(error_log, jobs, tools, storage_watch)
    await faults.find_told()
    hub.on_drop, hub.on_calm = faults.live.dropped, faults.live.calm
    executor = ToldExecutor(LocalExecutor(kept.directories, kept.directories.path_of), faults.runs)
    renderer = Renderer(url, root_path=settings.root_path)
    recovery = await _recovery(error_log, source)
    history = _history(queries, error_log, recovery, source, hub)
    source.cards = Cards(queries, renderer, history, overdue)
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
    monitor = Monitor(
        source,
        kept.directories,
        executor,
        kept.directories.path_of,
        error_log,
        grace_seconds=store.in_force.stop_grace_seconds,
    )
    source.monitor = monitor
    source.notifier = notifier = Notifier(
        Surroundings(
            kept.rules,
            NotificationRepository(database),
            error_log,
            queries,
            kept.credentials,
            SenderProcess(data_dir / "notifications"),
        )
    )
    ports = Ports(
        jobs,
        runs,
        kept.directories,
        executor,
        tools,
        monitor,
        SystemClock(),
        kept.credentials,
        kept.deletions,
    )
    on_recovery = recovery.listener(Component.STORAGE, of_run_end)
    manager = JobManager(ports, limits_of(store), on_recovery=on_recovery)
    await recover(
        jobs,
        kept.directories,
        manager,
        resumes_interrupted=store.in_force.resume_interrupted,
    )
    deleted_sources = DeletedSources(ports, manager.at_rest)
    remotes = RcloneRemotes(
        tools,
        config=limits_of(store).rclone_config,
        on_change=recovery.listener(Component.ENGINE, of_remote),
    )
    disks = Disks(
        partial(_local_destinations, queries),
        on_change=recovery.listener(Component.STORAGE, of_disk),
    )
    works: tuple[tuple[str, Component, Work], ...] = (
        ("monitor", Component.BACKGROUND_MONITOR, partial(monitor.run, manager)),
        ("deletion-intake", Component.JOB_MANAGER, partial(manager.intake.run, error_log)),
        ("hub", Component.WEBSOCKET, hub.run),
        ("overdue", Component.JOB_MANAGER, overdue.run),
        ("definition-watch", Component.STORAGE, DefinitionWatch(jobs).run),
        ("banners", Component.UI, source.banners.run),
        ("happenings", Component.UI, happenings.run),
        ("notifier", Component.NOTIFICATIONS, notifier.run),
        ("error-count", Component.UI, error_count.run),
        (
            "housekeeping",
            Component.JOB_MANAGER,
            partial(tidy_for_ever, manager, deleted_sources, error_log),
        ),
        (
            "remotes-again",
            Component.ENGINE,
            partial(recovery.look_again, BREAKER, remotes.look_again),
        ),
        (
            "history-again",
            Component.STORAGE,
            partial(recovery.look_again, DEGRADATION, history.look_again),
        ),
        (
            "disks-again",
            Component.STORAGE,
            partial(recovery.look_again, DEGRADATION, disks.look_again),
        ),
        ("settings-watch", Component.STORAGE, SettingsWatch(store).run),
    )
    for name, component, work in (*works, *faults.works()):
        keeper = faults.tasks.keep(name, component, work)
        await _keep_running(stack, keeper, f"{name}-keeper")
    reach = Reach(manager, monitor, remotes, hosts, error_log)
    await put_in_force(store, reach)
    store.call_after_changes(partial(put_in_force, store, reach))
    health_checks = health_board(
        Parts(data_dir, jobs, store, database, error_log, monitor, hub, tools, queries)
    )
    contribute_conditions(health_checks, overdue, recovery)
    stack.push_async_callback(health_checks.close)
    return Services(
        settings=settings,
        settings_store=store,
        hosts=hosts,
        data_dir=data_dir,
        database=database,
        error_log=error_log,
        jobs=jobs,
        directories=kept.directories,
        logs=RunLogs(kept.directories.path_of),
        manager=manager,
        credentials=kept.credentials,
        deletions=kept.deletions,
        deleted_sources=deleted_sources,
        queries=queries,
        overdue=overdue,
        faults=faults,
        tools=tools,
        remotes=remotes,
        hub=hub,
        monitor=monitor,
        renderer=renderer,
        cards=source.cards,
        banners=source.banners,
        disks=disks,
        happenings=happenings,
        recovery=recovery,
        notifier=notifier,
        history=history,
        health=health_checks,
        error_count=error_count,
        metrics=Metrics(
            Sources(
                version=VERSION,
                engines=tuple(ENGINES),
                data_dir=data_dir,
                settings=store,
                database=database,
                jobs=jobs,
                runs=runs,
                queries=queries,
                error_log=error_log,
                counters=counters,
                hub=hub,
                monitor=monitor,
                overdue=overdue,
                recovery=recovery,
                health=health_checks,
            )
        ),
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
    store = await SettingsStore.open(data_dir, settings, _settings_observer(error_log))
    stack.push_async_callback(store.close)
    error_log.kept = kept_errors_of(store)
    observer = Observer(
        source.jobs_changed,
        report=error_log.report,
        settle=_settler(error_log),
        run_found=source.run_found,
    )
    jobs = await JobStorage.open(data_dir, observer)
    stack.push_async_callback(jobs.close)
    await _settle_mended(error_log, jobs)
    return _Kept(
        error_log=error_log,
        settings=store,
        jobs=jobs,
        runs=RunRepository(database, on_over=source.run_over, on_step=source.run_step),
        directories=RunDirectoryStorage(data_dir),
        credentials=SecretsFile(data_dir),
        deletions=DeletionRepository(database, data_dir),
        rules=await NotificationRules.open(data_dir, _settings_observer(error_log)),
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


async def _settle_mended(error_log: ErrorRepository, jobs: JobStorage) -> None:
    """Resolve what was told of files that were mended or removed while no server ran."""
    damaged = {job.id for job in jobs.damaged()}
    told = await error_log.list_events(component=Component.STORAGE, resolved=False, limit=MAX_PAGE)
    for event in told.items:
        if event.error_type in CLEARED_BY_MENDING and event.job_id not in damaged:
            error_log.settle(error_type=event.error_type, job_id=event.job_id)


def _settler(error_log: ErrorRepository) -> Callable[[str, str], None]:
    def settle(error_type: str, job_id: str) -> None:
        error_log.settle(error_type=error_type, job_id=job_id)

    return settle


def _settings_observer(error_log: ErrorRepository) -> SettingsObserver:
    def settle(error_type: str) -> None:
        error_log.settle(error_type=error_type, job_id=None)

    return SettingsObserver(error_log.report, settle)
