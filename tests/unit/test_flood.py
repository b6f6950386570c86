"""Proves that a tool's flood of output goes to the log unsplit without a line that matters being
missed, and that whoever reads it neither holds the tool up nor spins."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.engines.base import DifferenceReader, OutputReader
from core.engines.rclone import RcloneEngine
from core.engines.rsync import RsyncEngine
from core.runner import pipe as pipe_module
from core.runner.pipe import BUSY, Intake, Pace, Pipe
from tests.fakes.builders import a_spec

RSYNC, RCLONE = RsyncEngine(), RcloneEngine()
PIPE_SIZE = 1024 * 1024


class Taker:
    """Takes lines, and those in bulk that do not hold the word `item`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.bulk = b""
        self.order: list[bytes] = []

    def take(self, segments: list[bytes]) -> None:
        """Take lines one by one."""
        self.lines += segments
        self.order += segments

    def take_bulk(self, content: bytearray, start: int, end: int) -> bool:
        """Take lines unsplit."""
        whole = bytes(content[start:end])
        if b"item" in whole:
            return False
        self.bulk += whole
        self.order += [line for line in re.split(rb"[\r\n]", whole) if line]
        return True


def through_pipe(taker: Any, pieces: list[bytes]) -> None:
    """Write pieces to a pipe, each read before the next one is written."""
    pipe = Pipe(taker, 1000)
    for piece in pieces:
        os.write(pipe.write_end, piece)
        pipe.read()
    os.close(pipe.write_end)
    while pipe.is_open:
        pipe.read()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The naps that were taken, without the time that they take."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


def test_what_does_not_matter_is_taken_whole_and_what_does_line_by_line(
    patient: list[float],
) -> None:
    words = b"".join(b"some words %06d\n" % number for number in range(3000))
    taker = Taker()
    through_pipe(
        Intake(taker.take, taker.take_bulk),
        [words[:30_005], words[30_005:], b"item 1\n", words + b"item 2\n" + words[:100], b"no end"],
    )
    expected = [*words.split(b"\n"), b"item 1", *words.split(b"\n"), b"item 2"]
    expected += (words[:100] + b"no end").split(b"\n")
    assert taker.order == [line for line in expected if line]
    assert len(taker.bulk) > 0.9 * len(words)
    assert {b"item 1", b"item 2"} <= set(taker.lines)


