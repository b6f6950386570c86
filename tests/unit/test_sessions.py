"""Proves how long a session lasts, what is kept of it, and that there are never too many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.access import sessions as module
from core.access.sessions import MAX_OF_ONE, MAX_SESSIONS, Sessions, digest_of
from models.errors import StorageFailed
from storage.session_file import SESSIONS_NAME, SessionFile
from tests.unit.test_attempts import Clock

IDLE_SECONDS = 1000.0


def sessions_in(directory: Path, clock: Clock) -> Sessions:
    """Return the sessions of a data directory."""
    return Sessions(SessionFile(directory), idle_seconds=lambda: IDLE_SECONDS, clock=clock)


async def test_a_session_that_is_used_lasts_and_one_that_is_not_ends(tmp_path: Path) -> None:
    clock = Clock()
    sessions = sessions_in(tmp_path, clock)
    secret = await sessions.begin("anna", "192.0.2.1", password="p")
    for _ in range(5):
        clock.now += IDLE_SECONDS - 1
        assert sessions.find(secret) is not None
    # To look at it is no use of it.
    clock.now += IDLE_SECONDS - 1
    assert sessions.find(secret, is_use=False) is not None
    clock.now += 2
    assert sessions.find(secret) is None
    assert sessions.of("anna") == ()
    await sessions.close()


async def test_sessions_outlive_a_restart_and_their_secrets_are_nowhere(tmp_path: Path) -> None:
    clock = Clock()
    sessions = sessions_in(tmp_path, clock)
    kept = await sessions.begin("anna", "192.0.2.1", password="p")
    ended = await sessions.begin("anna", "192.0.2.1", password="p")
    await sessions.end(digest_of(ended))
    clock.now += 500
    assert sessions.find(kept) is not None
    await sessions.close()
    assert kept not in (tmp_path / SESSIONS_NAME).read_text()

    again = sessions_in(tmp_path, clock)
    await again.open()
    clock.now += IDLE_SECONDS - 1
    assert again.find(kept) is not None, "when it was last used is kept as well"
    assert again.find(ended) is None
    await again.close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sessions": [{}]}', '{"sessions": 1}'])
async def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / SESSIONS_NAME).write_text(content)
    sessions = sessions_in(tmp_path, Clock())
    await sessions.open()
    assert sessions.of("anna") == ()
    await sessions.close()


async def test_the_longest_unused_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionFile, "write", lambda *_: None)
    clock = Clock()
    sessions = sessions_in(tmp_path, clock)
    secrets = []
    for _ in range(MAX_OF_ONE + 5):
        clock.now += 0.1
        secrets.append(await sessions.begin("anna", "", password="p"))
    assert len(sessions.of("anna")) == MAX_OF_ONE
    assert sessions.find(secrets[0]) is None
    assert sessions.find(secrets[-1]) is not None
    for number in range(MAX_SESSIONS + 20):
        clock.now += 0.1
        await sessions.begin(f"somebody-{number}", "", password="p")
    assert len(sessions._sessions) == MAX_SESSIONS
    assert sessions.of("anna") == ()


async def test_what_cannot_be_kept_holds_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageFailed("Writing", "No space left on device")

    monkeypatch.setattr(SessionFile, "write", fail)
    sessions = sessions_in(tmp_path, Clock())
    secret = await sessions.begin("anna", "", password="p")
    assert sessions.find(secret) is not None


async def test_its_use_is_kept_now_and_then_and_not_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = 0
    write = SessionFile.write

    def count(self: SessionFile, sessions: object) -> None:
        nonlocal writes
        writes += 1
        write(self, sessions)  # type: ignore[arg-type]

    monkeypatch.setattr(SessionFile, "write", count)
    clock = Clock()
    sessions = sessions_in(tmp_path, clock)
    secret = await sessions.begin("anna", "", password="p")
    for _ in range(100):
        clock.now += 6.1
        assert sessions.find(secret) is not None
        if sessions._saving is not None:
            await asyncio.wait({sessions._saving})
    assert 1 < writes <= 2 + 610 // module._NOTED_SECONDS
