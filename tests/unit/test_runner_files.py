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
from models.engine_log import bounds
from models.events import PhaseStarted, RunEnded
from models.progress import Progress
from storage.engine_log import log_window
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


CAP = 20_000
HEAD, RING = bounds(CAP)
LINE = 10


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Return lines of ten bytes each."""
    return [b"ln %06d\n" % number for number in range(start, start + count)]


def on_disk(directory: Path) -> int:
    """Return how much the log takes."""
    return sum(path.stat().st_size for path in directory.iterdir())


def logged(directory: Path, pieces: list[bytes]) -> bytes:
    """Return the log of what is written to it, which never takes more than its bound."""
    log = CappedLog(str(directory), max_bytes=CAP)
    for piece in pieces:
        log.write(piece)
        assert on_disk(directory) <= CAP
    log.close()
    assert on_disk(directory) <= CAP
    return (directory / "engine.log").read_bytes()


def pieces_of(lines: list[bytes], size: int) -> list[bytes]:
    """Put so many lines at a time together, as they come out of a pipe."""
    return [b"".join(lines[start : start + size]) for start in range(0, len(lines), size)]


@pytest.mark.parametrize("count", [0, 1, HEAD // LINE, HEAD // LINE + 1, (HEAD + RING) // LINE])
@pytest.mark.parametrize("size", [1, 7, 2000])
def test_a_log_within_its_bound_is_whole(tmp_path: Path, count: int, size: int) -> None:
    lines = numbered(count)
    assert logged(tmp_path, pieces_of(lines, size)) == b"".join(lines)
    assert [path.name for path in tmp_path.iterdir()] == ["engine.log"]


@pytest.mark.parametrize("count", [(HEAD + RING) // LINE + 1, 1300, 1600, 2000, 9999])
@pytest.mark.parametrize("size", [1, 7, 300, 700, 20_000])
def test_a_long_log_keeps_head_and_tail_and_says_what_it_lost(
    tmp_path: Path, count: int, size: int
) -> None:
    lines = numbered(count)
    content = logged(tmp_path, pieces_of(lines, size))
    head, cut, tail = content.decode().partition("\n… ")
    lost, _, tail = tail.partition(" bytes of output were not kept here …\n\n")
    kept_head, kept_tail = len(head) // LINE, len(tail) // LINE
    assert cut
    assert (kept_head, kept_tail) == (HEAD // LINE, (RING - 1) // LINE)
    assert head == b"".join(lines[:kept_head]).decode()
    assert tail == b"".join(lines[-kept_tail:]).decode()
    assert int(lost) == (count - kept_head - kept_tail) * LINE


def test_lines_longer_than_the_whole_bound(tmp_path: Path) -> None:
    lines = numbered(3)
    content = logged(tmp_path, [b"x" * 5 * CAP + b"\n", *lines])
    assert content.endswith(b"".join(lines))
    (tmp_path / "other").mkdir()
    assert len(logged(tmp_path / "other", [b"x" * 5 * CAP])) > RING


def test_a_full_disk_does_not_stop_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    log.write(b"before\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        log.write(b"lost\n")
    log.write(b"after\n")
    log.close()
    content = (tmp_path / "engine.log").read_bytes().decode()
    assert content == "before\nafter\n\n… 5 bytes of output could not be written …\n"


@pytest.mark.parametrize("goes_around", [False, True])
def test_what_a_full_disk_took_of_the_tail_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_around: bool
) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    for line in numbered(2000 if goes_around else HEAD // LINE + 10):
        log.write(line)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        log.write(b"lost\n")
    with monkeypatch.context() as patch:
        # A disk that is full takes a part.
        real = os.pwrite
        patch.setattr(os, "pwrite", lambda where, what, at: real(where, what[:200], at))
        log.write(b"".join(numbered(100, 5000)))
    for line in numbered(20, 3000):
        log.write(line)
    log.close()
    content = (tmp_path / "engine.log").read_bytes()
    assert content.endswith(b"".join(numbered(20, 3000)))
    assert b"ln 005" not in content
    told = int(content.partition("\n… ".encode())[2].split()[0])
    written = 2000 * LINE + 5 + 1000 + 200 if goes_around else HEAD + 100 + 5 + 1000 + 200
    notice = len(f"\n… {told} bytes of output were not kept here …\n\n".encode())
    assert told == written - (len(content) - notice)


def test_head_and_tail_stay_as_they_are_where_there_is_no_room_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    lines = numbered(2000)
    for line in lines:
        log.write(line)
    with monkeypatch.context() as patch:
        real = os.write
        patch.setattr(os, "write", lambda where, what: real(where, what[:100]))
        log.close()
    assert (tmp_path / "engine.log").read_bytes() == b"".join(lines[: HEAD // LINE])
    text = log_window(tmp_path, 0, CAP).content
    assert text.startswith(b"".join(lines[: HEAD // LINE]))
    assert text.endswith(b"".join(lines[-300:]))


def test_last_words_of_the_runner_itself_are_kept(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    for line in numbered(2000):
        log.write(line)
    before = os.dup(2)
    try:
        log.receive_standard_error()
        os.write(2, b"Traceback of the runner\n")
    finally:
        os.dup2(before, 2)
        os.close(before)
    log.close()
    content = (tmp_path / "engine.log").read_bytes()
    assert content.index(b"Traceback of the runner") == HEAD
    assert content.endswith(b"ln 001999\n")
    assert log_window(tmp_path, 0, CAP).content == content


def fail(*_: Any) -> int:
    """Do as a full disk does."""
    raise OSError(28, "No space left on device")
