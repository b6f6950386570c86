"""create_app: routes, guards and the lifespan that composes everything on one exit stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from core.engines.registry import ENGINES
from core.executors.local import LocalExecutor
from core.job_manager import JobManager, Ports
from core.job_queries import JobQueries
from core.new_run import RunLimits
from core.recovery import recover
from core.tools import LocalTools
from fastapi_app import errors
from fastapi_app.background import Monitor
from fastapi_app.data_directory import open_data_directory
from fastapi_app.logs import keep_log
from fastapi_app.rendering import VERSION, Cards, Renderer
from fastapi_app.routers import api, forms, health, pages
from fastapi_app.security import RequestGuard
from fastapi_app.services import Services, services_of
from fastapi_app.websocket.endpoint import serve_live_updates
from fastapi_app.websocket.hub import Hub
from models.settings import Settings
from storage.database import Database
from storage.job_storage import JobStorage
from storage.run_directories import RunDirectoryStorage
from storage.run_repository import RunRepository
from utils.timestamps import utc_timestamp

STATIC = Path(__file__).parent / "static"


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
    app.add_middleware(RequestGuard, extra_hosts=settings.extra_hosts)
    errors.register(app)
    app.mount("/static", _Static(directory=STATIC), name="static")
    for router in (forms.router, pages.router, api.router, health.router):
        app.include_router(router)

    @app.websocket("/ws", name="live")
    async def live(websocket: WebSocket) -> None:
        await serve_live_updates(websocket, services_of(websocket).hub)

    return app


class _Static(StaticFiles):
    """Static files that browsers keep and ask about (ETag), so that an upgrade is seen at once."""

    def get_path(self, scope: Scope) -> str:
        # ASGI wants root_path at the head of path, and a mount counts on it; a proxy that serves
        # a sub-path takes it off.
        if not scope["path"].startswith(scope["root_path"]):
            shorter = scope["root_path"].removeprefix(scope.get("app_root_path", ""))
            scope = {**scope, "root_path": shorter}
        return super().get_path(scope)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


class _LateSource:
    """The hub's source of cards, which is composed after the hub itself."""

    cards: Cards

    def update_of(self, job_id: str) -> Any:
        return self.cards.update_of(job_id)

    async def fragment_of(self, job_id: str) -> str:
        return await self.cards.fragment_of(job_id)


async def _compose(app: FastAPI, settings: Settings, stack: AsyncExitStack) -> Services:
    data_dir = settings.data_dir.absolute()
    stack.enter_context(open_data_directory(data_dir, settings))
    stack.enter_context(keep_log(data_dir))
    database = await Database.open(data_dir)
    stack.push_async_callback(database.close)
    jobs = await JobStorage.open(data_dir)
    stack.push_async_callback(jobs.close)
    directories = RunDirectoryStorage(data_dir)
    runs = RunRepository(database)
    tools = LocalTools(ENGINES)
    queries = JobQueries(jobs, runs)
    executor = LocalExecutor(directories, directories.path_of)
    source = _LateSource()
    hub = Hub(source)
    url = _url_maker(app, settings.root_path)
    renderer = Renderer(url, root_path=settings.root_path)
    source.cards = Cards(queries, directories, renderer)
    monitor = Monitor(hub, directories, executor, directories.path_of)
    ports = Ports(jobs, runs, directories, executor, tools, monitor, SystemClock())
    limits = RunLimits(settings.max_concurrent_runs, settings.stop_grace_seconds)
    manager = JobManager(ports, limits)
    await recover(jobs, directories, manager)
    await _keep_running(stack, monitor.run(manager), "monitor")
    await _keep_running(stack, hub.run(), "hub")
    return Services(
        settings=settings,
        data_dir=data_dir,
        database=database,
        jobs=jobs,
        directories=directories,
        manager=manager,
        queries=queries,
        tools=tools,
        hub=hub,
        monitor=monitor,
        renderer=renderer,
        cards=source.cards,
    )


async def _keep_running(stack: AsyncExitStack, work: Any, name: str) -> None:
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


def _url_maker(app: FastAPI, root_path: str) -> Callable[..., str]:
    def url(name: str, **parameters: Any) -> str:
        return root_path + str(app.url_path_for(name, **parameters))

    return url
