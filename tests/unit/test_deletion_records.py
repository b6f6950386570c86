"""Proves that a run's record of deletions is read whatever state it is in, that a long one neither
fills the memory nor holds up the server, and that it is found and forgotten as promised."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from models.deleted_sources import DeletingRun
from models.errors import FileFailed
from models.source_deletions import RECORD_NAME, Deletion, DeletionOutcome
from storage import deletion_repository
from storage.database import Database
from storage.deletion_records import read_record
from storage.deletion_repository import DeletionRepository
from tests.fakes.builders import NOON

MANY = 200_000
_MEBIBYTE = 1024 * 1024


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database."""
    database = await Database.open(tmp_path)
    yield database
    await database.close()


def a_run(run_id: str = "run-1", ended_at: str = NOON, **fields: Any) -> DeletingRun:
    """Return a run that deletes."""
    return DeletingRun(run_id, "photos-0001", "Photos", "/srv", "/mnt", ended_at, **fields)


def leave(top: Path, *lines: object, run_id: str = "run-1") -> Path:
    """Write the record of a run, of documents and of raw lines; returns its directory."""
    directory = top / "runs" / run_id
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / RECORD_NAME).open("wb") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
    return directory


def intended(number: int, path: str | None = None) -> dict[str, Any]:
    """Return the line that is written ahead."""
    return {
        "n": number,
        "outcome": "intended",
        "path": path or f"2026/holiday/IMG_{number:08d}.jpg",
        "size": number,
        "mtime_ns": 10**18,
        "hash": "sha256:" + "ab" * 32,
        "t": NOON,
    }


def became(number: int, outcome: str = "trashed", **more: Any) -> dict[str, Any]:
    """Return the line that says what became of it."""
    return {"n": number, "outcome": outcome, "t": NOON, **more}


