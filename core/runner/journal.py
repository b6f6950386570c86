"""The runner's side of a run directory: journal, capped log and result.

The journal is the only channel to the dashboard (architecture.md, decision 5).
"""

from __future__ import annotations

import errno
import json
import os

from models import events
from models.engine_log import (
    LOG_NAME,
    LONGEST_PART,
    TAIL_LINE_WIDTH,
    TAIL_NAME,
    TailFacts,
    beginning_of_line,
    bounds,
    notice_of_cut,
    tail_line,
)
from utils.durable_file import replace_file
from utils.timestamps import utc_timestamp

JOURNAL_NAME = "journal.jsonl"
RESULT_NAME = "result.json"
Content = bytes | memoryview
_PART = 64 * 1024


class Journal:
    """Appends events; each line is one write, so that a reader sees whole lines."""

    def __init__(self, directory: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(os.path.join(directory, JOURNAL_NAME), flags, 0o600)
        self._cut = False
        self.size = os.fstat(self._descriptor).st_size

    def append(self, event: events.Event) -> None:
        """Write one event. Raises OSError."""
        document = events.to_document(event, utc_timestamp())
        line = json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        # After a line that was cut by a full disk, a new line keeps the next one whole.
        content = (b"\n" if self._cut else b"") + line + b"\n"
        written = os.write(self._descriptor, content)
        self._cut = written != len(content)
        self.size += written

    def append_if_possible(self, event: events.Event) -> None:
        """Write an event that a later one will outdate: a full disk must not end a transfer."""
        try:
            self.append(event)
        except OSError:
            self._cut = True

    def close(self) -> None:
        """Make the journal durable and close it. Raises OSError."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)


def write_result(directory: str, event: events.RunEnded) -> None:
    """Write result.json, atomically and durably. Raises OSError."""
    document = {"format": events.FORMAT, **events.to_document(event, utc_timestamp())}
    replace_file(
        os.path.join(directory, RESULT_NAME), json.dumps(document, indent=1).encode("utf-8")
    )


class CappedLog:
    """The tool's raw output, at most so many bytes of it: its head and its tail are kept, and the
    cut is said (models/engine_log.py). Nothing of it is in memory."""

    def __init__(self, directory: str, *, max_bytes: int) -> None:
        self._directory = directory
        self._head_bytes, self._capacity = bounds(max_bytes)
        self._head = self._open(LOG_NAME, os.O_APPEND)
        self._written = 0
        self._lost = 0
        self._ring: int | None = None
        self._begun = 0
        self._done = 0

    def write(self, content: Content) -> None:
        """Keep these lines. A full disk loses log lines, never the transfer."""
        try:
            self._write(memoryview(content))
        except OSError:
            self._lost += len(content)

    def receive_standard_error(self) -> None:
        """From now on what this process prints to standard error stands in the log."""
        os.dup2(self._head, 2)

    def close(self) -> None:
        """Put head and tail together in one file."""
        try:
            if self._ring is not None:
                self._join(self._ring)
            elif self._lost:
                lost = f"\n… {self._lost} bytes of output could not be written …\n"
                os.write(self._head, lost.encode("utf-8"))
        except OSError:
            # No room for both: they are left as they are, and read as those of a live run.
            return
        finally:
            os.close(self._head)
            if self._ring is not None:
                os.close(self._ring)

    def _write(self, content: memoryview) -> None:
        if self._ring is None:
            room = self._head_bytes - self._written
            fitting = len(content)
            if fitting > room:
                fitting = bytes(content[:room]).rfind(b"\n") + 1
            if fitting:
                written = os.write(self._head, content[:fitting])
                self._written += written
                self._lost += fitting - written
            if fitting == len(content):
                return
            content = content[fitting:]
            self._ring = self._open(TAIL_NAME, os.O_TRUNC)
        self._write_around(self._ring, content)

    def _write_around(self, ring: int, content: memoryview) -> None:
        # Told before and after: whoever reads meanwhile, or after this process was killed in here,
        # knows which places can be trusted.
        self._begun = max(self._begun, self._done + len(content))
        self._tell(ring)
        newest = content[-self._capacity :]
        place = (self._done + len(content) - len(newest)) % self._capacity
        before_edge = self._capacity - place
        for part, offset in ((newest[:before_edge], place), (newest[before_edge:], 0)):
            if part and os.pwrite(ring, part, TAIL_LINE_WIDTH + offset) != len(part):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._done += len(content)
        self._tell(ring)

    def _tell(self, ring: int, kept: int | None = None) -> TailFacts:
        facts = TailFacts(self._written, self._capacity, self._begun, self._done, self._lost, kept)
        os.pwrite(ring, tail_line(facts), 0)
        return facts

    def _join(self, ring: int) -> None:
        # What this process printed itself is part of the head by now.
        self._written = os.fstat(self._head).st_size
        first = self._tell(ring).first
        if first:
            first += beginning_of_line(self._read_around(ring, first, LONGEST_PART))
        try:
            _write_all(self._head, notice_of_cut(first + self._lost))
            place = first
            while part := self._read_around(ring, place, _PART):
                _write_all(self._head, part)
                place += len(part)
        except OSError:
            os.ftruncate(self._head, self._written)
            raise
        self._tell(ring, kept=self._done - first)
        if first or self._lost:
            os.ftruncate(ring, TAIL_LINE_WIDTH)
        else:
            os.unlink(os.path.join(self._directory, TAIL_NAME))

    def _read_around(self, ring: int, place: int, limit: int) -> bytes:
        offset = place % self._capacity
        size = min(limit, self._done - place, self._capacity - offset)
        return os.pread(ring, size, TAIL_LINE_WIDTH + offset)

    def _open(self, name: str, more_flags: int = 0) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | more_flags
        return os.open(os.path.join(self._directory, name), flags, 0o600)


def _write_all(descriptor: int, content: bytes) -> None:
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
