"""The WebSocket endpoint: hello, then one task that sends and one that listens."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from fastapi_app.live_faults import LiveFaults
from fastapi_app.websocket.hub import Client, Hub
from fastapi_app.websocket.live_access import LiveAccess

MAX_MESSAGE = 1024 * 1024
_TRY_AGAIN_LATER = 1013
_POLICY = 1008
_ITS_END = (WebSocketDisconnect, WebSocketDisconnected)
"""The browser has gone: while it was listened to, or while it was sent something."""
_logger = logging.getLogger(__name__)


async def serve_live_updates(
    websocket: WebSocket,
    hub: Hub,
    faults: LiveFaults,
    access: LiveAccess,
    may_stay: Callable[[], bool],
) -> None:
    """Serve one browser until it goes, or until it may not stay any more. Host, Origin and whose
    connection it is are checked before."""
    client = Client(send=websocket.send_text)
    access.admit(client, may_stay)
    try:
        await _serve(websocket, hub, client)
    except _ITS_END:
        pass
    except Exception as error:
        # The connection's own boundary: its end is told, and no other one is touched by it.
        _logger.exception("a live connection ended badly")
        faults.failed(error)
        return
    finally:
        access.forget(client)
    faults.ended_well()


async def _serve(websocket: WebSocket, hub: Hub, client: Client) -> None:
    await websocket.accept()
    if hub.is_full():
        await websocket.close(_TRY_AGAIN_LATER, "too many browsers")
        return
    await websocket.send_text(json.dumps({"t": "hello", "cursor": hub.cursor}))
    hub.join(client)
    tasks = {
        asyncio.create_task(hub.serve(client), name="live-sender"),
        asyncio.create_task(_listen(websocket, hub, client), name="live-listener"),
        asyncio.create_task(client.gone.wait(), name="live-gone"),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave(client)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        error = task.exception()
        if error is not None and not isinstance(error, _ITS_END):
            raise error


async def _listen(websocket: WebSocket, hub: Hub, client: Client) -> None:
    cursor = websocket.query_params.get("cursor")
    while True:
        text = await websocket.receive_text()
        try:
            message = json.loads(text) if len(text) <= MAX_MESSAGE else None
        except ValueError:
            message = None
        if not isinstance(message, dict):
            await websocket.close(_POLICY, "not a message of this protocol")
            return
        subscribed, acknowledged = message.get("subscribe"), message.get("ack")
        if isinstance(subscribed, list):
            hub.subscribe(client, (str(job_id) for job_id in subscribed), cursor)
            cursor = hub.cursor
        if isinstance(acknowledged, int):
            hub.acknowledge(client, acknowledged)
