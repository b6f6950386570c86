"""Proves that saved settings are kept whole, that nobody's edit is lost, and that a damaged file
gives way to the one before it and is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from models.error_event import Fault
from models.errors import InvalidSettings, SaveOutcomeUnknown, SettingsConflict, StorageFailed
from models.settings import Settings
from storage import settings_file
from storage.settings_store import SettingsObserver, SettingsStore
from utils.durable_file import NotSynced, replace_file


class Desk:
    """A store on a directory, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "settings.yaml"
        self.backup = directory / "settings.yaml.bak"
        self.faults: list[Fault] = []
        self.settled: list[str] = []
        self.applied: list[Settings] = []
        self.store: SettingsStore

    async def open(self, **given: Any) -> SettingsStore:
        """Open the directory as a server's start does."""
        observer = SettingsObserver(self.faults.append, self.settled.append)
        given = {"data_dir": self.path.parent, **given}
        self.store = await SettingsStore.open(self.path.parent, Settings(**given), observer)

        async def apply() -> None:
            self.applied.append(self.store.in_force)

        self.store.call_after_changes(apply)
        return self.store

    async def save(self, **values: Any) -> None:
        """Save settings in place of the present ones."""
        await self.store.save(values, expected_version=self.store.version)

    @property
    def told(self) -> list[str]:
        """What kinds of faults were reported."""
        return [fault.error_type for fault in self.faults]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A directory without settings."""
    return Desk(tmp_path)


async def test_settings_are_saved_in_force_at_once_and_after_a_start(desk: Desk) -> None:
    await desk.open()
    assert desk.store.version == "none"

    await desk.save(max_concurrent_runs="9", kept_run_days=2.5, rclone_config="/etc/r.conf")

    assert [now.max_concurrent_runs for now in desk.applied] == [9]
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    lines = desk.path.read_text().splitlines()
    assert lines[:4] == [
        "format: 1",
        "max_concurrent_runs: 9",
        "kept_run_days: 2.5",
        "rclone_config: /etc/r.conf",
    ]
    assert lines[4].startswith("updated_at: ")
    first = desk.path.read_bytes()
    again = await Desk(desk.path.parent).open()
    assert (again.version, again.in_force.kept_run_days) == (desk.store.version, 2.5)
    assert again.in_force.kept_runs_per_job == 50

    await desk.save(max_concurrent_runs=8)
    assert desk.backup.read_bytes() == first
    assert desk.store.in_force.kept_run_days == 90
    assert desk.told == []


async def test_what_is_as_it_was_is_not_written_again(desk: Desk) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    before = desk.path.stat().st_ino
    await desk.save(max_concurrent_runs="9", kept_runs_per_job=50)
    assert desk.path.stat().st_ino == before
    assert not desk.backup.exists()
    assert len(desk.applied) == 1


async def test_a_default_that_a_person_wrote_stays_until_it_is_taken_out(desk: Desk) -> None:
    desk.path.write_text("max_concurrent_runs: 4\nkept_runs_per_job: 60\n")
    await desk.open()
    await desk.save(max_concurrent_runs=4, kept_runs_per_job=50)
    assert "max_concurrent_runs: 4\n" in desk.path.read_text()
    assert "kept_runs_per_job" not in desk.path.read_text()
    await desk.save()
    assert "max_concurrent_runs" not in desk.path.read_text()


async def test_a_save_on_top_of_another_version_is_refused(desk: Desk) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    with pytest.raises(SettingsConflict) as caught:
        await desk.store.save({"max_concurrent_runs": 2}, expected_version="none")
    assert caught.value.current == desk.store.version
    assert desk.store.in_force.max_concurrent_runs == 9


async def test_of_two_saves_at_once_one_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.open()
    both_look = threading.Barrier(2, timeout=0.3)

    def slow(path: str, content: bytes, **more: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both_look.wait()
        replace_file(path, content, **more)

    monkeypatch.setattr(settings_file, "replace_file", slow)
    saves = (desk.store.save({"max_concurrent_runs": n}, expected_version="none") for n in (5, 6))
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert [type(result) for result in results if result] == [SettingsConflict]


async def test_a_hand_edit_that_was_not_noticed_is_taken_over_and_not_overwritten(
    desk: Desk,
) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    version, written = desk.store.version, desk.path.read_bytes()
    desk.path.write_text("kept_runs_per_job: 7  # by hand\n")

    with pytest.raises(SettingsConflict):
        await desk.store.save({"max_concurrent_runs": 2}, expected_version=version)

    assert desk.path.read_text() == "kept_runs_per_job: 7  # by hand\n"
    assert desk.store.in_force.kept_runs_per_job == 7
    assert desk.store.in_force.max_concurrent_runs == 4
    assert desk.backup.read_bytes() == written
    await desk.save(kept_runs_per_job=8)
    assert desk.backup.read_text() == "kept_runs_per_job: 7  # by hand\n"


async def test_an_edit_right_before_the_file_is_replaced_is_not_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    replace = settings_file.SettingsFile.replace

    def edited_before(*arguments: Any, **more: Any) -> None:
        desk.path.write_text("max_concurrent_runs: 3\n")
        replace(*arguments, **more)

    monkeypatch.setattr(settings_file.SettingsFile, "replace", edited_before)
    with pytest.raises(SettingsConflict):
        await desk.save(max_concurrent_runs=5)
    assert desk.path.read_text() == "max_concurrent_runs: 3\n"
    assert desk.store.in_force.max_concurrent_runs == 3


async def test_unknown_keys_are_kept(desk: Desk) -> None:
    desk.path.write_text("newer: {a: [1, 2.5, no, '3']}\nmax_concurrent_runs: 5\nb: 1_0\n")
    await desk.open()
    assert desk.store.unknown == ("newer", "b")
    await desk.save(max_concurrent_runs=6)
    again = await Desk(desk.path.parent).open()
    assert again.unknown == ("newer", "b")
    await again.save({"max_concurrent_runs": 7}, expected_version=again.version)
    text = desk.path.read_text()
    assert "newer:\n  a:\n    - 1\n    - 2.5\n    - 'no'\n    - '3'\n" in text


async def test_of_many_and_strange_unknown_keys_some_are_told_and_all_kept(desk: Desk) -> None:
    strange = ['"\\x1b[31m"', '"<b>"', "k" * 900, *(f"key{n}" for n in range(500))]
    desk.path.write_text("".join(f"{key}: 1\n" for key in strange))
    await desk.open()
    told = desk.store.unknown
    assert told[:3] == ("\\x1b[31m", "<b>", "k" * 80)
    assert len(told) == 20
    await desk.save(max_concurrent_runs=6)
    assert desk.path.read_text().count(": 1\n") == len(strange) + 1  # The format.


async def test_why_a_file_cannot_be_used_is_told_in_short_and_printable(desk: Desk) -> None:
    await desk.open()
    for content in (f"{'k' * 900}: 1\n" * 2, 'allowed_hosts: "\\x1b[31m\\a"\n'):
        desk.path.write_text(content)
        await desk.store.reconcile()
        assert desk.store.damage is not None
        assert len(desk.store.damage) <= 600
        assert desk.store.damage.isprintable()


async def test_what_the_environment_decides_stays_and_keeps_its_line_in_the_file(
    desk: Desk,
) -> None:
    desk.path.write_text("max_concurrent_runs: 9\nkept_runs_per_job: 8\n")
    await desk.open(max_concurrent_runs=2)
    assert desk.store.in_force.max_concurrent_runs == 2
    assert "max_concurrent_runs" in desk.store.decided

    with pytest.raises(InvalidSettings) as caught:
        await desk.save(max_concurrent_runs=3, kept_runs_per_job=0)
    told = {fault.field: fault.message for fault in caught.value.faults}
    assert told.keys() == {"max_concurrent_runs", "kept_runs_per_job"}
    assert "LONGSHORE_MAX_CONCURRENT_RUNS" in told["max_concurrent_runs"]
    with pytest.raises(InvalidSettings):
        await desk.save(max_concurrent_runs="nonsense")

    await desk.save(max_concurrent_runs=2, kept_runs_per_job=5)
    assert "max_concurrent_runs: 9\nkept_runs_per_job: 5\n" in desk.path.read_text()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 200,
        b"format: 1\nmax_concurrent_runs: 9\n",
        b"format: 2\nupdated_at: x\n",
        b"max_concurrent_runs: 0\n",
        b"max_concurrent_runs: 5\nmax_concurrent_runs: 6\n",
        b"- a\n",
        b"max_concurrent_runs: &a 5\n",
        b"\xff\xfe",
        b"[" * 100_000,
        b"a: 1\n" * 300_000,
    ],
)
async def test_a_damaged_file_gives_way_to_the_one_before_it_and_is_told(
    desk: Desk, damage: bytes
) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=8)
    await desk.save(max_concurrent_runs=9)
    desk.path.write_bytes(damage)

    again = Desk(desk.path.parent)
    store = await again.open()

    assert (store.in_force.max_concurrent_runs, store.is_lost) == (8, False)
    assert store.damage is None
    assert again.told == ["SettingsRecovered"]
    (aside,) = desk.path.parent.glob("settings.yaml.damaged-*")
    assert aside.read_bytes() == damage
    assert aside.name in again.faults[0].message
    assert desk.path.read_bytes() == desk.backup.read_bytes()


async def test_without_one_before_it_the_defaults_hold_until_it_is_mended(desk: Desk) -> None:
    desk.path.write_text("kept_runs_per_job: many\nallowed_hosts: http://a\n")
    store = await desk.open()
    assert (store.is_lost, store.in_force.kept_runs_per_job) == (True, 50)
    assert store.damage is not None
    assert "line 1: kept_runs_per_job" in store.damage
    assert "line 2: allowed_hosts" in store.damage
    assert desk.told == ["SettingsDamaged"]
    assert desk.path.read_text().startswith("kept_runs_per_job: many")

    await desk.save(kept_runs_per_job=70)
    (aside,) = desk.path.parent.glob("settings.yaml.damaged-*")
    assert aside.read_text().startswith("kept_runs_per_job: many")
    assert not desk.backup.exists()
    assert [store.is_lost, store.damage] == [False, None]
    assert store.in_force.kept_runs_per_job == 70
    assert "SettingsDamaged" in desk.settled


async def test_an_edit_that_is_not_valid_leaves_the_last_good_settings_in_force(
    desk: Desk,
) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=8)
    await desk.save(max_concurrent_runs=9)
    written = desk.path.read_bytes()
    desk.path.write_text("max_concurrent_runs: lots\n")
    await desk.store.reconcile()
    await desk.store.reconcile()
    assert desk.told == ["SettingsEditInvalid"]
    assert desk.store.in_force.max_concurrent_runs == 9
    wanted = "Write a whole number from 1 to 1,000"
    assert [desk.store.damage] == [f"line 1: max_concurrent_runs: {wanted}"]
    # Should the server start anew now, those are what it finds.
    assert desk.backup.read_bytes() == written

    desk.path.write_text("max_concurrent_runs: 6\n")
    await desk.store.reconcile()
    assert [desk.store.damage, desk.store.in_force.max_concurrent_runs] == [None, 6]
    assert desk.settled[-1] == "SettingsEditInvalid"


async def test_a_file_that_is_removed_by_hand_leaves_the_defaults(desk: Desk) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    desk.path.unlink()
    await desk.store.reconcile()
    assert (desk.store.in_force.max_concurrent_runs, desk.store.is_lost) == (4, False)
    assert desk.applied[-1].max_concurrent_runs == 4


async def test_a_directory_that_is_gone_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    tmp_path.rename(f"{tmp_path}-unmounted")
    with pytest.raises(StorageFailed):
        await desk.store.reconcile()
    assert desk.store.in_force.max_concurrent_runs == 9


@pytest.mark.parametrize("there", [False, True])
async def test_what_cannot_be_read_is_not_written_over(desk: Desk, there: bool) -> None:
    if there:
        desk.backup.write_text("max_concurrent_runs: 7\n")
    desk.path.mkdir()
    store = await desk.open()
    assert (desk.told, store.is_lost) == (["SettingsDamaged"], True)
    with pytest.raises(StorageFailed, match="cannot be read"):
        await desk.save(max_concurrent_runs=5)
    assert desk.path.is_dir()


async def test_a_disk_that_does_not_confirm_is_told_and_what_is_there_is_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.open()

    def not_confirmed(path: str, content: bytes, **more: Any) -> None:
        replace_file(path, content, **more)
        raise NotSynced(5, "Input/output error", path)

    monkeypatch.setattr(settings_file, "replace_file", not_confirmed)
    with pytest.raises(SaveOutcomeUnknown):
        await desk.save(max_concurrent_runs=9)
    assert desk.store.in_force.max_concurrent_runs == 9


async def test_a_full_disk_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.open()
    await desk.save(max_concurrent_runs=9)
    before = desk.path.read_bytes()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageFailed, match="No space left"):
            await desk.save(max_concurrent_runs=5)
    assert desk.path.read_bytes() == before
    assert desk.store.in_force.max_concurrent_runs == 9
    assert sorted(path.name for path in desk.path.parent.iterdir()) == ["settings.yaml"]


async def test_what_a_killed_save_left_is_removed_at_the_start(desk: Desk) -> None:
    left = desk.path.parent / ".new-settings.yaml.0a0a0a0a"
    left.write_text("max_concurrent_runs: 5\n")
    await desk.open()
    assert not left.exists()
