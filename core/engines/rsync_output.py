"""Reading what rsync prints: itemised lines, messages, and the file that it has open (rsync(1))."""

from __future__ import annotations

import os

from core.engines.base import Batch, ExitMeaning, Failure, OpenFile, Reading
from core.engines.rsync_messages import (
    failure_in,
    has_line,
    may_hold_message,
    places_of,
    special_in,
    unescape,
)
from core.engines.rsync_refusals import Refusals
from models.run_spec import RunSpec
from utils.shown_names import shown_name

MARK = b"\t"
OUT_FORMAT = "\t%i %l %b %n"
"""What changed, the length, what travelled, the name: the form that is read here. The tab, which no
message of rsync begins with, tells these lines from all others at a glance."""
_ITEM_WIDTH = 11
"""%i is eleven characters wide: YXcstpoguax (rsync(1), --itemize-changes)."""
_LONGEST_SIZE = 20
_MOST_FAILED_KEPT = 2000
"""So many names of failed files are kept to tell a file from itself."""
_SENT_FILE = (b">f", b"<f")
_CHANGES = (b"<", b">", b"c", b"h", b".", b"*")
_UNCHANGED = (b"\t.f          ", b"\t.L          ")
_UNCHANGED_FOLDER = b"\t.d          "
"""How a line begins that names a file, a link or a folder of which nothing differs."""
Item = tuple[bytes, int, int, bytes]
"""What changed, the file's length, what travelled for it (both in bytes), its escaped name."""


