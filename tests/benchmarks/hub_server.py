"""The hub behind its endpoint, served as `longshore serve` serves it, or a bare broadcast of the
same bytes: `python -m tests.benchmarks.hub_server PORT hub|bare`.

Twenty cards of a quarter of a KB each change ten times a second; `at` in each is the moment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, WebSocket
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from fastapi_app.commands.serve import listen, server_of
from fastapi_app.live_faults import LiveFaults
from fastapi_app.security import KnownHosts, RequestGuard
from fastapi_app.websocket.endpoint import serve_live_updates
from fastapi_app.websocket.hub import CardUpdate, Hub
from fastapi_app.websocket.live_access import LiveAccess
from models.settings import Settings
from tests.fakes.error_logs import InMemoryErrorLog

CARDS = [f"job-{number:05d}" for number in range(20)]
HUGE = "job-huge"
"""A card that is larger than what the kernel takes for a browser that does not read."""
INTERVAL_SECONDS = 0.1
_CARD_BYTES = 150
_HUGE_BYTES = 8 * 1024 * 1024


class ChangingCards:
    """Where the hub learns what a job looks like."""

    def __init__(self) -> None:
        self._at = 0.0
        self._huge = "x" * _HUGE_BYTES

    def change(self) -> list[str]:
        """Change every card; returns which."""
        self._at = time.monotonic()
        return CARDS

    def update_of(self, job_id: str) -> CardUpdate | None:
        """Return the present state of a card."""
        values: dict[str, Any] = {"at": self._at, "percent": 61.4, "rate": "29 MiB/s"}
        text = self._huge if job_id == HUGE else job_id * (_CARD_BYTES // len(job_id))
        return CardUpdate("running", values | {"current_file": text})

    async def fragment_of(self, job_id: str) -> str:
        """Render what replaces the card."""
        return f'<article id="{job_id}"></article>'


async def for_ever(act: Any) -> None:
    """Do something ten times a second, at even distances."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += INTERVAL_SECONDS
        await asyncio.sleep(max(0.0, due - loop.time()))
        act()


def hub_app() -> FastAPI:
    """Return an application of the real hub, endpoint and guard; `/clients` tells of the hub."""
    cards = ChangingCards()
    hub = Hub(cards)
    faults = LiveFaults(InMemoryErrorLog())
    access = LiveAccess(hub)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        change = asyncio.create_task(for_ever(lambda: hub.jobs_changed(cards.change())))
        sweep = asyncio.create_task(hub.run())
        yield
        for task in (change, sweep):
            task.cancel()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(RequestGuard, hosts=KnownHosts())

    @app.websocket("/ws")
    async def live(websocket: WebSocket) -> None:
        await serve_live_updates(websocket, hub, faults, access, lambda: True)

    @app.get("/clients")
    async def clients() -> dict[str, int]:
        return {"connected": hub.client_count, "dropped": hub.dropped_clients}

    return app


async def bare(port: int) -> None:
    """Broadcast to everybody the bytes that the hub would send."""
    cards = ChangingCards()
    connections: set[ServerConnection] = set()
    sequence = 0

    async def take(connection: ServerConnection) -> None:
        await connection.send('{"t": "hello", "cursor": "0:0"}')
        connections.add(connection)
        with suppress(ConnectionClosed):
            async for _ in connection:
                pass
        connections.discard(connection)

    def send() -> None:
        nonlocal sequence
        sequence += 1
        values = []
        for job_id in cards.change():
            update = cards.update_of(job_id)
            values.append([job_id, update.values if update else None])
        frame = {"t": "update", "seq": sequence, "cursor": "0:0", "set": values, "html": ""}
        broadcast(connections, json.dumps(frame))

    async with serve(take, "127.0.0.1", port, compression=None, ping_interval=None, backlog=2048):
        await for_ever(send)


if __name__ == "__main__":
    port = int(sys.argv[1])
    if sys.argv[2] == "bare":
        asyncio.run(bare(port))
    else:
        server_of(hub_app()).run(sockets=[listen(Settings(host="127.0.0.1", port=port))])
