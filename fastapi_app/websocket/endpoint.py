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
from fastapi_app.websocket.seats import Share

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
    *shares: Share,
) -> None:
    """Serve one browser until it goes, or until it may not stay any more. Host, Origin and whose
    connection it is are checked before.

    It counts as one of all, and of what else is given, such as its address.
    """
    client = Client(send=websocket.send_text)
    access.admit(client, may_stay)
    try:
        with hub.seats.taken(*shares) as is_seated:
            await (_serve(websocket, hub, client) if is_seated else _turn_away(websocket))
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


async def _turn_away(websocket: WebSocket) -> None:
    # Accepted first, because a browser is told no reason for a handshake that failed.
    await websocket.accept()
    await websocket.close(_TRY_AGAIN_LATER, "too many browsers")


async def _serve(websocket: WebSocket, hub: Hub, client: Client) -> None:
    await websocket.accept()
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
            message = json.loads(text)
        except (ValueError, RecursionError):
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
