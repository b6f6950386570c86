"""Proves that counters go on over restarts, and show nothing that a crash could take back."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastapi_app.counting import count_fault, count_run, open_counters, totals_of
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Phase, Run
from models.run_spec import RunKind
from storage import counters as counters_module
from storage.counters import Counters, Key
from storage.database import Database
from storage.directory_check import check_directory
from storage.layout import COUNTERS_NAME
from storage.run_repository import RunRepository
from tests.fakes.builders import NOON, a_fault, a_run

ONE: Key = ("runs", "rsync", "transfer", "completed")
TWO: Key = ("runs", "rclone", "transfer", "completed")


async def nothing() -> Mapping[Key, float]:
    """Return what a new data directory begins with."""
    return {}


def ended(run_id: str = "run-1", *, seconds: float | None = 7.0, **fields: Any) -> Run:
    """Return a run that has ended."""
    phase = Phase("transfer", NOON, NOON, "completed", None, seconds)
    values: dict[str, Any] = {
        "status": JobStatus.COMPLETED,
        "outcome": RunOutcome.COMPLETED,
        "ended_at": NOON,
        "phases": (phase,),
        "bytes_sent": 1000,
    }
    return a_run(run_id, **(values | fields))


async def test_counters_go_on_where_they_stood(tmp_path: Path) -> None:
    counters = await Counters.open(tmp_path, nothing)
    counters.add(ONE)
    counters.add(("sent_bytes", 'a "b"\n\\ü'), 2.5)
    await counters.close()

    again = await Counters.open(tmp_path, nothing)
    again.add(ONE, 2)
    await again.close()

    last = await Counters.open(tmp_path, nothing)
    assert last.shown == {ONE: 3, ("sent_bytes", 'a "b"\n\\ü'): 2.5}
    assert last.damage is None
    await last.close()


async def test_nothing_is_shown_that_a_crash_could_take_back(tmp_path: Path) -> None:
    counters = await Counters.open(tmp_path, nothing)
    counters.add(ONE)
    assert counters.shown == {}
    await counters.save()
    counters.add(ONE)
    shown = counters.shown
    # It is not closed: it was killed here.
    after = await Counters.open(tmp_path, nothing)
    assert after.shown == shown == {ONE: 1}


async def test_what_a_crash_left_of_a_save_is_removed(tmp_path: Path) -> None:
    others = tmp_path / ".new-settings.yaml.00000000"
    others.touch()
    (tmp_path / f".new-{COUNTERS_NAME}.0123abcd").write_text("{")
    for _ in range(2):
        counters = await Counters.open(tmp_path, nothing)
        counters.add(ONE)
        await counters.close()
    assert {path.name for path in tmp_path.iterdir()} == {COUNTERS_NAME, others.name}


async def test_what_changes_is_kept_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters_module, "PAUSE_SECONDS", 0.0)
    counters = await Counters.open(tmp_path, nothing)
    task = asyncio.create_task(counters.run())
    async with asyncio.timeout(10):
        for count in (1, 2, 3):
            counters.add(ONE)
            while counters.shown.get(ONE) != count:
                await asyncio.sleep(0.005)
    task.cancel()


async def test_a_disk_that_takes_nothing_does_not_stop_the_counters(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    counters = await Counters.open(directory, nothing)
    counters.add(ONE)
    directory.rename(tmp_path / "away")
    await counters.save()
    counters.add(ONE)
    assert counters.shown == {ONE: 2}

    (tmp_path / "away").rename(directory)
    await counters.save()
    counters.add(ONE)
    assert counters.shown == {ONE: 2}, "what is shown is kept again"


async def test_a_disk_that_hangs_does_not_hold_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, hangs = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hangs.set()
        goes_on.wait(30)

    monkeypatch.setattr(counters_module, "replace_file", hang)
    counters = await Counters.open(tmp_path, nothing)
    counters.add(ONE)
    saving = asyncio.create_task(counters.save())
    try:
        assert await asyncio.to_thread(hangs.wait, 10)
        assert counters.shown == {}
        monkeypatch.setattr(counters_module, "PATIENCE_SECONDS", -1.0)
        assert counters.shown == {ONE: 1}
        counters.add(ONE)
        assert counters.shown == {ONE: 2}
        counters.add(ONE)
    finally:
        goes_on.set()
    await saving
    # On disk is the first alone. What was told does not fall all the same.
    monkeypatch.setattr(counters_module, "PATIENCE_SECONDS", 60.0)
    assert counters.shown == {ONE: 2}
    await counters.save()
    assert counters.shown == {ONE: 3}


async def test_what_is_shown_does_not_fall_when_a_disk_takes_something_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    counters = await Counters.open(tmp_path, nothing)
    counters.add(ONE)
    with monkeypatch.context() as broken:
        broken.setattr(counters_module, "replace_file", fail)
        await counters.save()
    saving = asyncio.create_task(counters.save())
    await asyncio.sleep(0)
    counters.add(ONE)
    counters.add(TWO)
    assert counters.shown == {ONE: 2, TWO: 1}
    await saving
    assert counters.shown == {ONE: 2, TWO: 1}
    counters.add(ONE)
    assert counters.shown == {ONE: 2, TWO: 1}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "counters": []}',
        '{"format": 1, "counters": 5}',
        '{"format": 1, "counters": [["runs", "rsync"]]}',
        '{"format": 1, "counters": [["runs", -1]]}',
        '{"format": 1, "counters": [["runs", NaN]]}',
        '{"format": 1, "counters": [["runs", true]]}',
        '{"format": 1, "counters": [[5, 5]]}',
        "[" * 100_000,
        "\udcff",
    ],
)
async def test_a_file_that_is_none_is_told_and_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / COUNTERS_NAME).write_bytes(content.encode("utf-8", "surrogateescape"))

    async def first() -> Mapping[Key, float]:
        return {ONE: 5}

    counters = await Counters.open(tmp_path, first)
    assert counters.shown == {ONE: 5}
    assert counters.damage
    await counters.close()
    assert (await Counters.open(tmp_path, nothing)).shown == {ONE: 5}
    (aside,) = tmp_path.glob(f"{COUNTERS_NAME}.damaged-*")
    assert aside.read_bytes() == content.encode("utf-8", "surrogateescape")
    (found,) = check_directory(tmp_path, is_served=False).findings
    assert found.place == aside.name


async def test_a_file_that_cannot_be_read_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = await Counters.open(tmp_path, nothing)
    counters.add(ONE)
    await counters.close()

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(counters_module, "_read", fail)
        counters = await Counters.open(tmp_path, nothing)
        broken.setattr(counters_module, "keep_aside", fail)
        counters.add(TWO)
        await counters.save()
    assert (await Counters.open(tmp_path, nothing)).shown == {ONE: 1}
    await counters.close()
    assert (await Counters.open(tmp_path, nothing)).shown == {TWO: 1}
    (aside,) = tmp_path.glob(f"{COUNTERS_NAME}.damaged-*")
    aside.rename(tmp_path / COUNTERS_NAME)
    assert (await Counters.open(tmp_path, nothing)).shown == {ONE: 1}


async def test_they_begin_with_the_runs_that_the_history_holds(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    runs = RunRepository(database)
    for number in range(3):
        await runs.save(ended(f"run-{number}"))
    await runs.save(ended("run-3", engine="rclone", outcome=RunOutcome.FAILED))
    await runs.save(a_run("run-4"))

    totals = totals_of((await open_counters(tmp_path, database)).shown)

    assert totals.runs == {
        ("rsync", "transfer", "completed"): 3,
        ("rclone", "transfer", "failed"): 1,
    }
    assert totals.sent_bytes == {("rsync",): 3000, ("rclone",): 1000}
    await database.close()


async def test_a_run_is_counted_once_however_often_its_end_is_kept(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    counted: list[str] = []

    def count(run: Run) -> None:
        if run.is_over:
            counted.append(run.id)

    runs = RunRepository(database, on_step=count)
    await runs.add(a_run("run-1"))
    assert counted == []
    await runs.save(ended("run-1"))
    await runs.save(ended("run-1", outcome=RunOutcome.FAILED))
    await runs.save(ended("run-2"))
    assert counted == ["run-1", "run-2"]
    # Also by the next dashboard, which reads the journal again.
    again = RunRepository(database, on_step=count)
    await again.save(ended("run-1"))
    assert counted == ["run-1", "run-2"]
    await database.close()


async def test_what_is_counted_of_runs_and_faults(tmp_path: Path) -> None:
    counters = await Counters.open(tmp_path, nothing)
    for seconds in (0.5, 1.0, 61.0, 1e9, None):
        count_run(counters, ended(seconds=seconds))
    count_run(counters, ended(kind=RunKind.DRY_RUN, bytes_sent=0))
    for _ in range(2):
        count_fault(counters, a_fault())
    # Of an older version that had other bounds.
    counters.add(("run_durations", "rsync", "30"))
    await counters.close()

    totals = totals_of(counters.shown)

    assert totals.runs == {
        ("rsync", "transfer", "completed"): 5,
        ("rsync", "dry_run", "completed"): 1,
    }
    assert totals.sent_bytes == {("rsync",): 5000}
    assert totals.errors == {("high", "storage"): 2}
    durations = totals.durations["rsync"]
    counts = {
        bound: count
        for bound, count in zip((*durations.bounds, "+Inf"), durations.counts, strict=True)
        if count
    }
    assert counts == {1: 2, 60: 1, 300: 1, "+Inf": 1}
    assert durations.total == 0.5 + 1.0 + 61.0 + 1e9
