"""A server in a thread of the test's own process, whose parts a test can reach.

For what nothing outside can cause, such as a fault of a component; everything else uses a real
server process (`RunningServer`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx
import uvicorn
from fastapi import FastAPI

from fastapi_app.application import create_app
from fastapi_app.commands.serve import config_of
from fastapi_app.connections import Connections
from fastapi_app.services import Services
from models.error_event import Fault
from models.settings import Settings
from tests.support import RunningServer, wait_until

Value = TypeVar("Value")
_SECONDS = 20


class ServedApp(RunningServer):
    """The application behind a real port; it can be started once."""

    def __init__(
        self,
        data_dir: Path,
        *,
        app: FastAPI | None = None,
        first_code: str = "",
        most_connections: int | None = None,
    ) -> None:
        super().__init__(data_dir)
        configured = Settings(data_dir=data_dir, port=self.port)
        self.app = app or create_app(configured, first_code=first_code)
        self.connections = Connections(most_connections)
        config = config_of(self.app, self.connections)
        config.host, config.port = "127.0.0.1", self.port
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="served-app")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._thread.start()
        wait_until(self._answers, what="the server's answer")

    @property
    def open_connections(self) -> int:
        """How many connections the server holds."""
        return len(self._server.server_state.connections)

    @property
    def seats_taken(self) -> int:
        """How many browsers have a WebSocket."""
        return int(self.app.state.services.hub.seats.count)

    def call(self, work: Callable[[Services], Awaitable[Value]]) -> Value:
        """Do something with the composed parts, on their event loop; returns its result."""

        async def on_the_loop() -> Value:
            return await work(self.app.state.services)

        return asyncio.run_coroutine_threadsafe(on_the_loop(), self._loop).result(_SECONDS)

    def report(self, *faults: Fault) -> None:
        """Report faults as a component does, and wait for nothing."""

        async def work(services: Services) -> None:
            for fault in faults:
                services.error_log.report(fault)

        self.call(work)

    def record(self, *faults: Fault) -> None:
        """Report faults and wait until they are written, and shown by pages asked for then."""
        self.report(*faults)

        async def work(services: Services) -> None:
            await services.error_log.flush()
            await services.banners.refresh()

        self.call(work)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._server.serve())
        finally:
            self._loop.close()

    def _answers(self) -> bool:
        assert self._thread.is_alive(), "the server ended"
        try:
            return self.http.get("/health").status_code in {200, 503}
        except httpx.TransportError:
            return False

    def _end(self, number: int) -> None:
        if self._thread.is_alive():
            self._server.should_exit = True
            self._thread.join(_SECONDS)
            assert not self._thread.is_alive(), "the server does not end"
