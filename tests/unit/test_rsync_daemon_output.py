"""Proves what is made of a daemon's own words: a refusal is no failed file, and not worth another
attempt unless the daemon is only full."""

from __future__ import annotations

import pytest

from core.engines.base import OpenFile, Verdict
from core.engines.rsync import RsyncEngine
from core.engines.rsync_output import RsyncOutput
from tests.fakes.builders import a_spec


def reader(source: str = "rsync://nas/backup/photos/2026") -> RsyncOutput:
    """Return a fresh reader of a transfer from a daemon."""
    fresh = RsyncEngine().output_reader(a_spec(source=source))
    assert isinstance(fresh, RsyncOutput)
    return fresh


@pytest.mark.parametrize(
    ("line", "verdict", "words"),
    [
        (b"@ERROR: Unknown module 'x'", Verdict.FATAL, "refused: Unknown module 'x'."),
        (b"@ERROR: auth failed on module m", Verdict.FATAL, "refused: auth failed on module m."),
        (b"ERROR: module is read only", Verdict.FATAL, "refused: module is read only."),
        (
            b"@ERROR: max connections (1) reached -- try again later",
            Verdict.TRANSIENT,
            "refused: max connections (1) reached",
        ),
        (
            b'rsync: [sender] change_dir "photos/2026" (in backup) failed: Not a directory (20)',
            Verdict.FATAL,
            "Source: there is no such folder on the rsync daemon (Not a directory (20)).",
        ),
        (
            b'rsync: [sender] change_dir "/photos/2026" (in backup) failed: No such file (2)',
            Verdict.FATAL,
            "(No such file (2)).",
        ),
    ],
)
def test_a_refusal(line: bytes, verdict: Verdict, words: str) -> None:
    fresh = reader()
    flood = bytearray(b"a\n" + line + b"\n")
    assert fresh.concerns(flood, 0, len(flood)) or line.startswith(b"ERROR")
    batch = fresh.feed([line])
    assert batch.log == [line]
    refusal = fresh.reading.refusal
    assert refusal is not None
    assert refusal.verdict is verdict
    assert words in refusal.message


@pytest.mark.parametrize(
    "line",
    [
        b"ERROR: a.iso failed verification -- update discarded.",
        b'rsync: [sender] change_dir "photos/2026/sub" (in backup) failed: No such file (2)',
        b'rsync: [sender] send_files failed to open "photos/2026" (in backup): Denied (13)',
        b"\t>f+++++++++ 7 7 @ERROR: a file of this name",
    ],
)
def test_what_is_about_one_file_is_no_refusal(line: bytes) -> None:
    fresh = reader()
    fresh.feed([line])
    assert fresh.reading.refusal is None


def test_a_local_source_is_looked_at_here_instead() -> None:
    fresh = reader("/photos/2026")
    fresh.feed([b'rsync: [sender] change_dir "/photos/2026" failed: No such file (2)'])
    assert fresh.reading.refusal is None


def test_what_a_daemon_compares_is_not_counted_as_sent() -> None:
    for is_compared, sent in ((False, 70), (True, 0)):
        fresh = reader()
        fresh.note_open_file(OpenFile(b"a.iso", 70, is_compared=is_compared))
        assert (fresh.reading.bytes_in_flight, fresh.reading.bytes_sent) == (70, sent)
    sending = RsyncEngine().output_reader(a_spec(destination="rsync://nas/backup"))
    sending.note_open_file(OpenFile(b"a.iso", 70))
    assert (sending.reading.bytes_in_flight, sending.reading.bytes_sent) == (70, 0)
