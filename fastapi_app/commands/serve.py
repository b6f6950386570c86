"""`longshore serve`: the server with its checks of the bind address and the socket's options."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import secrets
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from fastapi_app import limits
from fastapi_app.application import create_app
from fastapi_app.commands.console import fail, out, settings
from fastapi_app.connections import Connections, as_many_as_files_allow
from fastapi_app.data_directory import open_data_directory, server_url
from fastapi_app.peers import is_loopback_host
from fastapi_app.rendering import VERSION
from fastapi_app.slow_clients import protocol_of
from fastapi_app.websocket.protocol import PatientWebSocket
from models.errors import DataDirectoryInUse, InvalidDocument, StorageFailed
from models.settings import Settings
from storage.access_file import AccessFile
from storage.import_report import printable

_USER_TIMEOUT_MILLISECONDS = 20_000
"""How long sent bytes may stay unacknowledged: frees a browser that vanished (tcp(7))."""
_DRAIN_SECONDS = 2
"""How long requests under way may take once the server is told to end; they are cancelled then."""
_LAST_MOMENT_SECONDS = 4.5
"""When it ends come what may: a service manager and a person may count on five seconds."""
_SWITCH_SECONDS = 0.001
_BACKLOG = 2048


def serve() -> None:
    """Serve the dashboard at LONGSHORE_HOST and LONGSHORE_PORT, with LONGSHORE_DATA_DIR."""
    configured = settings()
    _check_address(configured)
    listener = listen(configured)
    try:
        # Tried here for a line that a person understands; the application holds it while it runs.
        with open_data_directory(configured.data_dir.absolute(), configured):
            pass
    except (DataDirectoryInUse, StorageFailed) as error:
        fail(str(error))
    first_code = "" if _has_password(configured) else secrets.token_hex(6)
    server = server_of(create_app(configured, first_code=first_code))
    out.print(
        printable(
            f"Longshore {VERSION} is at {server_url(configured)}{configured.root_path}/ "
            f"with its data in {configured.data_dir.absolute()}"
        ),
        markup=False,
        soft_wrap=True,
    )
    if first_code:
        out.print(
            "Nobody needs a password yet. Set one with `longshore passwd`, or on the page “Account”"
            f" with the code {first_code}",
            markup=False,
            soft_wrap=True,
        )
    with suppress(SystemExit):  # uvicorn's word for a start that failed, having logged why.
        server.run(sockets=[listener])
    if not server.started:
        fail("The server did not start, for the reason above.")


def server_of(app: FastAPI) -> uvicorn.Server:
    """Return what serves an application on the socket of `listen`."""
    return _Server(config_of(app, Connections(as_many_as_files_allow())))


def config_of(app: FastAPI, connections: Connections) -> uvicorn.Config:
    """Return how an application is served, to so many connections."""
    return uvicorn.Config(
        app,
        http=protocol_of(connections),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        # Whose word is taken on where a request comes from stands in the settings (peers.py).
        proxy_headers=False,
        ws=PatientWebSocket,
        ws_per_message_deflate=False,
        ws_max_size=limits.MAX_MESSAGE,
        timeout_keep_alive=round(limits.IDLE_SECONDS),
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        lifespan="on",
    )


class _Server(uvicorn.Server):
    """Told to end (SIGTERM, SIGINT), it lets go of everything within five seconds and ends with 0.

    Runs take no note of it: each is a process of its own. What was acknowledged is on disk already,
    so that nothing is lost when the last moment comes.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        # A SimpleQueue, because a signal may come while this thread holds any other lock.
        self._told: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ends = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end."""
        threading.Thread(target=self._end_at_last, name="last-moment", daemon=True).start()
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; told a second time, without waiting for requests.

        Not uvicorn's own, which raises the signal anew at the end: the process would be said to
        have been killed by it.
        """
        self.force_exit = self.should_exit
        self.should_exit = True
        self._told.put(sig)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ends.set)

    async def main_loop(self) -> None:
        """Wait to be told to end.

        Not uvicorn's own loop, which looks ten times a second, for the date that answers carry
        above all: that is most of what a server at rest would cost.
        """
        self._loop = asyncio.get_running_loop()
        put_the_loop_first()
        if not self.should_exit:
            await self._ends.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end, then close the store, also when there was no waiting."""
        await super().shutdown(sockets)
        if self.force_exit:
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()

    def _end_at_last(self) -> None:
        """End the process when a request, a hung disk or the start itself takes too long."""
        self._told.get()
        time.sleep(_LAST_MOMENT_SECONDS)
        # Not the log, which may be on the disk that hangs; nor may a full pipe keep us.
        if select.select([], [sys.stderr.fileno()], [], 0)[1]:
            os.write(sys.stderr.fileno(), b"Not everything ended in time and was cut off.\n")
        os._exit(0)


def put_the_loop_first() -> None:
    """Have nothing hold up the browsers that can be helped.

    What the start has made stays until the end: it goes out of the collector's sight, which would
    look through all of it again and again (gc.freeze). And a thread that computes, for the database
    or /metrics, gives way after a millisecond and not after five (sys.setswitchinterval).
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)


def _check_address(configured: Settings) -> None:
    if not is_loopback_host(configured.host) and not _has_password(configured):
        fail(
            f"LONGSHORE_HOST={configured.host} can be reached from other machines, and Longshore "
            "has no password yet: set one with `longshore passwd`."
        )


def _has_password(configured: Settings) -> bool:
    try:
        return bool(AccessFile(configured.data_dir).read().accounts)
    except (InvalidDocument, StorageFailed) as error:
        fail(str(error))


def listen(configured: Settings) -> socket.socket:
    """Return the socket that browsers connect to. Says why not and exits when there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            configured.host, configured.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            option = socket.TCP_USER_TIMEOUT
            listener.setsockopt(socket.IPPROTO_TCP, option, _USER_TIMEOUT_MILLISECONDS)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        fail(
            f"Cannot listen on {configured.host} port {configured.port}: {reason}. Another port is "
            "chosen with LONGSHORE_PORT."
        )
    return listener
