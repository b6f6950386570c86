"""One output of a process: read as fast as the tool writes, and handed on in lines.

A tool that writes a gigabyte must not be held up by its log, and two processors are all that there
may be: so where much comes at once it is not looked at line by line but where it has to be.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

BUSY = 64 * 1024
"""Who has read so much at once reads on without taking a breath."""
_READ_SIZE = 256 * 1024
_PIPE_SIZE = 1024 * 1024
_BULK = 16 * 1024
_SHORTEST_NAP, _LONGEST_NAP = 0.000_25, 0.012
"""Between two reads in a flood, in seconds: the pipe is full after 0.5 ms at 2 GB/s."""

Segments = Callable[[list[bytes]], None]
Bulk = Callable[[bytearray, int, int], bool]


class Intake:
    """Takes lines, and where much comes at once all of it unsplit.

    `take_bulk` is handed a buffer, which is written over afterwards, and where in it whole lines
    begin and end; it returns False when it has to have them one by one after all.
    """

    def __init__(self, take: Segments, take_bulk: Bulk) -> None:
        self.take = take
        self.take_bulk = take_bulk

    def __call__(self, segments: list[bytes]) -> None:
        """Take lines, without their ends."""
        self.take(segments)


class Pipe:
    """One output of a child, split into segments at newlines and carriage returns."""

    def __init__(self, take: Segments, limit: int) -> None:
        self.read_end, self.write_end = os.pipe()
        self._take = take.take if isinstance(take, Intake) else take
        self._take_bulk = take.take_bulk if isinstance(take, Intake) else None
        self._limit = limit
        # One for all reads: at a thousand a second the system would give and take the memory for
        # each, and that takes longer than all else. It begins with what was kept of the last line.
        self._buffer = bytearray(limit + _READ_SIZE)
        self._kept = 0
        self.is_open = True
        try:
            fcntl.fcntl(self.read_end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        except OSError:
            pass  # The system grants less to this user: a smaller pipe is read more often.
        self._pace = Pace(fcntl.fcntl(self.read_end, fcntl.F_GETPIPE_SZ))

    def read(self) -> int:
        """Take what is there; returns its length, 0 at the end; at least `BUSY` in a flood."""
        self._pace.wait()
        room = memoryview(self._buffer)[self._kept : self._kept + _READ_SIZE]
        length = os.readv(self.read_end, [room])
        end = self._kept + length
        if length < _BULK or not self._took_bulk(end):
            self._split(end, is_last=not length)
        if not length:
            self.close()
        return self._pace.after(length)

    def close(self) -> None:
        """Stop reading; may be called twice."""
        if self.is_open:
            self.is_open = False
            os.close(self.read_end)

    def _took_bulk(self, end: int) -> bool:
        last = self._buffer.rfind(b"\n", 0, end) + 1
        if self._take_bulk is None or not last or end - last > self._limit:
            return False
        if not self._take_bulk(self._buffer, 0, last):
            return False
        self._keep(self._buffer[last:end])
        return True

    def _split(self, end: int, *, is_last: bool) -> None:
        segments = bytes(self._buffer[:end]).replace(b"\r", b"\n").split(b"\n")
        rest = b"" if is_last else segments.pop()
        whole = [segment[: self._limit] for segment in segments if segment]
        if whole:
            self._take(whole)
        self._keep(rest)

    def _keep(self, rest: bytes | bytearray) -> None:
        """Keep the beginning of a line for the next read; one that is too long ends here."""
        if len(rest) > self._limit:
            self._take([bytes(rest[: self._limit])])
            rest = b""
        self._buffer[: len(rest)] = rest
        self._kept = len(rest)


class Pace:
    """How often a pipe is read while a tool writes so fast that it is full before a breath is over.

    As long as such a flood goes on the reader naps only until the pipe is a fraction full: it must
    not hold up the tool, nor wake for each line and take the processor's time from it.
    """

    def __init__(self, pipe_size: int) -> None:
        self._much = pipe_size // 4
        self._enough = pipe_size // 6
        self._in_flood = False
        self._nap = 0.0

    def wait(self) -> None:
        """Let some output come before the next read."""
        if self._nap:
            time.sleep(self._nap)

    def after(self, length: int) -> int:
        """Take note of how much was read; returns it, in a flood no less than `BUSY`."""
        if length >= self._much:
            self._in_flood = True
            self._nap = self._nap / 2 if self._nap > _SHORTEST_NAP else 0.0
        elif self._in_flood:
            change = 0.8 if length >= self._enough else 1.25
            self._nap = max(_SHORTEST_NAP, self._nap * change)
            self._in_flood = length > 0 and self._nap < _LONGEST_NAP
        if self._in_flood:
            return max(length, BUSY)
        self._nap = 0.0
        return length
