"""Lines of a run's log: those from a place on, those before one, and how many match.

A place is what models/engine_log.py calls so. The log is read in pieces and never as a whole, so
that its size costs no memory; how much of it one call reads is bounded too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from models.log_level import LevelPatterns, LogLevel
from storage.engine_log import LogText, read_steadily

PIECE = 256 * 1024
"""How much is read at a time; a longer line is taken for several."""
MAX_SCANNED = 256 * 1024 * 1024
"""How much of a log one call looks through: half a second's work."""


@dataclass(frozen=True)
class Wanted:
    """Which lines: all that hold a text in any case (of ASCII letters), and have a level."""

    patterns: LevelPatterns
    text: bytes = b""
    level: LogLevel | None = None

    @property
    def is_everything(self) -> bool:
        """Whether every line is wanted."""
        return not self.text and self.level is None

    def spans(self, piece: bytes) -> Iterator[tuple[int, int]]:
        """Yield beginning and end (without the newline) of the wanted lines of a piece."""
        if self.text:
            return self._spans_with_text(piece)
        return self._spans_of_level(piece) if self.level else _all_spans(piece)

    def _spans_with_text(self, piece: bytes) -> Iterator[tuple[int, int]]:
        lowered, text = piece.lower(), self.text.lower()
        found = lowered.find(text)
        while found >= 0:
            start, end = piece.rfind(b"\n", 0, found) + 1, _line_end(piece, found)
            if self.level is None or self._has_level(piece[start:end]):
                yield start, end
            found = lowered.find(text, end + 1)

    def _spans_of_level(self, piece: bytes) -> Iterator[tuple[int, int]]:
        assert self.level is not None
        pattern = self.patterns.of(self.level)
        content = b"\n" + piece  # By which the first line begins like every other.
        match = pattern.search(content)
        while match:
            found = match.end() - 2  # The last character of it, which is in the line itself.
            start, end = piece.rfind(b"\n", 0, found) + 1, _line_end(piece, found)
            yield start, end
            match = pattern.search(content, end + 1)

    def _has_level(self, line: bytes) -> bool:
        assert self.level is not None
        return self.patterns.of(self.level).search(b"\n" + line) is not None


class LogLine(NamedTuple):
    """One line without its end."""

    place: int
    content: bytes


@dataclass(frozen=True)
class LogPage:
    """Lines in their order. Reading on from `next_place`, or back from `first_place`, misses none
    and shows none twice."""

    lines: tuple[LogLine, ...]
    first_place: int
    next_place: int
    has_earlier: bool
    has_later: bool
    """Whether there may be more behind; when the page has fewer lines than were asked for, so much
    was looked through that it ended for that."""
    skipped: int = 0
    """How many bytes between the place that was asked for and these lines were left out."""
    looked_through: int = 0
    """How many bytes were read for it."""


class LineCount(NamedTuple):
    """How many lines match: in all, and before a place."""

    total: int
    before: int
    is_all: bool
    """Whether the whole log was looked through."""


def lines_from(directory: Path, place: int, wanted: Wanted, limit: int) -> LogPage:
    """Return the next wanted lines from a place on."""
    return read_steadily(directory, lambda text: _forwards(text, place, wanted, limit))


def lines_behind(directory: Path, place: int, wanted: Wanted, limit: int) -> LogPage:
    """Return the next wanted lines behind the one that begins at a place."""

    def behind(text: LogText) -> LogPage:
        offset = min(text.offset_of(place), text.size)
        line = _piece_from(text, offset, text.size)
        offset += min(_line_end(line, 0) + 1, len(line))
        return _forwards(text, text.place_of(offset), wanted, limit)

    return read_steadily(directory, behind)


def lines_before(directory: Path, place: int | None, wanted: Wanted, limit: int) -> LogPage:
    """Return the last wanted lines before a place, or before the end."""
    return read_steadily(directory, lambda text: _backwards(text, place, wanted, limit))


def lines_since(
    directory: Path, place: int, wanted: Wanted, limit: int, *, only_whole: bool
) -> LogPage:
    """Return what was written since a place: where that is more than `limit` lines, the newest.

    With `only_whole` a last line that has no end yet is left for the next time.
    """

    def newest(text: LogText) -> LogPage:
        page = _backwards(text, None, wanted, limit, stop_at=place, only_whole=only_whole)
        skipped = max(0, page.first_place - place) if page.has_earlier else 0
        return replace(page, skipped=skipped)

    return read_steadily(directory, newest)


