"""Proves that a log reads the same while its runner writes, after its end and when it was killed:
head, the cut said, and the newest lines, by offsets and by places."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.runner.journal import CappedLog
from models.engine_log import (
    TAIL_LINE_WIDTH,
    TAIL_NAME,
    TailFacts,
    bounds,
    notice_of_cut,
    tail_facts,
    tail_line,
)
from storage import engine_log
from storage.engine_log import log_since, log_size, log_window

CAP = 20_000
HEAD, RING = bounds(CAP)
LINE = 10
ALL = 10**9
_CUT = re.compile(r"\n… (\d+) bytes of output were not kept here …\n\n".encode())


def numbered(start: int, end: int) -> bytes:
    """Return lines of ten bytes each."""
    return b"".join(b"ln %06d\n" % number for number in range(start, end))


def check(text: bytes, written: int, *, unsure: int = 0) -> None:
    """Check that the text is what a log of the first `written` lines reads like.

    The last `unsure` lines were being written, and may be there or not.
    """
    head, *cut = _CUT.split(text)
    assert head == numbered(0, len(head) // LINE)
    if not cut:
        assert (written - unsure) * LINE <= len(head) <= written * LINE
        return
    dropped, tail = int(cut[0]), cut[1]
    assert len(head) == HEAD
    first = (len(head) + dropped) // LINE
    assert tail == numbered(first, first + len(tail) // LINE)
    assert written - unsure <= first + len(tail) // LINE <= written
    assert len(tail) > RING - (unsure + 2) * LINE


def test_a_live_log_shows_its_newest_lines_at_every_moment(tmp_path: Path) -> None:
    generator = random.Random(3)
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    written = 0
    while written < 4000:
        count = generator.choice([1, 2, 9, 50, 333, 800])
        log.write(numbered(written, written + count))
        written += count
        window = log_window(tmp_path, 0, ALL)
        check(window.content, written)
        assert window.size == len(window.content) == log_size(tmp_path)
        assert window.next_place == written * LINE
        newest = log_window(tmp_path, -15, 100)
        assert newest.content == numbered(0, written)[-15:]
        assert newest.offset == max(0, newest.size - 15)
    log.close()
    window = log_window(tmp_path, 0, ALL)
    check(window.content, written)
    assert window.content == (tmp_path / "engine.log").read_bytes()
    assert window.next_place == written * LINE


def test_windows_of_a_live_log_are_parts_of_one_text(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    log.write(numbered(0, 1500))
    whole = log_window(tmp_path, 0, ALL).content
    for close in (False, True):
        if close:
            log.close()
        for offset in (0, 7, HEAD - 20, HEAD, HEAD + 5, HEAD + 60, len(whole) - 1, len(whole), ALL):
            for limit in (0, 1, 33, 5000, ALL):
                window = log_window(tmp_path, offset, limit)
                assert window.content == whole[offset : offset + limit], (offset, limit)
                assert window.size == len(whole)


def test_a_follower_sees_every_line_or_is_told_how_much_it_missed(tmp_path: Path) -> None:
    generator = random.Random(5)
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    written = place = 0
    shown = b""
    for step in range(300):
        if step < 299:
            count = generator.choice([0, 1, 30, 200, 700])
            log.write(numbered(written, written + count))
            written += count
        else:
            log.close()
        window = log_since(tmp_path, place, 4000)
        missed = sum(int(cut) for cut in _CUT.findall(window.content)) + window.skipped
        content = _CUT.sub(b"", window.content)
        if window.skipped:
            assert window.skipped + len(content) == window.next_place - place
            shown = b""
        elif missed:
            assert window.next_place > place
            shown = b""
        else:
            assert len(content) == window.next_place - place
        shown += content
        place = window.next_place
        assert place == written * LINE
        assert numbered(0, written).endswith(shown)
    assert log_since(tmp_path, place, 4000).content == b""


def test_a_follower_gets_the_last_lines_after_the_end(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    log.write(numbered(0, 2500))
    place = log_window(tmp_path, -100, 100).next_place
    log.write(numbered(2500, 2503))
    log.close()
    window = log_since(tmp_path, place, 4000)
    assert (window.content, window.skipped) == (numbered(2500, 2503), 0)


def test_a_place_that_is_gone_begins_with_the_cut(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    log.write(numbered(0, 2500))
    for close in (False, True):
        if close:
            log.close()
        window = log_since(tmp_path, HEAD + 50, ALL)
        assert _CUT.match(window.content)
        assert window.content.endswith(numbered(2499, 2500))
        assert log_since(tmp_path, HEAD - 20, ALL).content.startswith(numbered(798, 800))
        newest = log_since(tmp_path, 0, 95)
        assert newest.content == numbered(2491, 2500)
        assert newest.skipped == 2491 * LINE


def test_a_log_is_readable_at_whatever_moment_its_runner_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, killed = tmp_path / "live", tmp_path / "killed"
    live.mkdir()
    looked = 0
    written = 0
    count = 0

    def then_killed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            nonlocal looked
            result = call(*arguments, **options)
            shutil.copytree(live, killed)
            check(log_window(killed, 0, ALL).content, written, unsure=count)
            shutil.rmtree(killed)
            looked += 1
            return result

        return wrapper

    log = CappedLog(str(live), max_bytes=CAP)
    generator = random.Random(9)
    with monkeypatch.context() as patch:
        for name in ("write", "pwrite", "ftruncate"):
            patch.setattr(os, name, then_killed(getattr(os, name)))
        while written < 2600:
            count = generator.choice([1, 40, 200])
            written += count
            log.write(numbered(written - count, written))
        count = 0
        log.close()
    assert looked > 50


def test_a_window_is_read_again_when_the_runner_overtakes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CappedLog(str(tmp_path), max_bytes=CAP)
    log.write(numbered(0, 2000))
    real = engine_log._part
    times = 0

    def part(path: Path, start: int, end: int) -> bytes:
        nonlocal times
        if path.name == TAIL_NAME and start >= TAIL_LINE_WIDTH and times < 3:
            times += 1
            log.write(numbered(1000 + 1000 * times, 2000 + 1000 * times))
        return real(path, start, end)

    monkeypatch.setattr(engine_log, "_part", part)
    check(log_window(tmp_path, 0, ALL).content, 5000)
    assert times == 3
    log.close()


facts = st.builds(
    TailFacts,
    head=st.integers(0, 10**15),
    capacity=st.integers(1, 10**15),
    begun=st.integers(10**14, 10**15),
    done=st.integers(0, 10**14),
    lost=st.integers(0, 10**15),
    kept=st.none(),
)


@given(facts)
def test_the_first_line_of_a_tail_is_read_as_it_was_written(one: TailFacts) -> None:
    for fact in (one, one._replace(kept=one.done)):
        line = tail_line(fact)
        assert len(line) == TAIL_LINE_WIDTH
        assert tail_facts(line) == fact


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff" * 200,
        b"9" * 5000,
        tail_line(TailFacts(1, 1, 1, 1)).replace(b'"done":1', b'"done":-1'),
        tail_line(TailFacts(1, 1, 1, 1)).replace(b'"done":1', b'"done":"1"'),
        tail_line(TailFacts(1, 1, 1, 1)).replace(b'"done":1', b'"done":null'),
        tail_line(TailFacts(1, 0, 1, 1)),
        tail_line(TailFacts(1, 1, 1, 2)),
        tail_line(TailFacts(1, 1, 1, 1, kept=2)),
    ],
)
def test_a_damaged_tail_leaves_the_head_readable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "engine.log").write_bytes(numbered(0, 5))
    (tmp_path / TAIL_NAME).write_bytes(content)
    window = log_window(tmp_path, 0, ALL)
    assert window.content == numbered(0, 5)
    assert window.next_place == window.size == 50


def test_bounds_leave_room_for_head_and_tail_twice() -> None:
    for megabytes in (0.1, 1, 20, 10_000):
        cap = int(megabytes * 1_000_000)
        head, ring = bounds(cap)
        assert head + len(notice_of_cut(10**18)) + 2 * ring + TAIL_LINE_WIDTH <= cap
        assert ring > cap / 5
