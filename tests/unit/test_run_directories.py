"""Proves how run directories are made, and how journal, result and log are read back."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from core.runner.journal import Journal
from models import events
from models.errors import StorageFailed
from models.events import FileFailed, PhaseStarted, RunProcesses
from models.progress import Progress
from models.run import FailedFile
from models.run_spec import RunSpec
from storage.run_directories import RunDirectoryStorage
from tests.fakes.builders import a_spec
from utils.durable_file import try_lock
from utils.process_identity import ProcessIdentity


@pytest.fixture
def directories(tmp_path: Path) -> RunDirectoryStorage:
    """Run directories beneath an empty data directory, with one run's folder in it."""
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    return RunDirectoryStorage(tmp_path)


def line(event: events.Event) -> bytes:
    """Return an event as it stands in a journal."""
    return json.dumps(events.to_document(event, "now")).encode() + b"\n"


def write(directories: RunDirectoryStorage, name: str, content: bytes) -> None:
    """Write a file of the run."""
    (directories.path_of("run-1") / name).write_bytes(content)


async def test_prepare_and_remove(tmp_path: Path) -> None:
    directories = RunDirectoryStorage(tmp_path)
    spec = a_spec(run_id="run-2", exclude=("ü",))
    await directories.prepare(spec)
    path = directories.path_of("run-2")
    assert RunSpec.from_document(json.loads((path / "spec.json").read_bytes())) == spec
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "spec.json").stat().st_mode) == 0o600
    with pytest.raises(StorageFailed, match="Preparing the run failed: File exists"):
        await directories.prepare(spec)
    await directories.remove("run-2")
    assert not path.exists()
    await directories.remove("run-2")


async def test_a_run_without_files(directories: RunDirectoryStorage) -> None:
    assert await directories.read_journal("run-1") == ()
    assert await directories.result("run-1") is None
    assert await directories.processes("run-1") == RunProcesses(None)
    assert await directories.is_held("run-1") is False
    assert await directories.log_size("run-1") == 0
    assert await directories.read_log("run-1", offset=0, limit=10) == b""
    assert await directories.is_held("nobody") is False


async def test_a_cut_last_line_is_read_once_it_is_whole(directories: RunDirectoryStorage) -> None:
    first, second = line(PhaseStarted("transfer")), line(PhaseStarted("verify"))
    write(directories, "journal.jsonl", first + second[:-9])
    part = await directories.read_journal_part("run-1", 0)
    assert [entry.event for entry in part.lines] == [PhaseStarted("transfer")]
    assert part.next_offset == len(first)
    assert (await directories.read_journal_part("run-1", part.next_offset)).lines == ()
    write(directories, "journal.jsonl", first + second)
    part = await directories.read_journal_part("run-1", part.next_offset)
    assert [entry.event for entry in part.lines] == [PhaseStarted("verify")]
    assert part.next_offset == len(first + second)


@pytest.mark.parametrize(
    "damage",
    [
        b'{"event": "phase_sta\n',
        b"\x00\xff\xfe\n",
        b"[]\n",
        b'{"event": "progress", "progress": null}\n',
        b'{"event": "invented_later"}\n',
        b"[" * 50_000 + b"\n",
        b"9" * 5000 + b"\n",
        b"\n",
        b"\r\n",
    ],
)
async def test_a_damaged_line_is_passed_over(
    directories: RunDirectoryStorage, damage: bytes
) -> None:
    first, second = line(PhaseStarted("transfer")), line(PhaseStarted("verify"))
    write(directories, "journal.jsonl", first + damage + second)
    part = await directories.read_journal_part("run-1", 0)
    assert [entry.event for entry in part.lines] == [
        PhaseStarted("transfer"),
        PhaseStarted("verify"),
    ]
    assert part.next_offset == len(first + damage + second)


async def test_a_long_journal_is_read_to_its_end(directories: RunDirectoryStorage) -> None:
    one = line(FileFailed("a" * 1000, "reason"))
    write(directories, "journal.jsonl", one * 3000)
    part = await directories.read_journal_part("run-1", 0)
    assert 0 < len(part.lines) < 3000
    assert len(await directories.read_journal("run-1")) == 3000


async def test_a_megabyte_without_a_line_does_not_stop_the_reader(
    directories: RunDirectoryStorage,
) -> None:
    rubbish = b"x" * (1024 * 1024 + 100) + b"\n"
    write(directories, "journal.jsonl", rubbish + line(PhaseStarted("verify")))
    lines = await directories.read_journal("run-1")
    assert [entry.event for entry in lines] == [PhaseStarted("verify")]