@example([(b"words", b"\n", 1), (b"x" * 300, b"\r", 4)], 4000)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"words", b"item", b"", b"x" * 300]),
            st.sampled_from([b"\n", b"\r", b"\r\n", b""]),
            st.integers(1, 60),
        ),
        max_size=8,
    ),
    st.sampled_from([61, 250, 4000, 60_000]),
)
def test_any_output_comes_to_the_same_lines(
    parts: list[tuple[bytes, bytes, int]], size: int
) -> None:
    output = b"".join((word + end) * count for word, end, count in parts)
    taker, plain = Taker(), Taker()
    pieces = [output[start : start + size] for start in range(0, len(output), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: None)
        patch.setattr(pipe_module, "_BULK", 50)
        through_pipe(Intake(taker.take, taker.take_bulk), pieces)
        through_pipe(plain.take, pieces)
    if all(len(line) <= 1000 for line in re.split(rb"[\r\n]", output)):
        assert taker.order == plain.order
    assert {line for line in plain.lines if b"item" in line} <= {*taker.lines}


ITEMS = [
    b"\t>f+++++++++ 100 44 a",
    b"\t.f          100 0 a",
    b"\t*deleting   0 0 a",
    b'rsync: [sender] send_files failed to open "/a/b": Permission denied (13)',
    b'file has vanished: "/a/b"',
    b'skipping non-regular file "a"',
    b"ERROR: a failed verification -- update discarded.",
    b"could not make way for new regular file: a",
    b"rsync error: some files could not be transferred (code 23) at main.c(1) [sender=3.2.7]",
]
STATS = b'{"level":"notice","msg":"x","stats":{"bytes":5}}'
FAILED = b'{"level":"error","msg":"x","object":"a","objectType":"*local.Object"}'
MISSING = b'{"level":"notice","skipped":"copy","object":"a","objectType":"*local.Object"}'


@pytest.mark.parametrize(
    ("reader", "line"),
    [
        *((RSYNC.output_reader(a_spec()), item) for item in ITEMS),
        *((RSYNC.difference_reader(a_spec()), item) for item in ITEMS),
        *((RCLONE.output_reader(a_spec()), item) for item in (STATS, FAILED)),
        *((RCLONE.difference_reader(a_spec()), item) for item in (MISSING, FAILED)),
    ],
)
def test_an_engine_sees_what_matters_in_bulk(
    reader: OutputReader | DifferenceReader, line: bytes
) -> None:
    words = b'some "words" {of} the\ttool\n' * 3
    for end in (b"\n", b"\r"):
        content = bytearray(words + line + end + words)
        assert reader.concerns(content, 0, len(content))
        start = len(words)
        assert reader.concerns(content, start, start + len(line) + 1)
        assert not reader.concerns(content, 0, start)
        assert not reader.concerns(content, start + len(line) + 1, len(content))


pieces_of_rsync = st.lists(
    st.sampled_from(
        [
            b"\t",
            b">f+++++++++ ",
            b".f          ",
            b"1 2 ",
            b'"a"',
            b"rsync: ",
            b"ERROR: ",
            b"rsync error: ",
            b" ",
            b"b",
        ]
    ),
    max_size=6,
).map(b"".join)
pieces_of_rclone = st.lists(
    st.sampled_from(
        [
            b"{",
            b"}",
            b'"stats":',
            b'"level":',
            b'"error"',
            b'"objectType":"o"',
            b",",
            b'{"bytes":1}',
        ]
    ),
    max_size=8,
).map(b"".join)


@given(st.lists(pieces_of_rsync, max_size=5))
def test_rsync_learns_nothing_from_lines_that_do_not_concern_it(lines: list[bytes]) -> None:
    _learns_nothing(RSYNC.output_reader(a_spec()), lines, is_marked=True)


@given(st.lists(pieces_of_rclone, max_size=5))
def test_rclone_learns_nothing_from_lines_that_do_not_concern_it(lines: list[bytes]) -> None:
    _learns_nothing(RCLONE.output_reader(a_spec()), lines, is_marked=False)


def _learns_nothing(reader: OutputReader, lines: list[bytes], *, is_marked: bool) -> None:
    content = bytearray(b"".join(line + b"\n" for line in lines))
    if reader.concerns(content, 0, len(content)):
        return
    # rsync marks its own items: without the mark a line is words, whatever it looks like.
    told = [line for line in lines if not is_marked or not line.startswith((b">", b"."))]
    before = dict(vars(reader.reading))
    batch = reader.feed(told)
    assert batch.failures == []
    assert batch.log == told
    assert vars(reader.reading) == before


def naps(pace: Pace, length: Callable[[float], int], reads: int) -> list[float]:
    """Return the naps between reads of a tool that writes so much in such a nap."""
    taken: list[float] = []
    for _ in range(reads):
        pace.wait()
        pace.after(length(pace._nap))
        taken.append(pace._nap)
    return taken


@pytest.mark.parametrize("rate", [30e6, 100e6, 300e6, 1e9, 2e9])
def test_a_flood_never_fills_the_pipe(patient: list[float], rate: float) -> None:
    pace = Pace(PIPE_SIZE)
    pace.after(PIPE_SIZE // 4)
    # What a loop takes besides, on a slow machine.
    taken = naps(pace, lambda nap: int(min(PIPE_SIZE // 4, (nap + 0.000_05) * rate)), 500)
    assert max(taken) * rate < PIPE_SIZE / 2
    assert pace.after(1) == BUSY, "the flood goes on"
    if rate <= 100e6:
        assert sum(taken) / len(taken) > 0.000_4, "it does not wake for each line"


def test_after_a_flood_the_reader_breathes_again(patient: list[float]) -> None:
    pace = Pace(PIPE_SIZE)
    assert pace.after(PIPE_SIZE // 8) == PIPE_SIZE // 8
    assert patient == []
    assert pace.after(PIPE_SIZE // 4) == PIPE_SIZE // 4
    lengths = [pace.after(10) for _ in range(40)]
    assert lengths[0] == BUSY
    assert lengths[-1] == 10
    assert pace._nap == 0.0


def test_the_end_of_the_output_is_no_flood(patient: list[float]) -> None:
    pace = Pace(PIPE_SIZE)
    pace.after(PIPE_SIZE // 4)
    assert pace.after(0) == 0