def matching_parts(directory: Path, wanted: Wanted) -> Iterator[bytes]:
    """Yield the wanted lines of the whole log as it is now, in parts that are no larger than a
    piece."""
    text = LogText(directory)
    offset = 0
    while offset < text.size:
        piece = _piece_from(text, offset, text.size)
        if not piece:
            return  # It became shorter meanwhile: its run was forgotten.
        offset += len(piece)
        if wanted.is_everything:
            yield piece
        else:
            yield b"".join(piece[start:end] + b"\n" for start, end in wanted.spans(piece))


def count_lines(directory: Path, wanted: Wanted, *, before: int = 0) -> LineCount:
    """Count the wanted lines; with those before a place."""
    text = LogText(directory)
    boundary = text.offset_of(before)
    total = earlier = 0
    offset, scanned_to = 0, min(text.size, MAX_SCANNED)
    while offset < scanned_to:
        piece = _piece_from(text, offset, text.size)
        if not piece:
            break
        for start, _ in wanted.spans(piece):
            total += 1
            earlier += offset + start < boundary
        offset += len(piece)
    return LineCount(total, earlier, offset >= text.size)


def _forwards(text: LogText, place: int, wanted: Wanted, limit: int) -> LogPage:
    first = offset = min(text.offset_of(place), text.size)
    last = min(text.size, first + MAX_SCANNED)
    lines: list[LogLine] = []
    while offset < last and len(lines) < limit:
        piece = _piece_from(text, offset, text.size)
        if not piece:
            break
        end_of_page = len(piece)
        for start, end in wanted.spans(piece):
            lines.append(LogLine(text.place_of(offset + start), piece[start:end]))
            if len(lines) == limit:
                end_of_page = min(end + 1, len(piece))
                break
        offset += end_of_page
    return LogPage(
        tuple(lines), text.place_of(first), text.place_of(offset), first > 0, offset < text.size
    )


def _backwards(
    text: LogText,
    place: int | None,
    wanted: Wanted,
    limit: int,
    *,
    stop_at: int = 0,
    only_whole: bool = False,
) -> LogPage:
    last = text.size if place is None else min(text.offset_of(place), text.size)
    if only_whole:
        last = _end_of_whole_lines(text, last)
    stop = min(text.offset_of(stop_at), last)
    offset, scanned_from = last, max(stop, last - MAX_SCANNED)
    lines: list[LogLine] = []
    while offset > scanned_from and len(lines) < limit:
        piece = _piece_before(text, offset, stop)
        if not piece:
            break
        begin = offset - len(piece)
        found = list(wanted.spans(piece))[-(limit - len(lines)) :]
        new = [LogLine(text.place_of(begin + start), piece[start:end]) for start, end in found]
        lines[:0] = new
        offset = begin + found[0][0] if len(lines) == limit else begin
    return LogPage(
        tuple(lines),
        text.place_of(offset),
        text.place_of(last),
        offset > stop,
        last < text.size,
        looked_through=last - offset,
    )


def _piece_from(text: LogText, offset: int, end: int) -> bytes:
    """Return the next piece, which ends with a line where one ends in it."""
    piece = text.read(offset, PIECE)
    if offset + len(piece) >= end:
        return piece
    return piece[: piece.rfind(b"\n") + 1] or piece


def _piece_before(text: LogText, offset: int, stop: int) -> bytes:
    """Return the piece before an offset, which begins with a line where one begins in it."""
    begin = max(stop, offset - PIECE)
    piece = text.read(begin, offset - begin)
    if begin == stop:
        return piece
    # The newline at the very end is that of the last line.
    return piece[piece.find(b"\n", 0, len(piece) - 1) + 1 :]


def _end_of_whole_lines(text: LogText, end: int) -> int:
    begin = max(0, end - PIECE)
    found = text.read(begin, end - begin).rfind(b"\n")
    return end if found < 0 else begin + found + 1


def _line_end(piece: bytes, start: int) -> int:
    end = piece.find(b"\n", start)
    return len(piece) if end < 0 else end


def _all_spans(piece: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(piece):
        end = _line_end(piece, start)
        yield start, end
        start = end + 1
