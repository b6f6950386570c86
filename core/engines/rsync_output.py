"""Reading what rsync prints: itemised lines, messages, and the file that it has open (rsync(1))."""

from __future__ import annotations

import re

from core.engines.base import (
    Batch,
    ExitMeaning,
    Failure,
    OpenFile,
    Reading,
    Verdict,
    shown_name,
)

_MARK = b"\t"
OUT_FORMAT = "\t%i %l %b %n"
"""What changed, the length, what travelled, the name: the form that is read here. The tab, which no
message of rsync begins with, tells these lines from all others at a glance."""
_ITEM_WIDTH = 11
"""%i is eleven characters wide: YXcstpoguax (rsync(1), --itemize-changes)."""
_LONGEST_SIZE = 20
_SENT_FILE = (b">f", b"<f")
_CHANGES = (b"<", b">", b"c", b"h", b".", b"*")
_REFUSALS = (b"@ERROR: ", b"ERROR: module is ")
_PASSING_REFUSAL = b"max connections"
"""Of all that a daemon may refuse for, being full is what another attempt can help
(rsyncd.conf(5), max connections)."""
_FAILURES = (b"rsync: ", b"file has vanished: ", b"IO error", b"cannot ")
Item = tuple[bytes, int, int, bytes]
"""What changed, the file's length, what travelled for it (both in bytes), its escaped name."""
_ESCAPE = rb"\\#([0-3][0-7]{2})"
_FAILED_FILE = r'(?s)^(?:rsync: )?(?:\[\w+\] )?(?P<what>[^"]*)"(?P<path>.+)"(?P<rest>[^"]*)$'


class RsyncOutput:
    """Reads what `build_argv` makes rsync print."""

    def __init__(self, *, compares_with_partial: bool, remote_source: str | None = None) -> None:
        self.reading = Reading()
        self._remote_source = remote_source
        self._whole_files = not compares_with_partial
        self._sent_of_finished = 0
        self._last_finished = b""
        self._newest = b""
        self._last_name = b""

    def feed(self, lines: list[bytes]) -> Batch:
        """Take lines; the files that were up to date do not belong in the log."""
        batch = Batch()
        for marked in lines:
            line = marked.removeprefix(_MARK)
            if line.startswith(_SENT_FILE) and self._take_sent_file(line):
                batch.log.append(line)
                continue
            item = _split_item(line)
            if item is None:
                batch.log.append(line)
                failure = _failure(line)
                if failure is not None:
                    batch.failures.append(failure)
                self._note_refusal(line, failure)
            elif self._take_item(item):
                batch.log.append(line)
        self._settle()
        return batch

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be an item or tell of a failed file."""
        return _may_hold_news(content, start, end)

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
        is_news = change[0:1] != b"." or change[2:].strip(b" ") != b""
        if change[1:2] == b"d":
            return is_news
        if change[0:1] == b".":
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

    def _note_refusal(self, line: bytes, failure: Failure | None) -> None:
        if line.startswith(_REFUSALS):
            verdict = Verdict.TRANSIENT if _PASSING_REFUSAL in line else Verdict.FATAL
            words = shown_name(line.partition(b": ")[2].strip())
            self.reading.refusal = ExitMeaning(verdict, f"The rsync daemon refused: {words}.")
        elif self._is_about_whole_source(failure):
            # The same code 23 as for one file among many; nothing was copied.
            reason = failure.reason.rpartition("failed: ")[2] if failure else ""
            message = f"Source: there is no such folder on the rsync daemon ({reason})."
            self.reading.refusal = ExitMeaning(Verdict.FATAL, message)

    def _is_about_whole_source(self, failure: Failure | None) -> bool:
        return (
            failure is not None
            and self._remote_source is not None
            and failure.reason.startswith("change_dir ")
            and failure.path.strip("/") == self._remote_source
        )

    def _settle(self) -> None:
        """After a batch: what was under way is among what is finished."""
        if not self._last_name:
            return
        name, self._last_name = _unescape(self._last_name), b""
        reading = self.reading
        reading.bytes_in_flight = 0
        reading.current_name = name
        reading.bytes_sent = max(reading.bytes_sent, self._sent_of_finished)
        self._last_finished = name


class RsyncDifferences:
    """Reads what `build_verify_argv` makes rsync print: each line is a difference."""

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line; folders whose own attributes alone differ do not count."""
        item = _split_item(segment.removeprefix(_MARK))
        if item is None:
            return _failure(segment)
        change, _, _, name = item
        if change[0:2] == b".d":
            return None
        return Failure(shown_name(_unescape(name)), _difference_reason(change))

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be a difference."""
        return _may_hold_news(content, start, end)


def _may_hold_news(content: bytearray, start: int, end: int) -> bool:
    # Single characters first: those are found twenty times as fast as words.
    if content.find(_MARK, start, end) >= 0 and _has_line(content, start, end, _MARK):
        return True
    if content.find(b"@", start, end) >= 0 and _has_line(content, start, end, _REFUSALS[0]):
        return True
    if content.find(b'"', start, end) < 0:
        return False
    return any(_has_line(content, start, end, beginning) for beginning in _FAILURES)


def _has_line(content: bytearray, start: int, end: int, beginning: bytes) -> bool:
    return content.startswith(beginning, start, end) or any(
        content.find(end_of_line + beginning, start, end) >= 0 for end_of_line in (b"\n", b"\r")
    )


def _split_item(line: bytes) -> Item | None:
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


def _failure(segment: bytes) -> Failure | None:
    if b'"' not in segment or not segment.startswith(_FAILURES):
        return None
    match = re.match(_FAILED_FILE, _unescape(segment).decode("utf-8", errors="backslashreplace"))
    if not match:
        return None
    reason = f"{match['what'].rstrip()}{match['rest']}".strip(" :")
    path = shown_name(match["path"].encode("utf-8", errors="replace"))
    return Failure(path, shown_name(reason.encode("utf-8", errors="replace")))


def _unescape(name: bytes) -> bytes:
    # rsync prints bytes that are not printable as \#ooo, in octal (rsync(1), --8-bit-output).
    return re.sub(_ESCAPE, lambda match: bytes([int(match[1], 8)]), name)
