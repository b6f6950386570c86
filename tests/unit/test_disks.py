"""The disks of the destinations: grouped, measured, and never waited for when one hangs."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from core import disks
from core.disks import Disk, Disks
from core.preflight_space import Room
from fastapi_app.dashboard_views import disks_view


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


async def test_a_disk_that_fails_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Sequence[str]) -> list[Disk]:
        raise OSError("Input/output error")

    monkeypatch.setattr(disks, "_disks_of", fail)
    (disk,) = await Disks(lambda: [str(tmp_path)]).now()
    assert disk.room is None


def test_words_for_disks() -> None:
    full, unknown = Disk("/mnt/nas", 1, Room(1000, 50, None)), Disk("/mnt/usb", 2, None)
    view = disks_view([full, unknown, *(Disk(f"/{n}", 1, Room(10, 5, None)) for n in range(9))])
    assert view.items[0].text == "50 B free of 1000 B"
    assert (view.items[0].used_percent, view.items[0].is_low) == (95, True)
    assert (view.items[1].text, view.items[1].jobs) == ("–", "2 jobs")
    assert (len(view.items), view.more) == (6, 5)