async def test_processes_are_the_runner_and_the_last_engine(
    directories: RunDirectoryStorage,
) -> None:
    who = [ProcessIdentity(pid, pid * 10, "boot") for pid in (1, 2, 3)]
    journal: list[events.Event] = [
        events.RunStarted(who[0]),
        events.EngineStarted(who[1], 1),
        events.EngineStarted(who[2], 2),
    ]
    write(directories, "journal.jsonl", b"".join(line(event) for event in journal))
    assert await directories.processes("run-1") == RunProcesses(who[0], tuple(who[1:]))


async def test_failures_are_those_of_the_last_attempt(directories: RunDirectoryStorage) -> None:
    who = ProcessIdentity(1, 10, "boot")
    journal: list[events.Event] = [
        events.EngineStarted(who, 1),
        FileFailed("a", "x", 1),
        events.EngineStarted(who, 2),
        FileFailed("b", "y", 2),
        FileFailed("c", "z", 2),
    ]
    write(directories, "journal.jsonl", b"".join(line(event) for event in journal))
    expected = (FailedFile("b", "y"), FailedFile("c", "z"))
    assert await directories.failures("run-1") == expected


async def test_the_result(directories: RunDirectoryStorage) -> None:
    ended = events.RunEnded("completed", 1, 0, None, 0, 0, Progress(bytes_done=7))
    document = {"format": 1, **events.to_document(ended, "now")}
    write(directories, "result.json", json.dumps(document).encode())
    assert await directories.result("run-1") == events.JournalLine("now", ended)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"event": "run_ended"}'])
async def test_a_damaged_result_is_none(directories: RunDirectoryStorage, content: bytes) -> None:
    write(directories, "result.json", content)
    assert await directories.result("run-1") is None


async def test_is_held(directories: RunDirectoryStorage) -> None:
    lock = try_lock(directories.path_of("run-1") / "lock")
    assert lock is not None
    assert await directories.is_held("run-1") is True
    inherited = os.dup(lock)
    os.close(lock)
    assert await directories.is_held("run-1") is True, "the engine process still holds it"
    os.close(inherited)
    assert await directories.is_held("run-1") is False


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 100, b"0123456789"),
        (0, 3, b"012"),
        (4, 3, b"456"),
        (9, 5, b"9"),
        (10, 5, b""),
        (10**12, 5, b""),
        (-3, 100, b"789"),
        (-3, 2, b"78"),
        (-10, 2, b"01"),
        (-(10**12), 2, b"01"),
        (0, 0, b""),
        (0, -5, b""),
    ],
)
async def test_a_window_of_the_log(
    directories: RunDirectoryStorage, offset: int, limit: int, expected: bytes
) -> None:
    write(directories, "engine.log", b"0123456789")
    assert await directories.read_log("run-1", offset=offset, limit=limit) == expected
    assert await directories.log_size("run-1") == 10


async def test_a_window_is_bounded(directories: RunDirectoryStorage) -> None:
    write(directories, "engine.log", b"x" * (3 * 1024 * 1024))
    window = await directories.read_log("run-1", offset=0, limit=10**9)
    assert len(window) == 1024 * 1024


async def test_of_progress_only_the_newest_of_a_part_is_read(
    directories: RunDirectoryStorage,
) -> None:
    """A long journal is progress for the most part, and each line of it outdates the one before."""
    journal = Journal(str(directories.path_of("run-1")))
    for number in range(3):
        journal.append(events.ProgressMade(Progress(bytes_done=number)))
        journal.append(PhaseStarted("transfer", number + 1))
    journal.close()
    part = await directories.read_journal_part("run-1", 0)
    assert [type(line.event).__name__ for line in part.lines] == [
        "PhaseStarted",
        "PhaseStarted",
        "ProgressMade",
        "PhaseStarted",
    ]
    assert part.lines[2].event == events.ProgressMade(Progress(bytes_done=2))
    assert (await directories.read_journal_part("run-1", part.next_offset)).lines == ()


async def test_damaged_lines_are_counted(directories: RunDirectoryStorage) -> None:
    write(directories, "journal.jsonl", b"{\n" + line(PhaseStarted("transfer")) + b"\0\0\0\n[1]\n")
    part = await directories.read_journal_part("run-1", 0)
    assert (len(part.lines), part.damaged) == (1, 3)


async def test_directories_of_late_and_of_living_runs_are_not_settled(
    directories: RunDirectoryStorage,
) -> None:
    root = directories.path_of("run-1").parent
    for name in ("old", "alive"):
        (root / name).mkdir()
    lock = try_lock(root / "alive" / "lock")
    two_days_ago = time.time() - 2 * 86_400
    for name in ("old", "alive"):
        os.utime(root / name, (two_days_ago, two_days_ago))
    assert await directories.settled(1) == {"old"}
    assert await directories.settled(3) == frozenset()
    assert lock is not None
    os.close(lock)
    assert await directories.settled(1) == {"old", "alive"}
