"""Proves the circuit breaker of a remote with a real server that is really stopped and started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from core import rclone_remotes
from core.engines.registry import ENGINES
from core.rclone_remotes import RcloneRemotes
from core.recovery_states import RecoveryState
from core.tools import LocalTools
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.recovery_words import of_remote
from models.error_event import Component, ErrorEvent
from models.errors import CircuitOpen
from storage.database import Database
from storage.error_repository import ErrorRepository
from tests.rclone_server import RcloneServer, running_servers, write_configuration
from tests.support import wait_until_async


class Scene(NamedTuple):
    """A remote with a real server behind it, and the error log that is told of it."""

    remotes: RcloneRemotes
    server: RcloneServer
    events: RecoveryEvents
    error_log: ErrorRepository
    told: list[RecoveryState]

    async def logged(self) -> tuple[ErrorEvent, ...]:
        """Return what stands in the error log."""
        await self.error_log.flush()
        return (await self.error_log.list_events()).items


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """One WebDAV server that runs."""
    database = await Database.open(tmp_path)
    error_log = ErrorRepository(database)
    events, told = RecoveryEvents(error_log), list[RecoveryState]()
    take = events.listener(Component.ENGINE, of_remote)

    def on_change(state: RecoveryState) -> None:
        told.append(state)
        take(state)

    with running_servers(tmp_path, "webdav") as servers:
        server = servers["webdav"]
        config = write_configuration(tmp_path / "rclone.conf", {"nas": server.section()})
        remotes = RcloneRemotes(LocalTools(ENGINES), config=str(config), on_change=on_change)
        yield Scene(remotes, server, events, error_log, told)
    await error_log.close()
    await database.close()


async def test_a_server_that_goes_away_is_left_alone_and_found_again(scene: Scene) -> None:
    assert (await scene.remotes.test("nas")).ok
    scene.server.stop()
    for _ in range(rclone_remotes.FAILURES):
        result = await scene.remotes.test("nas")
        assert (result.ok, result.message) == (
            False,
            "The remote did not answer, or the connection broke.",
        )
    with pytest.raises(CircuitOpen, match="The remote nas failed again and again"):
        await scene.remotes.test("nas")
    (event,) = await scene.logged()
    assert (event.severity, event.component, event.resolved) == ("medium", "engine", False)
    assert (event.error_type, event.count) == ("CircuitOpen: remote nas", 1)
    assert [(state.name, state.state) for state in scene.events.states()] == [
        ("remote nas", "open")
    ]

    scene.remotes._breakers.of("nas")._open_seconds = 0.0  # The minute is over.

    async def has_tried(times: int) -> bool:
        await scene.remotes.look_again()
        return len(scene.told) >= times

    await wait_until_async(lambda: has_tried(3), what="a trial without the server")
    scene.server.start()
    await wait_until_async(lambda: has_tried(5), what="a trial with the server")
    assert [state.state for state in scene.told] == [
        "open",
        "half_open",
        "open",
        "half_open",
        "closed",
    ]
    assert (await scene.remotes.test("nas")).ok
    (event,) = await scene.logged()
    assert (event.count, event.resolved) == (2, True)
    assert scene.events.states() == ()


async def test_a_server_that_refuses_the_password_has_answered(
    scene: Scene, tmp_path: Path
) -> None:
    section = scene.server.section(password="wrong")
    write_configuration(tmp_path / "rclone.conf", {"nas": section})
    for _ in range(rclone_remotes.FAILURES + 1):
        assert "refused" in (await scene.remotes.test("nas")).message
    write_configuration(tmp_path / "rclone.conf", {"nas": scene.server.section()})
    assert (await scene.remotes.test("nas")).ok
    assert (scene.told, await scene.logged()) == ([], ())


async def test_a_remote_that_is_gone_is_forgotten(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rclone_remotes, "OPEN_SECONDS", 0.0)
    scene.server.stop()
    for _ in range(rclone_remotes.FAILURES):
        await scene.remotes.test("nas")
    assert len(scene.events.states()) == 1
    write_configuration(tmp_path / "rclone.conf", {})
    await scene.remotes.look_again()
    (event,) = await scene.logged()
    assert (scene.events.states(), event.resolved) == ((), True)
