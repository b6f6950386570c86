"""Proves how rclone's JSON log is read: real transcripts, then line by line, then any JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import DISK_FULL, ExitMeaning, Failure, OutputReader, ScannedTotals
from core.engines.rclone import RcloneEngine
from core.engines.rclone_words import ACCESS_REFUSED, NO_ANSWER, NOT_ALLOWED
from tests.fakes.builders import a_spec

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ENGINE = RcloneEngine()


def lines(name: str) -> list[bytes]:
    """Return a transcript as the runner splits it."""
    return (TRANSCRIPTS / name).read_bytes().splitlines()


def reader() -> OutputReader:
    """Return a fresh reader."""
    return ENGINE.output_reader(a_spec(engine="rclone"))


def differences(name: str) -> list[Failure]:
    """Return what a verification's transcript comes to."""
    fresh = ENGINE.difference_reader(a_spec(engine="rclone"))
    return [failure for line in lines(name) if (failure := fresh.feed(line)) is not None]


def written(**document: Any) -> bytes:
    """Return a line of the log."""
    return json.dumps(document).encode()


def test_scan_transcript() -> None:
    output = (TRANSCRIPTS / "rclone-scan.txt").read_bytes()
    assert ENGINE.parse_scan(output) == ScannedTotals(files=14, bytes=3_000_033)


def test_transfer_transcript() -> None:
    fresh = reader()
    batch = fresh.feed(lines("rclone-transfer.txt"))
    reading = fresh.reading
    # All but the unreadable file of six bytes and the one of four that was there already.
    assert reading.bytes_done == reading.bytes_sent == 3_000_033 - 6 - 4
    assert reading.files_done == 12
    assert reading.files_deleted == 0, "rclone deletes nothing after an error"
    (failure,) = batch.failures
    assert failure.path == "secret.txt"
    assert failure.reason.endswith("open /backup/source/secret.txt: permission denied")
    assert any(b'"Copied (new)"' in line for line in batch.log)
    assert not any(b'"stats":{' in line for line in batch.log), "meter readings are no news"


def test_no_figure_of_the_transfer_ever_falls() -> None:
    fresh = reader()
    before = (0, 0, 0)
    for line in lines("rclone-transfer.txt"):
        fresh.feed([line])
        now = (fresh.reading.bytes_done, fresh.reading.bytes_sent, fresh.reading.files_done)
        assert all(new >= old for new, old in zip(now, before, strict=True)), line
        before = now


MISSING = "file not in Local file system at /backup/destination"


def test_verify_by_checksum() -> None:
    assert differences("rclone-verify-checksum.txt") == [
        Failure("new\\nline.txt", MISSING, "new\nline.txt"),
        Failure("plain.txt", "sizes differ", "plain.txt"),
        Failure("secret.txt", MISSING, "secret.txt"),
        Failure("sub/inner.txt", MISSING, "sub/inner.txt"),
    ]


def test_verify_by_size_and_time() -> None:
    found = differences("rclone-verify-fast.txt")
    paths = ["new\\nline.txt", "secret.txt", "plain.txt", "sub/inner.txt"]
    assert [failure.path for failure in found] == paths
    assert {failure.reason for failure in found} == {"It is missing or differs at the destination."}


@pytest.mark.parametrize(
    ("line", "failures"),
    [
        (
            written(level="error", object="a", objectType="*local.Object", msg="no\x1b"),
            [Failure("a", "no\\x1b", "a")],
        ),
        (
            written(level="error", object="a\n\x7f", objectType="*local.Object", msg="x"),
            [Failure("a\\n\\x7f", "x", "a\n\x7f")],
        ),
        (
            b'{"level":"error","object":"a\\ud800","objectType":"o","msg":"\\udfff"}',
            [Failure("a?", "?")],
        ),
        (written(level="error", object="d", objectType="*local.Fs", msg="x"), []),
        (written(level="error", msg="Attempt 1/1 failed"), []),
        (written(level="info", object="a", objectType="*local.Object", msg="Copied"), []),
        (written(level=["error"], object={}, objectType=[1], msg=None), []),
        (b"not JSON", []),
        (b"[]", []),
        (b"", []),
        (b"[" * 100_000, []),
        (b"9" * 5000, []),
        (b"\xff\xfe\x00", []),
    ],
)
def test_a_line_of_the_log(line: bytes, failures: list[Failure]) -> None:
    batch = reader().feed([line])
    assert batch.failures == failures
    assert batch.log == [line]