def batches(count: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run over so many files, as its process writes them."""
    for start in range(1, count + 1, 256):
        numbers = range(start, min(start + 256, count + 1))
        yield from map(intended, numbers)
        yield from map(became, numbers)


async def rows(database: Database, top: Path, run_id: str = "run-1") -> dict[int, Deletion]:
    """Return all that is on record of a run, by number."""
    found: dict[int, Deletion] = {}
    cursor: str | None = None
    while True:
        page = await DeletionRepository(database, top).list_deletions(
            run_id, limit=500, cursor=cursor
        )
        found |= {one.number: one for one in page.items}
        cursor = page.next_cursor
        if cursor is None:
            assert len(found) == page.total
            return found


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\xff{{{\n",
        b"[" * 5000 + b"\n",
        b'"text"\n',
        b'{"n":"x","outcome":"deleted","t":"now"}\n',
        b'{"n":3,"outcome":"eaten","path":"a","t":"now"}\n',
        b'{"n":3,"path":"a"}\n',
        b'{"n":3,"outcome":"deleted","path":"\\ud800","t":"now"}\n',
        b'{"n":99999999999999999999,"outcome":"deleted","t":"now"}\n',
        b"x" * (2 * _MEBIBYTE) + b"\n",
        b"\n",
    ],
    ids=range(10),
)
async def test_damaged_lines_are_passed_over_and_the_rest_is_taken(
    database: Database, tmp_path: Path, damage: bytes
) -> None:
    half = json.dumps(became(2)).encode()[:-9]
    leave(tmp_path, {"format": 1}, intended(1), damage, intended(2), became(1), damage, half)

    await DeletionRepository(database, tmp_path).take(a_run())

    found = await rows(database, tmp_path)
    assert {n: one.outcome for n, one in found.items()} == {1: "trashed", 2: "intended"}
    assert found[1] == Deletion(
        1,
        "2026/holiday/IMG_00000001.jpg",
        DeletionOutcome.TRASHED,
        NOON,
        1,
        10**18,
        "sha256:" + "ab" * 32,
    )


async def test_doubled_lines_are_one_row_and_the_last_word_counts(
    database: Database, tmp_path: Path
) -> None:
    twice = [intended(1), intended(1), became(1, "kept", reason="It was changed."), became(1)]
    leave(tmp_path, {"format": 1}, *twice, {"format": 1})
    await DeletionRepository(database, tmp_path).take(a_run())
    (only,) = (await rows(database, tmp_path)).values()
    assert (only.outcome, only.reason) == ("trashed", None)


async def test_what_becomes_of_a_file_is_kept_in_whichever_part_of_the_record_it_stands(
    database: Database, tmp_path: Path
) -> None:
    numbers = range(1, 3001)
    leave(tmp_path, *map(intended, numbers), *(became(n, "kept", reason="why") for n in numbers))
    await DeletionRepository(database, tmp_path).take(a_run())
    found = await rows(database, tmp_path)
    assert {(one.outcome, one.reason) for one in found.values()} == {("kept", "why")}
    assert {one.size for one in found.values()} == set(numbers)


async def test_cut_off_in_the_middle_of_taking_it_over_nothing_is_lost_or_doubled(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, *batches(5000))
    write, parts = database.write, 0

    async def cut_off(work: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts == 3:
            raise ZeroDivisionError
        return await write(work)

    repository = DeletionRepository(database, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(database, "write", cut_off)
        with pytest.raises(ZeroDivisionError):
            await repository.take(a_run())
    assert await repository.run("run-1") is None

    await repository.take(a_run())

    run = await repository.run("run-1")
    assert run is not None
    assert (run.trashed, len(await rows(database, tmp_path))) == (5000, 5000)


async def test_a_long_record_neither_fills_the_memory_nor_holds_up_the_server(
    room: Path,
) -> None:
    database = await Database.open(room)
    directory = leave(room, *batches(MANY // 2))
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            # What this process computes meanwhile, in any thread: others' load does not count.
            start = time.process_time()
            await asyncio.sleep(0.01)
            worst = max(worst, time.process_time() - start)

    watcher = asyncio.create_task(watch())
    repository = DeletionRepository(database, room)
    await repository.take(a_run())
    watcher.cancel()

    run = await repository.run("run-1")
    await database.close()
    assert run is not None
    assert run.trashed == MANY // 2
    assert worst < 0.5, f"the event loop stood still for {worst:.3f} s"

    tracemalloc.start()
    try:
        # The first part of many tells how much one takes.
        for number, _ in enumerate(read_record(directory)):
            if number == 3:
                break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * _MEBIBYTE, f"{peak / _MEBIBYTE:.1f} MiB for a part"


async def test_putting_back_looks_at_no_other_rows(database: Database, tmp_path: Path) -> None:
    leave(tmp_path, *batches(4000))
    repository = DeletionRepository(database, tmp_path)
    await repository.take(a_run())
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def begin(connection: Connection) -> None:
        connection.connection.driver_connection.set_progress_handler(count, 1000)  # type: ignore[union-attr]

    await database.write(begin)
    names = [(f"2026/holiday/IMG_{number:08d}.jpg".encode(), None) for number in range(1, 1001)]
    await repository.note_put_back("run-1", names, now=NOON, is_all=False)

    assert (
        len([one for one in (await rows(database, tmp_path)).values() if one.outcome == "restored"])
        == 1000
    )
    # A thousand steps of SQLite's machine each: a scan for every name takes 20,000 of them.
    assert steps < 1000, steps


async def test_sources_are_found_by_words_in_path_and_reason_and_by_outcome(
    database: Database, tmp_path: Path
) -> None:
    leave(
        tmp_path,
        intended(1, "100%_a\\b"),
        became(1),
        intended(2, "Über/x"),
        became(2, "deleted"),
        became(3, "kept", path="100 z", reason="It is OPEN for writing."),
    )
    repository = DeletionRepository(database, tmp_path)
    await repository.take(a_run())

    async def numbers(**wanted: Any) -> list[int]:
        page = await repository.list_deletions("run-1", **wanted)
        assert page.total == len(page.items)
        return [one.number for one in page.items]

    assert await numbers(q="%_A\\") == [1]
    assert await numbers(q="%") == [1]
    assert await numbers(q="open FOR") == [3]
    assert await numbers(q="100") == [1, 3]
    assert await numbers(q="100", outcome="kept") == [3]
    assert await numbers(q="Über") == [2]
    assert await numbers(outcome="restored") == []
    assert await numbers(q="'; DROP TABLE deletions; --") == []


async def test_the_oldest_are_forgotten_and_never_the_newest_nor_what_lies_in_a_trash(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_repository, "MAX_ROWS", 10)
    repository = DeletionRepository(database, tmp_path)
    runs = (
        ("ancient", "2025-01-01T00:00:00.000Z", None),
        ("in trash", "2025-01-02T00:00:00.000Z", "2025-02-01T00:00:00.000Z"),
        ("old", "2026-10-01T00:00:00.000Z", None),
        ("newer", "2026-10-02T00:00:00.000Z", None),
        ("newest", "2026-10-03T00:00:00.000Z", None),
    )
    for run_id, ended_at, until in runs:
        outcome = "trashed" if until else "deleted"
        lines = [line for n in range(1, 6) for line in (intended(n), became(n, outcome))]
        leave(tmp_path, *lines, run_id=run_id)
        await repository.take(a_run(run_id, ended_at, trash_until=until))

    assert await repository.prune("2026-11-26T00:00:00.000Z") == 3

    left = {run_id for run_id, _, _ in runs if await repository.run(run_id) is not None}
    assert left == {"in trash", "newest"}
    assert len(await rows(database, tmp_path, "newest")) == 5
    assert await rows(database, tmp_path, "old") == {}
    assert await repository.prune("2027-12-26T00:00:00.000Z") == 0


async def test_a_record_that_cannot_be_read_names_its_file(
    database: Database, tmp_path: Path
) -> None:
    record = tmp_path / "runs" / "run-1" / RECORD_NAME
    record.mkdir(parents=True)
    with pytest.raises(FileFailed) as caught:
        await DeletionRepository(database, tmp_path).take(a_run())
    assert caught.value.where == str(record)


async def test_run_directories_that_cannot_be_listed_are_named(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("no folder")
    with pytest.raises(FileFailed) as caught:
        await DeletionRepository(database, tmp_path).untaken()
    assert caught.value.where == str(tmp_path / "runs")
