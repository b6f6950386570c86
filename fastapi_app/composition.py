"""The composition root: every part, put together on one exit stack."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from core.access.registry import Access
from core.deleted_sources import DeletedSources
from core.disks import Disks
from core.engines.registry import ENGINES
from core.executors.local import LocalExecutor
from core.health import HealthBoard
from core.job_manager import JobManager
from core.job_queries import JobQueries
from core.notifying.process import SenderProcess
from core.ports import Ports
from core.rclone_remotes import RcloneRemotes
from core.recovery import recover
from core.recovery_states import RecoveryState
from core.run_faults import ToldExecutor
from fastapi_app.access_edits import AccessEdits
from fastapi_app.access_ground import open_access
from fastapi_app.audit import Audit, HandEdits
from fastapi_app.background import Monitor
from fastapi_app.banners import Banners
from fastapi_app.error_count import ErrorCount
from fastapi_app.ground import Ground, keep_running, lay_ground
from fastapi_app.happenings import Happenings
from fastapi_app.health_checks import Parts, contribute_conditions, health_board
from fastapi_app.housekeeping import tidy_for_ever
from fastapi_app.kept_history import KeptHistory
from fastapi_app.late_source import LateSource
from fastapi_app.notification_courier import Surroundings
from fastapi_app.notifier import Notifier
from fastapi_app.peers import Networks, is_loopback_host, networks_of
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.recovery_words import of_disk, of_history, of_remote, of_run_end, of_target
from fastapi_app.rendering import VERSION, Cards, Renderer
from fastapi_app.scraping import Metrics, Sources
from fastapi_app.security import KnownHosts
from fastapi_app.services import Services
from fastapi_app.settings_in_force import Reach, limits_of, put_in_force, roots_of
from fastapi_app.task_keeper import KeptWork
from fastapi_app.websocket.hub import Hub
from models.error_event import Component
from models.remote import is_remote
from models.settings import Settings
from storage.definition_watch import DefinitionWatch
from storage.error_repository import ErrorRepository
from storage.file_watch import FileWatch
from storage.job_storage import JobStorage
from storage.notification_repository import NotificationRepository
from storage.run_logs import RunLogs
from storage.settings_document import SETTINGS_NAME
from utils.timestamps import utc_timestamp


class SystemClock:
    """The machine's time."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in milliseconds."""
        return utc_timestamp()


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
    settings: Settings,
    hosts: KnownHosts,
    url: Callable[..., str],
    first_code: str,
    stack: AsyncExitStack,
) -> Services:
    """Return the parts of one application, which end with the stack. Raises StorageFailed."""
    ground = await lay_ground(settings, stack)
    pages = await _pages(ground, Renderer(url, root_path=settings.root_path))
    runs = await _runs(ground)
    remotes, disks = _remotes(ground), _disks(ground)
    again = ground.recovery.works(
        remotes=remotes.look_again, history=pages.history.look_again, disks=disks.look_again
    )
    getting_in = await open_access(
        ground.data_dir,
        ground.kept.settings,
        ground.source.hub,
        ground.kept.error_log,
        AccessEdits(HandEdits(ground.kept.audit_log)),
        first_code,
        stack,
        may_be_open=is_loopback_host(settings.host),
    )
    works = (*_works(ground, pages, runs), getting_in.watch, *again, *ground.faults.works())
    for work in works:
        keeper = ground.faults.tasks.keep(*work)
        await keep_running(stack, keeper, f"{work.name}-keeper")
    kept, hub = ground.kept, ground.source.hub
    store, error_log = kept.settings, kept.error_log
    reach = Reach(runs.manager, runs.monitor, remotes, hosts, error_log, kept.jobs, kept.audit_log)
    await put_in_force(store, reach)
    store.call_after_changes(partial(put_in_force, store, reach))
    audit = Audit(kept.audit_log, partial(_name_of, kept.jobs))
    await audit.refused.open()
    stack.callback(audit.refused.tell_all)
    health_checks = _health(ground, runs.monitor, getting_in.access)
    stack.push_async_callback(health_checks.close)
    return Services(
        settings=settings,
        settings_store=store,
        hosts=hosts,
        data_dir=ground.data_dir,
        database=ground.database,
        error_log=error_log,
        audit=audit,
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
        questions=ground.questions,
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
        access=getting_in.access,
        live_access=getting_in.live,
        metrics_readers=Networks(networks_of(settings.metrics_readers)),
    )


async def _pages(ground: Ground, renderer: Renderer) -> _Pages:
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


async def _runs(ground: Ground) -> _Runs:
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
    manager = JobManager(
        ports, limits_of(store), on_recovery=on_recovery, questions=ground.questions
    )
    await recover(
        kept.jobs,
        kept.directories,
        manager,
        resumes_interrupted=store.in_force.resume_interrupted,
    )
    deleted = DeletedSources(
        ports, manager.at_rest, roots=partial(roots_of, store), questions=ground.questions
    )
    return _Runs(monitor, manager, notifier, deleted)


def _notifier(ground: Ground) -> Notifier:
    kept = ground.kept
    return Notifier(
        Surroundings(
            kept.rules,
            NotificationRepository(ground.database),
            kept.error_log,
            ground.queries,
            kept.credentials,
            SenderProcess(ground.data_dir / "notifications"),
            on_change=ground.recovery.watcher(of_target),
        )
    )


def _remotes(ground: Ground) -> RcloneRemotes:
    return RcloneRemotes(
        ground.tools,
        config=limits_of(ground.kept.settings).rclone_config,
        on_change=ground.recovery.listener(Component.ENGINE, of_remote),
    )


def _disks(ground: Ground) -> Disks:
    return Disks(
        partial(_local_destinations, ground.queries),
        questions=ground.questions,
        on_change=ground.recovery.listener(Component.STORAGE, of_disk),
    )


def _works(ground: Ground, pages: _Pages, runs: _Runs) -> tuple[KeptWork, ...]:
    """Return what is to be kept running, in the order of its beginning."""
    manager, error_log = runs.manager, ground.kept.error_log
    follow = partial(runs.monitor.run, manager)
    take_in = partial(manager.intake.run, error_log)
    tidy = partial(tidy_for_ever, manager, runs.deleted_sources, error_log, ground.kept.audit_log)
    watch_definitions = DefinitionWatch(ground.kept.jobs).run
    settings = ground.kept.settings
    watch_settings = FileWatch(settings.directory, SETTINGS_NAME, settings.reconcile).run
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


def _health(ground: Ground, monitor: Monitor, access: Access) -> HealthBoard:
    kept = ground.kept
    board = health_board(
        Parts(
            ground.data_dir,
            kept.jobs,
            kept.settings,
            access,
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


def _metrics(ground: Ground, monitor: Monitor, health: HealthBoard) -> Metrics:
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


def _name_of(jobs: JobStorage, job_id: str) -> str | None:
    record = jobs.snapshot().get(job_id)
    return record.job.name if record else None


def _local_destinations(queries: JobQueries) -> list[str]:
    jobs = (record.job for record in queries.all_jobs().values())
    return [job.destination for job in jobs if not is_remote(job.destination)]
