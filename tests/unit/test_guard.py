"""Proves whose a request is said to be, by the registry and the proxies as they really are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from core.access.registry import Access
from core.access.sessions import Sessions
from fastapi_app.access import BACKGROUND, COOKIE, AccessGuard, Guard
from fastapi_app.peers import TrustedProxies
from models.access import Role
from models.errors import InvalidDocument, InvalidSettings, SignInRefused
from storage.access_file import AccessFile, parse_access
from storage.session_file import SESSIONS_NAME, SessionFile

PROXY = "10.0.0.2"
PASSWORD = "a quay with seven cranes"
FORWARDED = (
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Original-URL",
    "X-Real-IP",
    "X-Client-IP",
    "CF-Connecting-IP",
    "True-Client-IP",
    "Forwarded",
    "Via",
)


@pytest_asyncio.fixture
async def access(tmp_path: Path) -> Access:
    """Who gets in, with nobody yet."""
    sessions = Sessions(SessionFile(tmp_path), idle_seconds=lambda: 1000.0)
    found = Access(AccessFile(tmp_path), sessions, "local")
    await found.open()
    return found


def asked(
    access: Access,
    peer: str,
    *headers: tuple[str, str],
    proxy: str = PROXY,
    version: str = "1.1",
    **guard: bool,
) -> str | None:
    """Return the name of whoever a request is said to be from."""
    one = Guard(TrustedProxies([proxy]), "Remote-User", **guard)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    app = SimpleNamespace(state=SimpleNamespace(access=access))
    scope: dict[str, Any] = {"type": "http", "client": (peer, 1), "headers": raw, "app": app}
    scope["http_version"] = version
    scope["state"] = {"address": one.proxies.address_of(scope, Headers(scope=scope))}
    identity = one.identity(scope, is_use=False)
    return identity.name if identity else None


async def test_while_there_is_no_account_it_is_open_to_this_machine_alone(access: Access) -> None:
    assert asked(access, "127.0.0.1") == "owner"
    assert asked(access, "::1") == "owner"
    assert asked(access, "::ffff:127.0.0.1") == "owner"
    assert asked(access, "192.0.2.7") is None
    assert asked(access, "") is None
    for name in FORWARDED:
        assert asked(access, "127.0.0.1", (name, "127.0.0.1")) is None, name
        assert asked(access, "127.0.0.1", (name, "x"), open_behind_proxy=True) == "owner"
    # A proxy that says nothing: by the version that it speaks, or where its address is listed.
    assert asked(access, "127.0.0.1", version="1.0") is None
    assert asked(access, "127.0.0.1", version="1.0", open_behind_proxy=True) == "owner"
    assert asked(access, "127.0.0.1", proxy="127.0.0.1") is None
    assert asked(access, "127.0.0.1", proxy="127.0.0.1", open_behind_proxy=True) == "owner"
    # A header of a trusted proxy makes nobody of what is not there.
    assert asked(access, PROXY, ("Remote-User", "anna")) is None


async def test_the_word_of_a_proxy_is_taken_once_and_from_it_alone(access: Access) -> None:
    await access.put_account("anna", Role.ADMIN, PASSWORD)
    await access.put_account("bo", Role.VIEWER, None)
    assert asked(access, PROXY, ("Remote-User", "bo")) == "bo"
    assert asked(access, PROXY, ("Remote-User", "anna"), ("Remote-User", "bo")) is None
    assert asked(access, "127.0.0.1", ("Remote-User", "anna")) is None
    assert asked(access, PROXY) is None


@pytest.mark.parametrize(
    ("kind", "headers", "is_kept"),
    [
        ("http", {}, True),
        ("http", {BACKGROUND: "true"}, False),
        ("websocket", {}, False),
    ],
    ids=["asked for", "by itself", "live"],
)
async def test_a_page_that_is_left_open_keeps_no_session(
    tmp_path: Path, kind: str, headers: dict[str, str], is_kept: bool
) -> None:
    now = 0.0
    sessions = Sessions(SessionFile(tmp_path), idle_seconds=lambda: 100.0, clock=lambda: now)
    access = Access(AccessFile(tmp_path), sessions, "local")
    await access.open()
    await access.put_account("anna", Role.ADMIN, PASSWORD)
    secret = await access.sign_in("anna", PASSWORD, "192.0.2.7")
    found: list[object] = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        found.append(scope["state"]["identity"])

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None:
        return None

    guard = AccessGuard(application, guard=Guard(TrustedProxies([]), ""))
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    for _ in range(4):
        scope: dict[str, Any] = {"type": kind, "client": ("192.0.2.7", 1)}
        scope["headers"] = [*raw, (b"cookie", f"{COOKIE}={secret}".encode())]
        scope["app"] = SimpleNamespace(state=SimpleNamespace(access=access))
        await guard(scope, receive, send)
        now += 60.0
    assert [one is not None for one in found] == [True, True, is_kept, is_kept]


async def test_where_others_reach_it_it_is_never_open(tmp_path: Path) -> None:
    sessions = Sessions(SessionFile(tmp_path), idle_seconds=lambda: 1000.0)
    access = Access(AccessFile(tmp_path), sessions, "local", may_be_open=False)
    await access.open()
    assert asked(access, "127.0.0.1") is None


async def test_a_token_is_made_only_once_there_is_an_account(access: Access) -> None:
    with pytest.raises(InvalidSettings):
        await access.make_token("x", Role.ADMIN, None)
    await access.put_account("anna", Role.ADMIN, PASSWORD)
    token = await access.make_token("x", Role.VIEWER, 1)
    assert asked(access, "192.0.2.7", ("Authorization", f"Bearer {token}")) == "x"


async def test_a_password_that_was_reset_meanwhile_is_not_overwritten(access: Access) -> None:
    await access.put_account("anna", Role.ADMIN, PASSWORD)
    stolen = access.listed.accounts["anna"].password
    await access.put_password("anna", "set by the administrator")
    with pytest.raises(SignInRefused):
        await access.put_password("anna", "set by the thief", instead_of=stolen)
    assert await access.sign_in("anna", "set by the administrator", "192.0.2.7")
    with pytest.raises(InvalidSettings):
        await access.put_account("eve", Role.ADMIN, PASSWORD, is_first=True)


async def test_a_session_that_ended_stays_so_though_nothing_can_be_written(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await access.put_account("anna", Role.ADMIN, PASSWORD)
    secret = await access.sign_in("anna", PASSWORD, "192.0.2.7")
    session = access.sessions.find(secret)
    assert session is not None

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("storage.session_file.replace_file", full)
    await access.sessions.end(session.digest)
    assert not (tmp_path / SESSIONS_NAME).exists()


@pytest.mark.parametrize("expires", ["31.12.2026", "never", "2027-01-31", "2027-01-31T00:00:00Z"])
def test_an_expiry_that_is_no_time_is_a_fault(expires: str) -> None:
    text = f"""format: 1
accounts:
  anna:
    role: admin
tokens:
  x:
    role: admin
    digest: {"0" * 64}
    created_at: 2026-01-01T00:00:00.000Z
    expires_at: {expires}
"""
    with pytest.raises(InvalidDocument, match="expires"):
        parse_access(text.encode())
