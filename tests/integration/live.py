"""A browser's side of the WebSocket (frontend.md, Live updates), for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support import RunningServer

Frame = dict[str, Any]


class LiveClient:
    """One connection: receives frames, and acknowledges updates unless told not to."""

    def __init__(self, connection: ClientConnection, hello: Frame) -> None:
        self.connection = connection
        self.hello = hello
        self.cursor: str = hello["cursor"]
        self.frames: list[Frame] = []

    async def send(self, **message: Any) -> None:
        """Send a message."""
        await self.connection.send(json.dumps(message))

    async def receive(self, *, seconds: float = 10, acknowledge: bool = True) -> Frame:
        """Return the next frame."""
        async with asyncio.timeout(seconds):
            frame: Frame = json.loads(await self.connection.recv())
        self.frames.append(frame)
        if frame["t"] == "update":
            self.cursor = frame["cursor"]
            if acknowledge:
                await self.send(ack=frame["seq"])
        return frame

    async def until(self, wanted: Callable[[Frame], bool], *, seconds: float = 20) -> Frame:
        """Receive and acknowledge frames until one is as wanted; returns that."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.receive(seconds=seconds)
                if wanted(frame):
                    return frame

    async def nothing_more(self, *, seconds: float) -> None:
        """Check that no update comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    frame = json.loads(await self.connection.recv())
                    assert frame["t"] != "update", frame
        except TimeoutError:
            return

    async def until_dropped(self, *, seconds: float) -> None:
        """Read without acknowledging until the server closes; raises ConnectionClosed."""
        async with asyncio.timeout(seconds):
            while True:
                await self.connection.recv()

    def patches_of(self, job_id: str) -> list[dict[str, Any]]:
        """Return the values that frames have set for a job so far, in their order."""
        return [
            values
            for frame in self.frames
            for changed, values in frame.get("set", [])
            if changed == job_id
        ]


@asynccontextmanager
async def live(server: RunningServer, cursor: str | None = None) -> AsyncIterator[LiveClient]:
    """Connect as a page does and receive the hello."""
    query = f"?cursor={cursor}" if cursor else ""
    address = server.url.replace("http", "ws") + "/ws" + query
    async with connect(address, proxy=None, origin=None, ping_interval=None) as connection:
        async with asyncio.timeout(5):
            hello = json.loads(await connection.recv())
        assert hello["t"] == "hello"
        yield LiveClient(connection, hello)


def shows(job_id: str, status: str) -> Callable[[Frame], bool]:
    """Tell whether a frame brings a job's card with this status."""

    def wanted(frame: Frame) -> bool:
        html = str(frame.get("html", ""))
        start = html.find(f'id="job-{job_id}"')
        return start >= 0 and f'data-status="{status}"' in html[start : html.find(">", start)]

    return wanted