class RsyncOutput:
    """Reads what `build_argv` makes rsync print."""

    def __init__(self, spec: RunSpec) -> None:
        self.reading = Reading()
        self._places = places_of(spec)
        self._refusals = Refusals(spec, self._places)
        # The other machine compares with whatever it has of a file.
        self._whole_files = not (spec.resume or spec.destination_is_remote)
        self._failed: set[str] = set()
        self._sent_of_finished = 0
        self._last_finished = b""
        self._newest = b""
        self._last_name = b""

    def feed(self, lines: list[bytes]) -> Batch:
        """Take lines; the files that were up to date do not belong in the log."""
        batch = Batch()
        for marked in lines:
            line = marked.removeprefix(MARK)
            if line.startswith(_SENT_FILE) and self._take_sent_file(line):
                batch.log.append(line)
                continue
            item = split_item(line)
            if item is None:
                batch.log.append(line)
                self._take_message(line, batch)
            elif self._take_item(item):
                batch.log.append(line)
        self._settle()
        return batch

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be an item, or tell of a file or of the attempt as a whole."""
        return _may_hold_news(content, start, end) or self._refusals.concerns(content, start, end)

    def note_open_file(self, file: OpenFile | None) -> None:
        """Count what is read of the file under way.

        In a transfer of whole files that much has travelled; compared with a partial file, only
        the figure at its end tells.
        """
        reading = self.reading
        if file is None or file.name == self._last_finished:
            # rsync names a file as done just before it closes it.
            reading.bytes_in_flight = 0
            return
        reading.bytes_in_flight = file.position
        reading.current_name = file.name
        if self._whole_files and not file.is_compared:
            travelled = self._sent_of_finished + file.position
            reading.bytes_sent = max(reading.bytes_sent, travelled)

    def _take_message(self, line: bytes, batch: Batch) -> None:
        special = special_in(line)
        if special is not None:
            batch.skipped.append(special)
            return
        failure = failure_in(line, self._places)
        if failure is not None and self._is_news(failure):
            batch.failures.append(failure)
        self._refusals.take(line, failure)
        self.reading.refusal = self._refusals.refusal

    def _is_news(self, failure: Failure) -> bool:
        # Of one file rsync may tell twice: that it cannot be read, and that it is not whole.
        if failure.name is None:
            return True
        if failure.name in self._failed:
            return False
        if len(self._failed) < _MOST_FAILED_KEPT:
            self._failed.add(failure.name)
        return True

    def _take_sent_file(self, line: bytes) -> bool:
        """Count a file that was sent; False when the line is not of that form.

        A shorter way than `_take_item`, since it is gone once for each file while rsync works.
        """
        parts = line.split(b" ", 3)
        if len(parts) != 4 or len(parts[0]) != _ITEM_WIDTH:
            return False
        _, size, sent, name = parts
        if not size.isdigit() or not sent.isdigit() or len(size) + len(sent) > 2 * _LONGEST_SIZE:
            return False
        self._finish(name, int(size), int(sent))
        return True

    def _take_item(self, item: Item) -> bool:
        """Count one item; True when it is news for the log."""
        change, size, sent, name = item
        reading = self.reading
        if change[0:1] == b"*":
            reading.files_deleted += not name.endswith(b"/")
            return True
        # A hard link that is there already is named as one, with nothing behind (`hf         `).
        is_news = change[0:1] not in b".h" or change[2:].strip(b" ") != b""
        if change[1:2] == b"d":
            return is_news
        if change[0:1] == b"." or not is_news:
            reading.files_skipped += 1
            reading.bytes_skipped += size
            return is_news
        self._finish(name, size, sent)
        return True

    def _finish(self, name: bytes, size: int, sent: int) -> None:
        # The same file once more: rsync was not content with it and sent it in a second pass.
        if name != self._newest:
            self.reading.files_finished += 1
            self.reading.bytes_finished += size
        self._sent_of_finished += sent
        self._last_name = self._newest = name

    def _settle(self) -> None:
        """After a batch: what was under way is among what is finished."""
        if not self._last_name:
            return
        name, self._last_name = unescape(self._last_name), b""
        reading = self.reading
        reading.bytes_in_flight = 0
        reading.current_name = name
        reading.bytes_sent = max(reading.bytes_sent, self._sent_of_finished)
        self._last_finished = name


class RsyncDifferences:
    """Reads what `build_verify_argv` makes rsync print: each line is a difference."""

    def __init__(self, spec: RunSpec) -> None:
        self.refusal: ExitMeaning | None = None
        self.is_unproven = False
        self.files_compared = 0
        self.bytes_compared: int | None = 0
        self._places = places_of(spec)
        self._refusals = Refusals(spec, self._places)

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line; folders whose own attributes alone differ do not count."""
        item = split_item(segment.removeprefix(MARK))
        if item is None:
            failure = failure_in(segment, self._places)
            self._refusals.take(segment, failure)
            self.refusal = self._refusals.refusal
            return failure
        change, size, _, escaped = item
        if change[0:2] == b".d":
            return None
        self.files_compared += 1
        self.bytes_compared = (self.bytes_compared or 0) + size
        if self.tells_progress(segment):
            return None
        name = unescape(escaped)
        return Failure(shown_name(name), _difference_reason(change), os.fsdecode(name))

    def tells_progress(self, segment: bytes) -> bool:
        """Whether it names what is the same."""
        return segment.startswith(_UNCHANGED) or segment.startswith(_UNCHANGED_FOLDER)

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be a difference, or tell of the verification as a whole."""
        return _may_hold_news(content, start, end) or self._refusals.concerns(content, start, end)


def _may_hold_news(content: bytearray, start: int, end: int) -> bool:
    # A single character first: it is found twenty times as fast as words.
    if content.find(MARK, start, end) >= 0 and has_line(content, start, end, MARK):
        return True
    if content.find(b'"', start, end) < 0 and content.find(b": ", start, end) < 0:
        return False
    return may_hold_message(content, start, end)


def split_item(line: bytes) -> Item | None:
    if line[_ITEM_WIDTH : _ITEM_WIDTH + 1] != b" " or not line.startswith(_CHANGES):
        return None
    parts = line[_ITEM_WIDTH + 1 :].split(b" ", 2)
    if len(parts) != 3 or not (_is_size(parts[0]) and _is_size(parts[1])):
        return None
    return line[:_ITEM_WIDTH], int(parts[0]), int(parts[1]), parts[2]


def _is_size(text: bytes) -> bool:
    return text.isdigit() and len(text) < _LONGEST_SIZE


def _difference_reason(change: bytes) -> str:
    if b"+" in change:
        return "It is missing at the destination."
    attributes = {
        3: (b"c", "its checksum"),
        4: (b"s", "its size"),
        5: (b"tT", "its modification time"),
        6: (b"p", "its permissions"),
        7: (b"o", "its owner"),
        8: (b"g", "its group"),
    }
    different = [
        text
        for place, (letters, text) in ((key - 1, value) for key, value in attributes.items())
        if change[place : place + 1] and change[place : place + 1] in letters
    ]
    return f"It differs in {', '.join(different)}." if different else "It differs."
