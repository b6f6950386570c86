"""A server with an account for each role, and clients that are signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from models.access import Role
from tests.integration.running import ended_server
from tests.support import RunningServer

PASSWORDS = {role: f"the {role.value} walks along the quay" for role in Role}


def set_password(server: RunningServer, *arguments: str, password: str) -> None:
    """Run a command of `longshore` that asks for a password."""
    server.cli(*arguments, typed=f"{password}\n").check_returncode()


def make_accounts(server: RunningServer) -> None:
    """Make an account for each role, named after it; works on the files alone."""
    set_password(server, "passwd", "admin", password=PASSWORDS[Role.ADMIN])
    for role in (Role.VIEWER, Role.OPERATOR):
        set_password(
            server, "accounts", "add", role.value, "--role", role.value, password=PASSWORDS[role]
        )


def signed_in(server: RunningServer, role: Role) -> httpx.Client:
    """Return a browser's client, signed in with the account of a role."""
    headers = {"Origin": server.url}
    client = httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False)
    answer = client.post("/sign-in", data={"name": role.value, "password": PASSWORDS[role]})
    assert answer.status_code == 303, answer.text
    return client


@contextmanager
def guarded_server(data_dir: Path, **environment: str) -> Iterator[RunningServer]:
    """A server that asks who one is; its own client bears the token of the command line."""
    server = RunningServer(data_dir, **environment)
    make_accounts(server)
    bear_local_token(server)
    with ended_server(server):
        yield server


def bear_local_token(server: RunningServer) -> None:
    """Have the server's own client bear the token of the command line, once there is one."""
    server.http.auth = lambda request: _with_token(request, server.data_dir)


def _with_token(request: httpx.Request, data_dir: Path) -> httpx.Request:
    path = data_dir / "cli-token"
    if path.exists() and "authorization" not in request.headers:
        request.headers["Authorization"] = f"Bearer {path.read_text().strip()}"
    return request
