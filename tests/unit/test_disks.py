"""The disks of the destinations: grouped, measured, and never waited for when one hangs."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from core import disks
from core.disks import Disk, Disks
from core.preflight_space import Room
from core.recovery_states import RecoveryState
from fastapi_app.dashboard_views import disks_view
from tests.support import wait_until_async


async def test_a_disk_tells_its_room_and_how_many_jobs_write_to_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/shm")
    paths = [str(tmp_path / "a" / "b"), str(tmp_path), str(tmp_path / "link" / "new")]
    found = {disk.mount: disk for disk in await Disks(lambda: paths).now()}
    facts = os.statvfs("/dev/shm")
    assert found["/dev/shm"].jobs == 1
    assert found["/dev/shm"].room is not None
    assert found["/dev/shm"].room.total == facts.f_blocks * facts.f_frsize
    (other,) = (disk for mount, disk in found.items() if mount != "/dev/shm")
    assert other.jobs == 2
    assert os.stat(other.mount).st_dev == tmp_path.stat().st_dev


async def test_a_disk_that_hangs_is_unknown_and_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, asked = threading.Event(), []
    real = disks._disks_of

    def hang(paths: Sequence[str]) -> list[Disk]:
        asked.append(paths)
        goes_on.wait(30)
        return real(paths)

    monkeypatch.setattr(disks, "_disks_of", hang)
    monkeypatch.setattr(disks, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(disks, "PATIENCE_SECONDS", 0.05)
    known = Disks(lambda: [str(tmp_path)])
    for _ in range(3):
        began = time.monotonic()
        (disk,) = await known.now()
        assert time.monotonic() - began < 5
        assert (disk.room, disk.jobs) == (None, 1)
    assert len(asked) == 1
    goes_on.set()
    deadline = time.monotonic() + 10
    while (await known.now())[0].room is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_disk_that_hangs_is_shown_as_it_last_was_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[RecoveryState] = []
    known = Disks(lambda: [str(tmp_path)], on_change=told.append)
    (before,) = await known.now()
    goes_on, real = threading.Event(), disks._disks_of

    def hang(paths: Sequence[str]) -> list[Disk]:
        goes_on.wait(30)
        return real(paths)

    monkeypatch.setattr(disks, "_disks_of", hang)
    monkeypatch.setattr(disks, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(disks, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(disks, "HANGS_SECONDS", 0.05)
    (disk,) = await known.now()
    assert (disk.room, disk.as_of) == (before.room, None), "it may be late"
    await until(lambda: len(told) == 1)
    (disk,) = await known.now()
    assert disk.room == before.room
    assert disk.as_of is not None
    await known.look_again()
    goes_on.set()
    await until(lambda: len(told) == 2)
    assert [(state.name, state.state, state.reason) for state in told] == [
        (f"disk {before.mount}", "degraded", "no answer within 0.05 seconds"),
        (f"disk {before.mount}", "well", "no answer within 0.05 seconds"),
    ]
    monkeypatch.setattr(disks, "FRESH_SECONDS", 30.0)
    assert (await known.now())[0].as_of is None


async def test_a_disk_that_fails_is_shown_as_it_last_was_and_asked_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[RecoveryState] = []
    known = Disks(lambda: [str(tmp_path)], on_change=told.append)
    (before,) = await known.now()

    def fail(_: Sequence[str]) -> list[Disk]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(disks, "_disks_of", fail)
        broken.setattr(disks, "FRESH_SECONDS", 0.0)
        (disk,) = await known.now()
        assert (disk.room, disk.as_of is None) == (before.room, False)
        assert [(state.state, state.reason) for state in told] == [
            ("degraded", "Input/output error")
        ]
        await known.now()
        assert len(told) == 1
    await known.look_again()
    await until(lambda: len(told) == 2)
    (disk,) = await known.now()
    assert (disk.as_of, told[1].state) == (None, "well")


async def test_what_was_told_of_a_disk_is_over_when_no_job_writes_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[RecoveryState] = []
    paths = ["/dev/shm/x"]
    known = Disks(lambda: paths, on_change=told.append)
    monkeypatch.setattr(disks, "FRESH_SECONDS", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(disks, "room_of", _no_room)
        await known.now()
    paths.clear()
    assert await known.now() == ()
    assert [(state.name, state.state) for state in told] == [
        ("disk /dev/shm", "degraded"),
        ("disk /dev/shm", "well"),
    ]


def _no_room(_: str) -> Room:
    raise OSError(5, "Input/output error")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""

    async def holds() -> bool:
        return condition()

    await wait_until_async(holds)


async def test_a_disk_that_fails_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Sequence[str]) -> list[Disk]:
        raise OSError("Input/output error")

    monkeypatch.setattr(disks, "_disks_of", fail)
    (disk,) = await Disks(lambda: [str(tmp_path)]).now()
    assert disk.room is None
    assert disks_view([disk]).items[0].as_of is None


def test_words_for_disks() -> None:
    full, unknown = Disk("/mnt/nas", 1, Room(1000, 50, None)), Disk("/mnt/usb", 2, None)
    view = disks_view([full, unknown, *(Disk(f"/{n}", 1, Room(10, 5, None)) for n in range(9))])
    assert view.items[0].text == "50 B free of 1000 B"
    assert (view.items[0].used_percent, view.items[0].is_low) == (95, True)
    assert (view.items[1].text, view.items[1].jobs) == ("–", "2 jobs")
    assert (len(view.items), view.more) == (6, 5)
    (silent,) = disks_view([full._replace(as_of="2026-11-23T12:00:00.000Z")]).items
    assert silent.text == "50 B free of 1000 B"
    assert silent.as_of is not None
