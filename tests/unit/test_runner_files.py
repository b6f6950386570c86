"""Proves what the runner leaves on disk: whole journal lines whatever the disk does, a log with a
bound that says what it lost, and a result."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from core.runner.journal import CappedLog, Journal, write_result
from models import events
from models.events import PhaseStarted, RunEnded
from models.progress import Progress
from storage.run_directories import read_journal_part


def names_in(directory: Path) -> list[str]:
    """Return the phases that a reader finds in the journal."""
    lines = read_journal_part(directory, 0).lines
    return [line.event.name for line in lines if isinstance(line.event, PhaseStarted)]


def test_each_event_is_one_line_at_once(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    for name in ("a", "ü\n🚢", "c"):
        journal.append(PhaseStarted(name))
    assert names_in(tmp_path) == ["a", "ü\n🚢", "c"]
    path = tmp_path / "journal.jsonl"
    assert path.read_bytes().isascii()
    assert path.read_bytes().count(b"\n") == 3
    assert journal.size == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    journal.close()


def test_a_journal_is_gone_on_with(tmp_path: Path) -> None:
    for name in ("a", "b"):
        journal = Journal(str(tmp_path))
        journal.append(PhaseStarted(name))
        journal.close()
    journal = Journal(str(tmp_path))
    assert journal.size == (tmp_path / "journal.jsonl").stat().st_size
    journal.close()
    assert names_in(tmp_path) == ["a", "b"]


def test_a_line_that_was_cut_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(str(tmp_path))
    journal.append(PhaseStarted("first"))
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:20]))
        journal.append(PhaseStarted("cut"))
    journal.append(PhaseStarted("next"))
    journal.append(PhaseStarted("last"))
    assert names_in(tmp_path) == ["first", "next", "last"]
    assert journal.size == (tmp_path / "journal.jsonl").stat().st_size
    journal.close()


def test_a_full_disk_loses_what_will_be_outdated_and_tells_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    journal = Journal(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        journal.append_if_possible(PhaseStarted("lost"))
        with pytest.raises(OSError, match="No space left"):
            journal.append(PhaseStarted("told"))
    journal.append(PhaseStarted("next"))
    assert names_in(tmp_path) == ["next"]
    journal.close()


def test_the_result(tmp_path: Path) -> None:
    ended = RunEnded("completed", 1, 0, None, 0, 0, Progress(bytes_done=7))
    write_result(str(tmp_path), ended)
    document = json.loads((tmp_path / "result.json").read_bytes())
    assert document["format"] == 1
    line = events.from_document(document)
    assert line is not None
    assert line.event == ended


def numbered(count: int) -> list[bytes]:
    """Return lines of ten bytes each."""
    return [b"line %04d\n" % number for number in range(count)]


def logged(directory: Path, lines: list[bytes]) -> tuple[bytes, int]:
    """Return the log of these lines, and the most that was on disk meanwhile."""
    log = CappedLog(str(directory), head_bytes=100, tail_bytes=50)
    most = 0
    for line in lines:
        log.write(line)
        most = max(most, sum(path.stat().st_size for path in directory.iterdir()))
    log.close()
    assert [path.name for path in directory.iterdir()] == ["engine.log"]
    return (directory / "engine.log").read_bytes(), most


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 15, 16, 20])
def test_a_log_within_its_bound_is_whole(tmp_path: Path, count: int) -> None:
    lines = numbered(count)
    assert logged(tmp_path, lines)[0] == b"".join(lines)


@pytest.mark.parametrize("count", [21, 25, 26, 30, 31, 100, 999])
def test_a_long_log_keeps_head_and_tail_and_says_what_it_lost(tmp_path: Path, count: int) -> None:
    lines = numbered(count)
    content, most = logged(tmp_path, lines)
    assert most <= 100 + 2 * 50
    head, cut, tail = content.decode().partition("\n… ")
    assert head == b"".join(lines[:10]).decode()
    lost, _, tail = tail.partition(" bytes of output were not kept here …\n\n")
    kept = len(tail) // 10
    assert cut
    assert 5 <= kept <= 10
    assert tail == b"".join(lines[-kept:]).decode()
    assert int(lost) == (count - 10 - kept) * 10


def test_a_line_longer_than_the_whole_bound(tmp_path: Path) -> None:
    content, _ = logged(tmp_path, [b"x" * 500 + b"\n", *numbered(3)])
    assert content.endswith(b"".join(numbered(3)))


def test_a_full_disk_does_not_stop_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CappedLog(str(tmp_path), head_bytes=100, tail_bytes=50)

    def fail(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    log.write(b"before\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        log.write(b"lost\n")
    log.write(b"after\n")
    log.close()
    assert (tmp_path / "engine.log").read_bytes() == b"before\nafter\n"


def test_a_rotation_that_fails_writes_to_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").mkdir()
    log = CappedLog(str(tmp_path / "log"), head_bytes=20, tail_bytes=20)
    for line in numbered(4):
        log.write(line)

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        log.write(b"one too many\n")
    # A descriptor that the log has let go of may be anybody's by now.
    with (tmp_path / "other").open("wb", buffering=0) as other:
        for line in numbered(8):
            log.write(line)
        log.close()
        assert other.tell() == 0
    assert (tmp_path / "log" / "engine.log").read_bytes().endswith(b"line 0006\nline 0007\n")
