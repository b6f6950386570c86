"""Proves what real runs of rclone 1.75 are taken for: its exit codes and classes of messages.

The transcripts are its own output, with other paths."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from core.engines import rclone_words
from core.engines.base import DISK_FULL, ExitMeaning, Verdict
from core.engines.rclone import RcloneEngine
from core.engines.rclone_words import (
    ACCESS_REFUSED,
    FILE_OR_NO_ANSWER,
    LIMIT_OF_DELETIONS,
    NEEDS_PASSWORD,
    NO_ANSWER,
    NO_SUCH_TYPE,
    NOT_ALLOWED,
    UNKNOWN_HOST_KEY,
    WRONG_PASSWORD,
)
from tests.fakes.builders import a_spec

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ENGINE = RcloneEngine()
GOOD, PARTIAL, TRANSIENT, FATAL = Verdict.GOOD, Verdict.PARTIAL, Verdict.TRANSIENT, Verdict.FATAL


class Row(NamedTuple):
    """A transcript, its exit code, and what they come to."""

    name: str
    code: int
    verdict: Verdict
    refusal: ExitMeaning | str | None = None
    """A meaning, or words of its message."""
    failed: tuple[str, ...] = ()
    special: tuple[str, ...] = ()
    copied: int = 0


ROWS = [
    Row("exit-0-copied", 0, GOOD, copied=3),
    Row("exit-1-filter", 1, PARTIAL),
    Row("exit-1-unreadable", 1, PARTIAL, failed=("sub", "a.txt"), copied=1),
    Row("exit-1-not-allowed", 1, FATAL, NOT_ALLOWED, failed=("a.txt", "b.txt", "sub/c.txt")),
    Row(
        "exit-1-odd-files",
        1,
        PARTIAL,
        failed=("y.rclonelink", "x.rclonelink"),
        special=("pipe", "sub/null"),
        copied=4,
    ),
    Row("exit-1-in-the-way", 1, PARTIAL, failed=("a.txt",), copied=2),
    Row("exit-1-full-disk", 1, FATAL, DISK_FULL, failed=("big",), copied=3),
    Row("exit-1-no-inodes", 1, FATAL, DISK_FULL, failed=("b.txt", "sub/c.txt"), copied=1),
    Row("exit-1-read-only", 1, FATAL, NOT_ALLOWED, failed=("a.txt", "b.txt", "sub/c.txt")),
    Row("exit-2-arguments", 2, FATAL),
    Row("exit-3-no-folder", 3, FATAL),
    Row("no-bucket", 3, FATAL),
    # The server took the file and did not know it afterwards.
    Row("exit-4-lost", 4, PARTIAL, failed=("b.txt",), copied=1),
    Row("exit-6-outside", 6, PARTIAL, failed=("../x/evil",), copied=3),
    Row("exit-7-max-delete", 7, PARTIAL, LIMIT_OF_DELETIONS, copied=3),
    Row("exit-8-limit", 8, FATAL, failed=("sub/c.txt",), copied=2),
    Row("exit-9-nothing", 9, GOOD),
    Row("exit-10-time", 10, FATAL, copied=3),
    Row("no-remote", 1, FATAL, "no remote “nobody”"),
    Row("no-type", 1, FATAL, NO_SUCH_TYPE),
    Row("refused-webdav", 1, FATAL, ACCESS_REFUSED),
    Row("refused-sftp", 1, FATAL, ACCESS_REFUSED),
    Row("refused-s3", 1, FATAL, ACCESS_REFUSED, failed=("a.txt", "b.txt")),
    Row("silent-webdav", 1, TRANSIENT, NO_ANSWER),
    Row("silent-sftp", 1, TRANSIENT, NO_ANSWER),
    Row("silent-s3", 5, TRANSIENT, NO_ANSWER, failed=("a.txt", "b.txt")),
    Row("silent-source", 5, TRANSIENT, NO_ANSWER),
    Row("no-host", 1, TRANSIENT, NO_ANSWER),
    Row("host-key", 1, FATAL, UNKNOWN_HOST_KEY),
    Row("is-file", 1, TRANSIENT, FILE_OR_NO_ANSWER),
    Row("s3-answers-503", 1, TRANSIENT, FILE_OR_NO_ANSWER),
    Row("answers-403", 1, FATAL, ACCESS_REFUSED),
    Row("answers-429", 1, TRANSIENT, NO_ANSWER),
    Row("answers-500", 1, TRANSIENT, NO_ANSWER),
    Row("answers-503", 1, TRANSIENT, NO_ANSWER),
    Row("answers-507", 1, FATAL, DISK_FULL),
    Row("link-reset", 1, TRANSIENT, NO_ANSWER),
    Row("link-eof", 1, TRANSIENT, NO_ANSWER),
    Row("link-silent", 1, TRANSIENT, NO_ANSWER),
    Row("needs-password", 1, FATAL, NEEDS_PASSWORD),
    Row("wrong-password", 1, FATAL, WRONG_PASSWORD),
    Row("bad-configuration", 1, FATAL, "cannot be read: could not parse line"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_run_of_rclone_is_taken_for_what_it_was(row: Row) -> None:
    reader = ENGINE.output_reader(a_spec(engine="rclone", source="/backup/source"))
    batch = reader.feed((TRANSCRIPTS / f"rclone-{row.name}.txt").read_bytes().splitlines())
    refusal = reader.reading.refusal

    meaning = ENGINE.classify_exit(row.code)
    if meaning.verdict is not GOOD and refusal is not None:
        meaning = refusal
    assert meaning.verdict is row.verdict
    if isinstance(row.refusal, str):
        assert refusal is not None
        assert row.refusal in refusal.message
    else:
        assert refusal == row.refusal
    assert sorted(failure.path for failure in batch.failures) == sorted(row.failed)
    assert tuple(sorted(skipped.path for skipped in batch.skipped)) == row.special
    assert reader.reading.files_finished == row.copied
    assert reader.reading.files_deleted == (1 if row.name == "exit-7-max-delete" else 0)


def test_every_exit_code_and_every_meaning_is_in_a_transcript() -> None:
    assert {row.code for row in ROWS} == set(range(11))
    told = {row.refusal for row in ROWS if isinstance(row.refusal, ExitMeaning)}
    meanings = {one for one in vars(rclone_words).values() if isinstance(one, ExitMeaning)}
    # No remote that a test can make has neither way to set files aside.
    assert meanings - told == {rclone_words.CANNOT_KEEP}
    assert {path.stem for path in TRANSCRIPTS.glob("rclone-exit-*.txt")} <= {
        f"rclone-{row.name}" for row in ROWS
    }


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_line_at_a_time_and_in_bulk_nothing_is_lost(row: Row) -> None:
    lines = (TRANSCRIPTS / f"rclone-{row.name}.txt").read_bytes().splitlines()
    whole, single = (ENGINE.output_reader(a_spec(engine="rclone")) for _ in range(2))
    whole.feed(lines)
    for line in lines:
        content = bytearray(line + b"\n")
        if single.concerns(content, 0, len(content)):
            single.feed([line])
    assert single.reading.refusal == whole.reading.refusal
    assert single.reading.files_finished == whole.reading.files_finished


@pytest.mark.parametrize(
    ("name", "is_unproven", "refusal", "different"),
    [
        ("verify-no-hash", True, None, []),
        ("verify-read-back", False, None, ["a.txt"]),
        ("verify-silent", False, NO_ANSWER, []),
    ],
)
def test_a_verification_is_taken_for_what_it_was(
    name: str, is_unproven: bool, refusal: ExitMeaning | None, different: list[str]
) -> None:
    reader = ENGINE.difference_reader(a_spec(engine="rclone", verification="checksum"))
    lines = (TRANSCRIPTS / f"rclone-{name}.txt").read_bytes().splitlines()
    found = [failure.path for line in lines if (failure := reader.feed(line)) is not None]
    assert (reader.is_unproven, reader.refusal, found) == (is_unproven, refusal, different)
