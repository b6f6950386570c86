"""Proves how rsync's output is read: real transcripts, then line by line, then any bytes at all."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import MAX_LINE, Failure, OpenFile, OutputReader, Reading, ScannedTotals
from core.engines.rsync import RsyncEngine
from tests.fakes.builders import a_reading, a_spec

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ENGINE = RsyncEngine()
FAILED_TO_OPEN = Failure(
    "/backup/source/secret.txt",
    "send_files failed to open: Permission denied (13)",
    "secret.txt",
)


def segments(name: str) -> list[bytes]:
    """Return a transcript as the runner splits it."""
    content = (TRANSCRIPTS / name).read_bytes()
    return [segment for segment in re.split(rb"[\r\n]", content) if segment]


def reader(*, resume: bool = False) -> OutputReader:
    """Return a fresh reader."""
    return ENGINE.output_reader(a_spec(source="/backup/source", resume=resume))


def read(*lines: bytes, resume: bool = False) -> tuple[Reading, list[Failure]]:
    """Return what these lines come to."""
    fresh = reader(resume=resume)
    failures = fresh.feed(list(lines)).failures
    return fresh.reading, failures


def test_scan_transcript() -> None:
    output = (TRANSCRIPTS / "rsync-scan.txt").read_bytes()
    assert ENGINE.parse_scan(output) == ScannedTotals(files=14, bytes=3_000_033)


def test_transfer_transcript() -> None:
    reading, failures = read(*segments("rsync-transfer.txt"))
    # All of the scan's but the one unreadable file of six bytes.
    assert reading.files_done == 13
    assert reading.bytes_done == 3_000_033 - 6
    assert (reading.files_finished, reading.files_skipped) == (12, 1)
    assert (reading.bytes_skipped, reading.bytes_in_flight) == (4, 0)
    assert reading.files_deleted == 2, "a folder that went is not a file"
    assert failures == [FAILED_TO_OPEN]
    assert 3_000_000 < reading.bytes_sent < 3_002_000
    assert reading.current_file == "sub/inner.txt"


def test_transcript_of_a_second_transfer() -> None:
    reading, failures = read(*segments("rsync-again.txt"))
    assert (reading.files_done, reading.files_skipped, reading.files_finished) == (13, 13, 0)
    assert reading.bytes_done == 3_000_033 - 6
    assert reading.bytes_sent == 0, "the meter counts a file that failed; it did not travel"
    assert failures == [FAILED_TO_OPEN]


def test_no_figure_of_the_transfer_ever_falls() -> None:
    fresh = reader()
    before = (0, 0, 0)
    for segment in segments("rsync-transfer.txt"):
        fresh.feed([segment])
        now = (fresh.reading.bytes_done, fresh.reading.bytes_sent, fresh.reading.files_done)
        assert all(new >= old for new, old in zip(now, before, strict=True)), segment
        before = now


def test_names_of_the_transfer_transcript() -> None:
    fresh = reader()
    names = []
    for segment in segments("rsync-transfer.txt"):
        fresh.feed([segment])
        names.append(fresh.reading.current_file)
    for name in (
        " leading space",
        "-dash.txt",
        "\\#101.txt",
        "esc\\x1b[31m.txt",
        "grüße 🚢.txt",
        "latin\\xff.txt",
        "new\\nline.txt",
        'quo"te.txt',
    ):
        assert name in names


def test_what_is_news_goes_to_the_log() -> None:
    lines = segments("rsync-transfer.txt")
    kept = reader().feed(lines).log
    assert b">f+++++++++ 1 44 -dash.txt" in kept
    assert any(line.startswith(b"rsync: [sender]") for line in kept)
    assert [line for line in lines if line not in kept] == [
        b".d          4096 0 ./",
        b".f          4 0 same.txt",
    ]


VERIFIED = [
    Failure("new\\nline.txt", "It is missing at the destination.", "new\nline.txt"),
    Failure("plain.txt", "It differs in its size, its modification time.", "plain.txt"),
    Failure("same.txt", "It differs in its modification time.", "same.txt"),
    Failure("secret.txt", "It is missing at the destination.", "secret.txt"),
    Failure("sub/inner.txt", "It is missing at the destination.", "sub/inner.txt"),
]


@pytest.mark.parametrize("verification", ["fast", "checksum"])
def test_verify_transcript(verification: str) -> None:
    differences = ENGINE.difference_reader(a_spec())
    lines = segments(f"rsync-verify-{verification}.txt")
    found = [failure for line in lines if (failure := differences.feed(line)) is not None]
    by_checksum = Failure(
        "plain.txt", "It differs in its checksum, its size, its modification time.", "plain.txt"
    )
    assert found == [
        by_checksum if verification == "checksum" and failure.path == "plain.txt" else failure
        for failure in VERIFIED
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b">f+++++++++ 1 0 a", "It is missing at the destination."),
        (b"cd+++++++++ 4096 0 a", "It is missing at the destination."),
        (b"cL+++++++++ 4 0 a", "It is missing at the destination."),
        (b">fc........ 1 0 a", "It differs in its checksum."),
        (b".f...p..... 1 0 a", "It differs in its permissions."),
        (b".f....og... 1 0 a", "It differs in its owner, its group."),
        (b"cLc.T...... 1 0 a", "It differs in its checksum, its modification time."),
        (b".f.......x. 1 0 a", "It differs."),
    ],
)
def test_one_difference(line: bytes, reason: str) -> None:
    assert ENGINE.difference_reader(a_spec()).feed(line) == Failure("a", reason, "a")


@pytest.mark.parametrize(
    "line", [b".d..t...... 4096 0 sub/", b"", b"sending incremental file list"]
)
def test_no_difference(line: bytes) -> None:
    assert ENGINE.difference_reader(a_spec()).feed(line) is None


HALF = OpenFile(b"a", 40)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b">f+++++++++ 100 44 a"], {"files_finished": 1, "bytes_finished": 100, "bytes_sent": 44}),
        ([b"<f+++++++++ 100 44 a"], {"files_finished": 1, "bytes_finished": 100, "bytes_sent": 44}),
        ([b".f          100 0 a"], {"files_skipped": 1, "bytes_skipped": 100}),
        ([b".f...p..... 100 0 a"], {"files_skipped": 1, "bytes_skipped": 100}),
        ([b"cL+++++++++ 9 0 a"], {"files_finished": 1, "bytes_finished": 9}),
        ([b"hf          9 0 a"], {"files_skipped": 1, "bytes_skipped": 9}),
        ([b"hf+++++++++ 9 0 a"], {"files_finished": 1, "bytes_finished": 9}),
        ([b".d          4096 0 a/"], {}),
        ([b"cd+++++++++ 4096 0 a/"], {}),
        ([b"*deleting   0 0 a"], {"files_deleted": 1}),
        ([b"*deleting   0 0 a/"], {}),
        ([b"sending incremental file list"], {}),
        ([b">f+++++++++ x 44 a"], {}),
        ([b">f+++++++++ " + b"9" * 5000 + b" 1 a"], {}),
        ([b">f+++++++++ -1 44 a"], {}),
        ([b">f+++++++++ 1 44"], {}),
        ([b">f+++++++++"], {}),
        ([b""], {}),
    ],
)
def test_what_a_line_does(lines: list[bytes], expected: dict[str, int]) -> None:
    reading, failures = read(*lines)
    assert failures == []
    reading.current_name = b""
    assert vars(reading) == vars(a_reading(**expected))


def test_the_file_under_way_counts_as_far_as_it_is_read() -> None:
    fresh = reader()
    fresh.feed([b">f+++++++++ 100 144 before"])
    fresh.note_open_file(HALF)
    assert (fresh.reading.bytes_done, fresh.reading.bytes_sent) == (140, 184)
    assert str(fresh.reading.current_file).endswith("a")
    fresh.feed([b">f+++++++++ 100 144 a"])
    assert (fresh.reading.bytes_done, fresh.reading.bytes_sent) == (200, 288)
    fresh.note_open_file(None)
    assert fresh.reading.bytes_done == 200


def test_a_finished_file_that_is_still_open_does_not_count_twice() -> None:
    fresh = reader()
    fresh.feed([b">f+++++++++ 40 84 a"])
    fresh.note_open_file(HALF)
    assert fresh.reading.bytes_done == 40


def test_a_file_that_is_sent_in_a_second_pass_does_not_count_twice() -> None:
    fresh = reader(resume=True)
    fresh.feed([b">f.st...... 100 17 a"])
    fresh.feed([b">f.st...... 100 30 a"])
    reading = fresh.reading
    assert (reading.bytes_done, reading.files_done, reading.bytes_sent) == (100, 1, 47)


def test_on_resume_only_the_end_of_a_file_tells_what_travelled() -> None:
    fresh = reader(resume=True)
    fresh.note_open_file(HALF)
    assert (fresh.reading.bytes_done, fresh.reading.bytes_sent) == (40, 0)
    fresh.feed([b">f.st...... 100 17 a"])
    assert (fresh.reading.bytes_done, fresh.reading.bytes_sent) == (100, 17)


@pytest.mark.parametrize(
    ("line", "path", "reason"),
    [
        (
            b'rsync: [sender] send_files failed to open "/s/a b": Permission denied (13)',
            "/s/a b",
            "send_files failed to open: Permission denied (13)",
        ),
        (
            b'rsync: [generator] recv_generator: mkdir "/d/x" failed: No space left on device (28)',
            "/d/x",
            "recv_generator: mkdir failed: No space left on device (28)",
        ),
        (b'file has vanished: "/s/gone"', "/s/gone", "file has vanished"),
        (
            b'rsync: [sender] read errors mapping "/s/bad": Input/output error (5)',
            "/s/bad",
            "read errors mapping: Input/output error (5)",
        ),
        (
            b'rsync: [sender] link_stat "/s/\\#377\\#012\\#033" failed: No such file (2)',
            "/s/\\xff\\n\\x1b",
            "link_stat failed: No such file (2)",
        ),
        (
            b'rsync: [sender] send_files failed to open "/s/a"b": Permission denied (13)',
            '/s/a"b',
            "send_files failed to open: Permission denied (13)",
        ),
    ],
)
def test_an_error_line_names_its_file(line: bytes, path: str, reason: str) -> None:
    assert reader().feed([line]).failures == [Failure(path, reason)]


@pytest.mark.parametrize(
    "line",
    [
        b"rsync error: some files/attrs were not transferred (code 23) at main.c(1394)",
        b"rsync: connection unexpectedly closed (0 bytes received so far) [sender]",
        b"cannot delete non-empty directory: folder",
        b"IO error encountered -- skipping file deletion",
        b'my file: "quoted".txt',
        b"rsync: " + b" " * MAX_LINE,
        b"rsync: " + b'" ' * (MAX_LINE // 2),
    ],
)
def test_another_line_costs_little(line: bytes) -> None:
    began = time.process_time()
    failures = reader().feed([line]).failures
    assert time.process_time() - began < 1.0
    assert all(failure.path for failure in failures)


HEADS = st.sampled_from(
    [b"", b">f+++++++++ ", b".f          ", b"*deleting   ", b"rsync: ", b" 1 2% "]
)


@given(lines=st.lists(st.builds(bytes.__add__, HEADS, st.binary(max_size=80)), max_size=8))
def test_any_bytes_are_taken_without_an_exception(lines: list[bytes]) -> None:
    for resume in (False, True):
        fresh, differences = reader(resume=resume), ENGINE.difference_reader(a_spec())
        found = fresh.feed(lines).failures
        found += [failure for line in lines if (failure := differences.feed(line)) is not None]
        assert all((failure.path + failure.reason).isprintable() for failure in found)
        fresh.note_open_file(OpenFile(b"".join(lines), 7))
        assert fresh.reading.bytes_done >= 0
        assert (fresh.reading.current_file or "").isprintable()


@given(output=st.binary(max_size=200))
def test_any_scan_output_is_taken(output: bytes) -> None:
    assert ENGINE.parse_scan(output) is None


@pytest.mark.parametrize(
    ("output", "totals"),
    [
        (b"Number of files: 0\nTotal file size: 0 bytes", ScannedTotals(0, 0)),
        (
            b"Number of files: 1,204 (reg: 1,200, dir: 2, link: 1, dev: 1)\n"
            b"Total file size: 1,234,567 bytes",
            ScannedTotals(1201, 1_234_567),
        ),
        (b"Number of files: 3 (dir: 3)\nTotal file size: 12 bytes", ScannedTotals(0, 12)),
        (b"Number of files: 3 (reg: 3)\n", None),
        (b"", None),
    ],
)
def test_scan_outputs(output: bytes, totals: ScannedTotals | None) -> None:
    assert ENGINE.parse_scan(output) == totals
