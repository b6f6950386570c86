"""create_app: routes, guards and the lifespan that composes everything on one exit stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket

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
from fastapi_app import errors
from fastapi_app.assets import Assets
from fastapi_app.background import Monitor
from fastapi_app.banners import BANNERS_KEY, Banners
from fastapi_app.compression import Compression
from fastapi_app.counting import count_fault, count_run, open_counters, tell_of_damage
from fastapi_app.data_directory import open_data_directory
from fastapi_app.error_count import ERRORS_KEY, ErrorCount
from fastapi_app.fault_watch import FaultWatch
from fastapi_app.happenings import BELL_KEY, Happenings
from fastapi_app.health_checks import Parts, health_board
from fastapi_app.housekeeping import tidy_for_ever
from fastapi_app.kept_history import KeptHistory
from fastapi_app.logs import keep_log
from fastapi_app.notifier import Notifier, Surroundings
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.recovery_words import of_history, of_remote, of_run_end
from fastapi_app.rendering import VERSION, Cards, Renderer
from fastapi_app.route_faults import RouteWatch
from fastapi_app.routers import (
    api,
    banners,
    error_events,
    errors_page,
    failures,
    figures,
    forms,
    health,
    job_list,
    logs,
    metrics,
    notification_pages,
    notifications,
    pages,
    previews,
    remotes,
)
from fastapi_app.routers import (
    deletions as deletion_routes,
)
from fastapi_app.routers import (
    settings as settings_routes,
)
from fastapi_app.scraping import Metrics, Sources
from fastapi_app.security import KnownHosts, RequestGuard
from fastapi_app.services import Services, services_of
from fastapi_app.settings_in_force import Reach, kept_errors_of, limits_of, put_in_force
from fastapi_app.storage_watch import StorageWatch, storage_probe
from fastapi_app.task_keeper import Work
from fastapi_app.websocket.endpoint import serve_live_updates
from fastapi_app.websocket.hub import CardUpdate, Hub
from models.error_event import Component
from models.remote import is_remote
from models.run import Run
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

_ROUTES = (
    job_list,
    forms,
    pages,
    figures,
    banners,
    api,
    failures,
    deletion_routes,
    previews,
    remotes,
    error_events,
    errors_page,
    settings_routes,
    notification_pages,
    notifications,
    health,
    metrics,
    logs,
)


class SystemClock:
    """The machine's time."""

    def now(self) -> str:
        """Return the time in UTC, ISO 8601, in milliseconds."""
        return utc_timestamp()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; without settings they come from the environment."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _compose(app, settings, stack)
            yield

    app = FastAPI(
        title="Longshore",
        version=VERSION,
        root_path=settings.root_path,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.hosts = KnownHosts(settings.extra_hosts)
    app.add_middleware(RouteWatch)
    app.add_middleware(Compression)
    app.add_middleware(RequestGuard, hosts=app.state.hosts)
    errors.register(app)
    app.state.assets = Assets()
    app.add_route("/static/{path:path}", app.state.assets.serve, name="static")
    for routes in _ROUTES:
        app.include_router(routes.router)

    @app.websocket("/ws", name="live")
    async def live(websocket: WebSocket) -> None:
        services = services_of(websocket)
        await serve_live_updates(websocket, services.hub, services.faults.live)

    return app


class _LateSource:
    """What is composed after the hub and the stores, which need it: the hub's source of cards,
    banners and the bell, who follows runs, and who is told of their ends."""

    cards: Cards
    banners: Banners
    happenings: Happenings | None = None
    notifier: Notifier | None = None
    overdue: OverdueJobs | None = None
    error_count: ErrorCount | None = None
    faults: FaultWatch | None = None
    monitor: Monitor
    hub: Hub

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        changed = tuple(job_ids)
        if self.overdue is not None:  # First: what the browsers are shown depends on it.
            self.overdue.jobs_changed(changed)
        if self.faults is not None:
            self.faults.runs.jobs_changed(changed)
        self.hub.jobs_changed(changed)

    def run_found(self, run_id: str) -> None:
        self.monitor.run_started(run_id)

    def run_over(self, run: Run) -> None:
        if self.happenings is not None:
            self.happenings.run_over(run)
        if self.faults is not None:
            self.faults.runs.run_over(run)

    def run_step(self, run: Run) -> None:
        if run.is_over:
            count_run(self._counters, run)
        if self.notifier is not None:  # What came before is read when it begins.
            self.notifier.run_step(run)

    def errors_changed(self) -> None:
        if self.happenings is not None:  # What came before is read when it is filled.
            self.happenings.events_changed()
        if self.notifier is not None:
            self.notifier.errors_changed()
        if self.error_count is not None:
            self.error_count.events_changed()

    def notes_changed(self) -> None:
        self.banners.notes_changed()

    def update_of(self, key: str) -> CardUpdate | None:
        if key == BELL_KEY and self.happenings is not None:
            return self.happenings.update()
        if key == ERRORS_KEY and self.error_count is not None:
            return self.error_count.update()
        return self.banners.update() if key == BANNERS_KEY else self.cards.update_of(key)

    async def fragment_of(self, key: str) -> str:
        if key == BANNERS_KEY:
            return self.banners.fragment()
        if key == BELL_KEY and self.happenings is not None:
            return self.happenings.fragment()
        if key == ERRORS_KEY and self.error_count is not None:
            return self.error_count.fragment()
        return await self.cards.fragment_of(key)


async def _compose(app: FastAPI, settings: Settings, stack: AsyncExitStack) -> Services:
    data_dir = settings.data_dir.absolute()
    stack.enter_context(open_data_directory(data_dir, settings))
    stack.enter_context(keep_log(data_dir))
    database = await Database.open(data_dir)
    stack.push_async_callback(database.close)
    counters = await _keep_counters(stack, data_dir, database)
    errors_changed = asyncio.Event()
    source = _LateSource(counters)

    def on_errors() -> None:
        errors_changed.set()
        source.errors_changed()

    error_log = ErrorRepository(
        database, on_change=on_errors, on_report=partial(count_fault, counters)
    )
    stack.push_async_callback(error_log.close)
    tell_of_damage(counters, error_log)
    store = await SettingsStore.open(data_dir, settings, _settings_observer(error_log))
    stack.push_async_callback(store.close)
    in_force = store.in_force
    error_log.kept = kept_errors_of(store)
    source.hub = hub = Hub(source)
    jobs = await JobStorage.open(
        data_dir,
        Observer(
            source.jobs_changed,
            report=error_log.report,
            settle=_settler(error_log),
            run_found=source.run_found,
        ),
    )
    stack.push_async_callback(jobs.close)
    await _settle_mended(error_log, jobs)
    directories = RunDirectoryStorage(data_dir)
    runs = RunRepository(database, on_over=source.run_over, on_step=source.run_step)
    tools = LocalTools(ENGINES)
    overdue = OverdueJobs(
        jobs, error_log, successes=await runs.last_successes(), changed=hub.jobs_changed
    )
    source.overdue = overdue
    queries = JobQueries(jobs, runs, overdue=overdue)
    storage_watch = StorageWatch(error_log, storage_probe(database, data_dir))
    source.faults = faults = FaultWatch(error_log, jobs, tools, storage_watch)
    await faults.find_told()
    hub.on_drop, hub.on_calm = faults.live.dropped, faults.live.calm
    executor = ToldExecutor(LocalExecutor(directories, directories.path_of), faults.runs)
    url = _url_maker(app, settings.root_path)
    renderer = Renderer(url, root_path=settings.root_path)
    recovery = await _recovery(error_log, source)
    history = _history(queries, error_log, recovery, source, hub)
    source.cards = Cards(queries, renderer, history, overdue)
    source.banners = Banners(
        error_log,
        errors_changed,
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
        directories,
        executor,
        directories.path_of,
        error_log,
        grace_seconds=in_force.stop_grace_seconds,
    )
    source.monitor = monitor
    credentials = SecretsFile(data_dir)
    source.notifier = notifier = Notifier(
        Surroundings(
            await NotificationRules.open(data_dir, _settings_observer(error_log)),
            NotificationRepository(database),
            error_log,
            queries,
            credentials,
            SenderProcess(data_dir / "notifications"),
        )
    )
    deletions = DeletionRepository(database, data_dir)
    ports = Ports(
        jobs, runs, directories, executor, tools, monitor, SystemClock(), credentials, deletions
    )
    on_recovery = recovery.listener(Component.STORAGE, of_run_end)
    manager = JobManager(ports, limits_of(store), on_recovery=on_recovery)
    await recover(jobs, directories, manager, resumes_interrupted=in_force.resume_interrupted)
    deleted_sources = DeletedSources(ports, manager.at_rest)
    remotes = RcloneRemotes(
        tools,
        config=limits_of(store).rclone_config,
        on_change=recovery.listener(Component.ENGINE, of_remote),
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
        ("settings-watch", Component.STORAGE, SettingsWatch(store).run),
    )
    for name, component, work in (*works, *faults.works()):
        kept = faults.tasks.keep(name, component, work)
        await _keep_running(stack, kept, f"{name}-keeper")
    reach = Reach(manager, monitor, remotes, app.state.hosts, error_log)
    await put_in_force(store, reach)
    store.call_after_changes(partial(put_in_force, store, reach))
    health_checks = health_board(
        Parts(data_dir, jobs, store, database, error_log, monitor, hub, tools, queries)
    )
    stack.push_async_callback(health_checks.close)
    return Services(
        settings=settings,
        settings_store=store,
        hosts=app.state.hosts,
        data_dir=data_dir,
        database=database,
        error_log=error_log,
        jobs=jobs,
        directories=directories,
        logs=RunLogs(directories.path_of),
        manager=manager,
        credentials=credentials,
        deletions=deletions,
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
        disks=Disks(partial(_local_destinations, queries)),
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


async def _recovery(error_log: ErrorRepository, source: _LateSource) -> RecoveryEvents:
    recovery = RecoveryEvents(error_log, on_change=source.notes_changed)
    await recovery.settle_left_over()
    return recovery


def _history(
    queries: JobQueries,
    error_log: ErrorRepository,
    recovery: RecoveryEvents,
    source: _LateSource,
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


def _url_maker(app: FastAPI, root_path: str) -> Callable[..., str]:
    """Return what makes addresses. Those of a route differ in their parameters alone: looking for
    the route each time was half of the time that a list of jobs took."""

    @cache
    def form_of(name: str, parameters: tuple[str, ...]) -> str:
        placeholders = {parameter: f"{{{parameter}}}" for parameter in parameters}
        return root_path.replace("{", "{{").replace("}", "}}") + str(
            app.url_path_for(name, **placeholders)
        )

    @cache
    def static(path: str) -> str:
        return root_path + str(app.url_path_for("static", path=app.state.assets.path_of(path)))

    def url(name: str, **parameters: Any) -> str:
        if name == "static":
            return static(parameters["path"])
        texts = {parameter: str(value) for parameter, value in parameters.items()}
        if all(text and "/" not in text for text in texts.values()):
            return form_of(name, tuple(texts)).format_map(texts)
        return root_path + str(app.url_path_for(name, **parameters))

    return url