def test_a_meter_reading() -> None:
    fresh = reader()
    stats = {"bytes": 70, "transfers": 2, "deletes": 1, "transferring": [{"name": "a\nb"}]}
    assert fresh.feed([written(stats=stats)]).log == []
    reading = fresh.reading
    assert (reading.bytes_done, reading.files_done, reading.files_deleted) == (70, 2, 1)
    assert reading.current_file == "a\\nb"
    fresh.feed([written(stats={"bytes": 50, "transfers": -1, "transferring": [None]})])
    assert (reading.bytes_done, reading.files_done) == (70, 2)


def failed(name: str, reason: str) -> bytes:
    """Return a line that tells of a failed file."""
    return written(level="error", object=name, objectType="*local.Object", msg=reason)


def test_a_file_that_fails_twice_is_named_once() -> None:
    fresh = reader()
    told = [
        failed("x.rclonelink", "Failed to read link size: x"),
        failed("x.rclonelink", "Failed to copy: x"),
    ]
    named = fresh.feed(told).failures + fresh.feed(told).failures
    assert [(failure.path, failure.reason) for failure in named] == [
        ("x.rclonelink", "Failed to copy: x")
    ]


@pytest.mark.parametrize(
    ("reason", "of_idle", "of_busy"),
    [
        ("openat a: permission denied", NOT_ALLOWED, None),
        ("failed to open source object: open /a: permission denied", None, None),
        ("operation error S3: PutObject, StatusCode: 403, AccessDenied", ACCESS_REFUSED, None),
        ("write /a: no space left on device", DISK_FULL, DISK_FULL),
        ("googleapi: Error 403: storageQuotaExceeded", DISK_FULL, DISK_FULL),
        ("read tcp: connection reset by peer", NO_ANSWER, NO_ANSWER),
        ("503 Service Unavailable", NO_ANSWER, NO_ANSWER),
        ("hash differ", None, None),
        ("file not in webdav root 'timeout'", None, None),
        ("open /srv/timeout/slowdown: no such file or directory", None, None),
    ],
)
def test_what_one_file_says_of_the_attempt(
    reason: str, of_idle: ExitMeaning | None, of_busy: ExitMeaning | None
) -> None:
    idle, busy = reader(), reader()
    idle.feed([failed("a", reason)])
    busy.feed([written(stats={"transfers": 1}), failed("a", reason)])
    assert (idle.reading.refusal, busy.reading.refusal) == (of_idle, of_busy)


def test_what_will_not_pass_is_said_before_what_may() -> None:
    fresh = reader()
    fresh.feed([failed("a", "i/o timeout"), failed("b", "no space left on device")])
    assert fresh.reading.refusal == DISK_FULL


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = ["level", "object", "objectType", "msg", "stats", "skipped", "transferring", "bytes", "name"]
LOG_LINES = st.dictionaries(
    st.sampled_from(KEYS),
    JSON
    | st.sampled_from(["error", "copy", "\ud800"])
    | st.dictionaries(st.sampled_from(KEYS), JSON | st.lists(JSON, max_size=2)),
).map(lambda document: json.dumps(document).encode())


@given(batch=st.lists(LOG_LINES | st.binary(max_size=60), max_size=6))
def test_any_line_is_taken_without_an_exception(batch: list[bytes]) -> None:
    fresh, verification = reader(), ENGINE.difference_reader(a_spec(engine="rclone"))
    found = fresh.feed(batch).failures
    found += [failure for line in batch if (failure := verification.feed(line)) is not None]
    assert all((failure.path + failure.reason).isprintable() for failure in found)
    assert (fresh.reading.current_file or "").isprintable()
    assert fresh.reading.bytes_done >= 0


@given(output=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_scan_output_is_taken(output: bytes) -> None:
    assert ENGINE.parse_scan(output) is None
