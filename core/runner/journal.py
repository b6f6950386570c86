"""The runner's side of a run directory: journal, capped log and result.

The journal is the only channel to the dashboard (architecture.md, decision 5).
"""

from __future__ import annotations

import json
import os

from models import events
from utils.durable_file import replace_file
from utils.timestamps import utc_timestamp

JOURNAL_NAME = "journal.jsonl"
RESULT_NAME = "result.json"
LOG_NAME = "engine.log"
LOG_HEAD_BYTES = 8 * 1024 * 1024
LOG_TAIL_BYTES = 4 * 1024 * 1024


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
    """The tool's raw output: its head and its tail are kept, and the cut is said.

    Past the head, lines go to two tail files in turn, so that no more than twice the tail is ever
    on disk and none of it in memory.
    """

    def __init__(
        self,
        directory: str,
        *,
        head_bytes: int = LOG_HEAD_BYTES,
        tail_bytes: int = LOG_TAIL_BYTES,
    ) -> None:
        self._directory = directory
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._head = self._open(LOG_NAME)
        self._tail: int | None = None
        self._written = 0
        self._tail_written = 0
        self._dropped = 0
        self._rotations = 0

    def write(self, content: bytes) -> None:
        """Keep these lines. A full disk loses log lines, never the transfer."""
        try:
            self._write(content)
        except OSError:
            self._dropped += len(content)

    def receive_standard_error(self) -> None:
        """From now on what this process prints to standard error stands in the log."""
        os.dup2(self._head, 2)

    def close(self) -> None:
        """Put head and tail together in one file."""
        try:
            if self._tail is not None:
                self._join()
        except OSError:
            self._dropped += self._tail_written
        finally:
            os.close(self._head)

    def _write(self, content: bytes) -> None:
        if self._tail is None:
            if self._written + len(content) <= self._head_bytes:
                self._written += os.write(self._head, content)
                return
            self._tail = self._open(self._tail_name())
        if self._tail_written + len(content) > self._tail_bytes:
            self._rotate()
        self._tail_written += os.write(self._tail, content)

    def _rotate(self) -> None:
        assert self._tail is not None
        name = self._tail_name(self._rotations + 1)
        dropped = os.stat(os.path.join(self._directory, name)).st_size if self._rotations else 0
        # Opened before the other is let go of: a number that was closed may be anybody's.
        tail = self._open(name, os.O_TRUNC)
        os.close(self._tail)
        self._tail = tail
        self._rotations += 1
        self._dropped += dropped
        self._tail_written = 0

    def _join(self) -> None:
        assert self._tail is not None
        os.close(self._tail)
        if self._dropped:
            cut = f"\n… {self._dropped} bytes of output were not kept here …\n\n"
            os.write(self._head, cut.encode("utf-8"))
        for rotation in (self._rotations - 1, self._rotations):
            if rotation < 0:
                continue
            path = os.path.join(self._directory, self._tail_name(rotation))
            with open(path, "rb") as tail:
                while chunk := tail.read(64 * 1024):
                    os.write(self._head, chunk)
            os.unlink(path)

    def _tail_name(self, rotation: int | None = None) -> str:
        return f"{LOG_NAME}.tail{(self._rotations if rotation is None else rotation) % 2}"

    def _open(self, name: str, more_flags: int = 0) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | more_flags
        return os.open(os.path.join(self._directory, name), flags, 0o600)
