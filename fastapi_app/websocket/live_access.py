"""Ends the live connections of whoever may not see any more: signed out, removed, expired."""

from __future__ import annotations

from collections.abc import Callable

from fastapi_app.websocket.hub import Client, Hub


class LiveAccess:
    """The connections that are served, each with what tells whether it still may be."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._checks: dict[Client, Callable[[], bool]] = {}

    def admit(self, client: Client, may_stay: Callable[[], bool]) -> None:
        """Look after a connection."""
        self._checks[client] = may_stay

    def forget(self, client: Client) -> None:
        """A connection has ended."""
        self._checks.pop(client, None)

    def look_again(self) -> None:
        """Let those go that may not stay."""
        for client, may_stay in list(self._checks.items()):
            if not may_stay():
                self._hub.leave(client)
