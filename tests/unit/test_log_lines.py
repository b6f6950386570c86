"""Reading a log by lines: what comes out is what a plain look at the whole text gives."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.log_levels import LOG_LEVELS
from core.engines.registry import ENGINES
from core.runner.journal import CappedLog
from models.log_level import LogLevel
from storage import log_lines
from storage.engine_log import LogText
from storage.log_lines import (
    LogLine,
    Wanted,
    count_lines,
    lines_before,
    lines_behind,
    lines_from,
    lines_since,
    matching_parts,
)

RSYNC = LOG_LEVELS["rsync"]
EVERYTHING = Wanted(RSYNC)
words = st.sampled_from(
    [
        b"",
        b">f+++++++++ 12 photo.jpg",
        b"rsync: [sender] send_files failed to open: Permission denied (13)",
        b"file has vanished: x",
        b"\xff\r",
        b"Photo",
        b"a" * 90,
    ]
)
logs = st.builds(
    lambda lines, end: b"\n".join(lines) + (b"\n" if end and lines else b""),
    st.lists(words, max_size=30),
    st.booleans(),
)
wanted_lines = st.builds(
    Wanted,
    st.just(RSYNC),
    st.sampled_from([b"", b"PHOTO", b"a", b"denied", b"nowhere"]),
    st.sampled_from([None, LogLevel.WARNING, LogLevel.ERROR]),
)


def plainly(content: bytes, wanted: Wanted) -> list[LogLine]:
    """Return the wanted lines by a plain look at the whole text."""
    found, place = [], 0
    for part in _split(content):
        line = part.removesuffix(b"\n")
        has_text = wanted.text.lower() in line.lower()
        level = RSYNC.level_of(line)
        has_level = wanted.level is None or level in {wanted.level, LogLevel.ERROR}
        if has_text and has_level:
            found.append(LogLine(place, line))
        place += len(part)
    return found


def _split(content: bytes) -> list[bytes]:
    parts = [part + b"\n" for part in content.split(b"\n")]
    parts[-1] = parts[-1].removesuffix(b"\n")
    return [part for part in parts if part]


@given(content=logs, wanted=wanted_lines, limit=st.integers(1, 7))
def test_paging_in_either_direction_gives_every_wanted_line_once(
    content: bytes, wanted: Wanted, limit: int
) -> None:
    expected = plainly(content, wanted)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(log_lines, "PIECE", 100):
        directory = Path(folder)
        (directory / "engine.log").write_bytes(content)
        forwards: list[LogLine] = []
        place, has_later = 0, True
        while has_later:
            page = lines_from(directory, place, wanted, limit)
            assert len(page.lines) <= limit
            forwards += page.lines
            place, has_later = page.next_place, page.has_later
        backwards: list[LogLine] = []
        before: int | None = None
        has_earlier = True
        while has_earlier:
            page = lines_before(directory, before, wanted, limit)
            backwards[:0] = page.lines
            before, has_earlier = page.first_place, page.has_earlier
        assert forwards == expected
        assert backwards == expected
        middle = expected[len(expected) // 2].place if expected else 0
        count = count_lines(directory, wanted, before=middle)
        assert count.total == len(expected)
        assert count.before == sum(line.place < middle for line in expected)
        exported = b"".join(matching_parts(directory, wanted))
        if wanted.is_everything:
            assert exported == content
        else:
            assert exported == b"".join(line.content + b"\n" for line in expected)


@given(content=logs, limit=st.integers(1, 5))
def test_the_next_hit_is_never_the_same_line_again(content: bytes, limit: int) -> None:
    wanted = Wanted(RSYNC, b"photo")
    expected = plainly(content, wanted)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        (directory / "engine.log").write_bytes(content)
        for line, following in itertools.pairwise(expected):
            assert lines_behind(directory, line.place, wanted, limit).lines[0] == following
        if expected:
            assert not lines_behind(directory, expected[-1].place, wanted, limit).lines


def test_what_was_written_since_is_the_newest_and_says_what_was_left_out(tmp_path: Path) -> None:
    content = b"".join(b"line %03d\n" % number for number in range(100))
    (tmp_path / "engine.log").write_bytes(content + b"half")
    page = lines_since(tmp_path, 90, EVERYTHING, 5, only_whole=True)
    assert [line.content for line in page.lines] == [b"line %03d" % n for n in range(95, 100)]
    assert page.skipped == (95 - 10) * 9
    assert page.next_place == len(content)
    rest = lines_since(tmp_path, page.next_place, EVERYTHING, 5, only_whole=True)
    assert rest.lines == ()
    assert rest.next_place == page.next_place
    whole = lines_since(tmp_path, page.next_place, EVERYTHING, 5, only_whole=False)
    assert [line.content for line in whole.lines] == [b"half"]
    assert lines_since(tmp_path, 0, EVERYTHING, 5, only_whole=True).skipped == 95 * 9


def test_a_log_that_was_cut_in_the_middle_is_read_over_the_cut(tmp_path: Path) -> None:
    """While its runner writes into the ring, and when that stands behind the head."""
    log = CappedLog(str(tmp_path), max_bytes=20_000)
    for number in range(2_000):
        log.write(b"line %05d of the output\n" % number)
    live = LogText(tmp_path)
    assert live.facts is not None
    assert live.facts.kept is None
    text = live.read(0, live.size)
    assert b"were not kept here" in text
    for is_over in (False, True):
        if is_over:
            log.close()
            text = (tmp_path / "engine.log").read_bytes()
        lines: list[bytes] = []
        place, has_later = 0, True
        while has_later:
            page = lines_from(tmp_path, place, EVERYTHING, 50)
            lines += [line.content for line in page.lines]
            place, has_later = page.next_place, page.has_later
        assert lines == text.split(b"\n")[:-1]
        hit = lines_before(tmp_path, None, Wanted(RSYNC, b"line 01990"), 1).lines[0]
        assert lines_from(tmp_path, hit.place, EVERYTHING, 1).lines == (hit,)


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert lines_from(tmp_path, 10, EVERYTHING, 5).lines == ()
    assert lines_before(tmp_path, None, EVERYTHING, 5).lines == ()
    assert count_lines(tmp_path, EVERYTHING).total == 0
    assert list(matching_parts(tmp_path, EVERYTHING)) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_levels(engine: str) -> None:
    assert engine in LOG_LEVELS


@pytest.mark.parametrize(
    ("engine", "line", "level"),
    [
        ("rsync", b">f+++++++++ 12 rsync: photo.jpg", None),
        ("rsync", b'rsync: [sender] send_files failed to open "/a": No (13)', "error"),
        ("rsync", b"rsync error: some files were not transferred (code 23) at main.c", "error"),
        ("rsync", b"rsync warning: some files vanished (code 24) at main.c", "warning"),
        ("rsync", b'skipping non-regular file "pipe"', "warning"),
        ("rclone", b'{"level":"error","msg":"no"}', "error"),
        ("rclone", b'{"level":"info","object":"\\"level\\":\\"error\\"","msg":"Copied"}', None),
        ("rclone", b'{"level":"notice","msg":"x"}', "warning"),
        ("rclone", b'{"level":"info","msg":"Copied (new)"}', None),
    ],
)
def test_levels_of_lines(engine: str, line: bytes, level: str | None) -> None:
    assert LOG_LEVELS[engine].level_of(line) == level


def test_a_line_longer_than_what_is_read_at_a_time_loses_nothing(tmp_path: Path) -> None:
    content = b"first\n" + b"x" * 1_050 + b"\nlast\n"
    (tmp_path / "engine.log").write_bytes(content)
    with mock.patch.object(log_lines, "PIECE", 100):
        for limit in (1, 3, 50):
            forwards, place, has_more = b"", 0, True
            while has_more:
                page = lines_from(tmp_path, place, EVERYTHING, limit)
                forwards += b"".join(line.content for line in page.lines)
                place, has_more = page.next_place, page.has_later
            backwards, has_more, before = b"", True, None
            while has_more:
                page = lines_before(tmp_path, before, EVERYTHING, limit)
                backwards = b"".join(line.content for line in page.lines) + backwards
                before, has_more = page.first_place, page.has_earlier
            assert forwards == backwards == content.replace(b"\n", b"")
