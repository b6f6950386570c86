"""`longshore serve`: the server with its checks of the bind address and the socket's options."""

from __future__ import annotations

import ipaddress
import os
import socket

import uvicorn

from fastapi_app.application import create_app
from fastapi_app.commands.console import fail, out, settings
from fastapi_app.data_directory import open_data_directory, server_url
from fastapi_app.rendering import VERSION
from models.errors import DataDirectoryInUse, StorageFailed
from models.settings import Settings

_USER_TIMEOUT_MILLISECONDS = 20_000
"""How long sent bytes may stay unacknowledged: frees a browser that vanished (tcp(7))."""
_MAX_WEBSOCKET_MESSAGE = 1024 * 1024
_SHUTDOWN_SECONDS = 5
_BACKLOG = 2048


def serve() -> None:
    """Serve the dashboard at LONGSHORE_HOST and LONGSHORE_PORT, with LONGSHORE_DATA_DIR."""
    configured = settings()
    _check_address(configured)
    listener = _listen(configured)
    try:
        # Tried here for a line that a person understands; the application holds it while it runs.
        with open_data_directory(configured.data_dir.absolute(), configured):
            pass
    except (DataDirectoryInUse, StorageFailed) as error:
        fail(str(error))
    app = create_app(configured)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_per_message_deflate=False,
        ws_max_size=_MAX_WEBSOCKET_MESSAGE,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        lifespan="on",
    )
    out.print(
        f"Longshore {VERSION} is at {server_url(configured)}{configured.root_path}/ "
        f"with its data in {configured.data_dir.absolute()}",
        markup=False,
        soft_wrap=True,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    if not server.started:
        fail(f"The server did not start: see {configured.data_dir.absolute()}/logs/longshore.log")


def _check_address(configured: Settings) -> None:
    if configured.allow_network or configured.host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(configured.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        fail(
            f"LONGSHORE_HOST={configured.host} can be reached from other machines, and Longshore "
            "has no password yet: whoever gets in can read and overwrite files. Use 127.0.0.1 "
            "behind a proxy that asks for one, or set LONGSHORE_ALLOW_NETWORK=true."
        )


def _listen(configured: Settings) -> socket.socket:
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
