"""Reading the log of a run, live or over, as one text of head, notice of the cut and tail.

An offset is a number of bytes into that text; once the run is over the text is engine.log. A place
is a number of bytes of the tool's output and stays what it is: by it a page goes on reading where
it was, whatever was dropped meanwhile (models/engine_log.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from models.engine_log import (
    LOG_NAME,
    LONGEST_PART,
    TAIL_LINE_WIDTH,
    TAIL_NAME,
    TailFacts,
    beginning_of_line,
    notice_of_cut,
    tail_facts,
)

Found = TypeVar("Found")
_TRIES = 5
"""How often a window is read while the runner goes around its ring faster than it is read."""


@dataclass(frozen=True)
class LogWindow:
    """A part of a log."""

    content: bytes = b""
    offset: int = 0
    """Where it begins in the text."""
    size: int = 0
    """How long the text is."""
    next_place: int = 0
    """The place that follows it."""
    skipped: int = 0
    """How much of the output between the place that was asked for and this part was left out."""


def log_size(directory: Path) -> int:
    """Return how long the text is in bytes; 0 when there is none."""
    return LogText(directory).size


def log_window(directory: Path, offset: int, limit: int) -> LogWindow:
    """Return the window from an offset on; a negative one counts from the end."""

    def window(text: LogText) -> LogWindow:
        start = max(0, text.size + offset) if offset < 0 else min(offset, text.size)
        content = text.read(start, limit)
        return LogWindow(content, start, text.size, text.place_of(start + len(content)))

    return read_steadily(directory, window)


def log_since(directory: Path, place: int, limit: int) -> LogWindow:
    """Return what was written since a place: where that is more than `limit`, the newest lines."""

    def window(text: LogText) -> LogWindow:
        wanted = text.offset_of(place)
        start, skipped = wanted, 0
        if text.size - wanted > limit:
            start = text.line_from(text.size - limit)
            skipped = text.place_of(start) - place
        content = text.read(start, limit)
        return LogWindow(
            content, start, text.size, text.place_of(start + len(content)), skipped=skipped
        )

    return read_steadily(directory, window)


class LogText:
    """What a log reads like at this moment."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.facts = _facts(directory)
        on_disk = _size(directory / LOG_NAME)
        facts = self.facts
        self._notice = b""
        self._oldest_read = sys.maxsize
        if facts is None:
            self.size = self._head = self._first = self._end = on_disk
            return
        self._head = min(facts.head, on_disk)
        self._first, self._end = facts.head + facts.first, facts.head + facts.done
        if facts.kept is not None:
            self.size = on_disk
            return
        if facts.first:
            self._first += beginning_of_line(self._ring(facts, facts.first, LONGEST_PART))
            self._notice = notice_of_cut(self._first - facts.head + facts.lost)
        self.size = self._head + len(self._notice) + self._end - self._first

    def is_still(self) -> bool:
        """Whether nothing that was read is overwritten or in the other file by now."""
        before, now = self.facts, _facts(self._directory)
        if before is None or now is None:
            return before is now
        return before.kept == now.kept and now.first <= self._oldest_read

    def read(self, offset: int, limit: int) -> bytes:
        """Return a window of the text."""
        facts = self.facts
        end = min(self.size, offset + max(0, limit))
        if facts is None or facts.kept is not None:
            return _part(self._directory / LOG_NAME, offset, end)
        tail = self._head + len(self._notice)
        content = _part(self._directory / LOG_NAME, offset, min(end, self._head))
        content += self._notice[max(0, offset - self._head) : max(0, end - self._head)]
        if end > tail:
            start = max(offset, tail)
            place = self._first - facts.head + start - tail
            self._oldest_read = min(self._oldest_read, place)
            content += self._ring(facts, place, end - start)
        return content

    def place_of(self, offset: int) -> int:
        """Return the place of the output that stands at an offset."""
        return offset if offset < self._head else max(self._first, self._end - self.size + offset)

    def offset_of(self, place: int) -> int:
        """Return where a place stands in the text, or where the notice says that it is gone."""
        if place < self._first:
            return max(0, min(place, self._head))
        return self.size - max(0, self._end - place)

    def line_from(self, offset: int) -> int:
        """Return where the first whole line of output begins, from an offset on."""
        tail = self.size - (self._end - self._first)
        if self._head <= offset <= tail:
            return tail
        return offset + beginning_of_line(self.read(offset, LONGEST_PART))

    def _ring(self, facts: TailFacts, place: int, limit: int) -> bytes:
        """Read around the ring."""
        size = min(limit, facts.done - place)
        start = place % facts.capacity
        before_edge = min(size, facts.capacity - start)
        path = self._directory / TAIL_NAME
        content = _part(path, TAIL_LINE_WIDTH + start, TAIL_LINE_WIDTH + start + before_edge)
        rest = _part(path, TAIL_LINE_WIDTH, TAIL_LINE_WIDTH + size - before_edge)
        return content + rest


def read_steadily(directory: Path, window: Callable[[LogText], Found]) -> Found:
    """Read a window again while the runner overwrites what is being read, a few times."""
    tries = 0
    while True:
        tries += 1
        text = LogText(directory)
        found = window(text)
        if text.is_still() or tries == _TRIES:
            return found


def _facts(directory: Path) -> TailFacts | None:
    line = _part(directory / TAIL_NAME, 0, TAIL_LINE_WIDTH)
    return tail_facts(line) if line else None


def _part(path: Path, start: int, end: int) -> bytes:
    """Return the bytes of a file from start to end, as many as there are."""
    if end <= start:
        return b""
    try:
        with path.open("rb") as file:
            return os.pread(file.fileno(), end - start, start)
    except FileNotFoundError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
