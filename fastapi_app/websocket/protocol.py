"""uvicorn's WebSocket protocol, with an end to what a browser may let gather and leave unread."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from fastapi_app import limits


class PatientWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that is let go of for good soon after the endpoint is done with it.

    Closing it waits until everything was sent: to a browser that reads nothing, for ever.
    """

    async def run_asgi(self) -> None:
        """Serve it."""
        await super().run_asgi()
        self.loop.call_later(limits.LAST_WORD_SECONDS, self.transport.abort)

    def handle_ping(self) -> None:
        """Answer a ping, but of one who reads the answers."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """Take a part of a message: empty ones have no length that would ever be too much."""
        if len(self.frames) < limits.MAX_FRAGMENTS:
            super().handle_cont(event)
        else:
            self.transport.abort()
