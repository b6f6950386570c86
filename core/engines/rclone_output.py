"""Reading rclone's JSON log: stats, failed files, what it passed over, and words about all.

rclone's counters tell what travelled, how many files were compared and how much there is to copy;
of a file that is up to date they tell no more than that it was compared. So what was skipped is
worked out of them and the totals of the scan: never too much, and exact at the end.
"""

from __future__ import annotations

import json
from typing import Any

from core.engines.base import (
    Batch,
    ExitMeaning,
    Failure,
    OpenFile,
    Reading,
    ScannedTotals,
    SkippedSpecial,
    Verdict,
)
from core.engines.rclone_names import RealFile, SourceNames, from_standard, is_taken_for_link
from core.engines.rclone_words import (
    ACCESS_REFUSED,
    LIMIT_OF_DELETIONS,
    NO_ANSWER,
    NOT_ALLOWED,
    last_words,
    meaning_of_all,
    meaning_of_file,
)
from models.run_spec import RunSpec
from utils.shown_names import shown_name

_SPECIAL = b"non file/directory"
_DUPLICATE = b"Duplicate object found in source"
_NEWS = (b'"stats"', b'"error"', b'"critical"', _SPECIAL, _DUPLICATE)
_DIFFERENCES = (b'"stats"', b'"skipped"', b'"error"', b'"critical"', b"could not be checked")
"""Words in the lines that tell something; all others need not be taken apart."""
_COPIES = frozenset({"copy", "update", "server-side copy"})
_REPEATED = ("Attempt ", "Cancelling sync", "Can't retry", "Fatal error received")
"""Messages that tell again what a file's own message has told."""
_BEFORE_FAILURE = ("Failed to read link size",)
"""What rclone tells first of a file that then fails."""
_OF_DELETION = ("Couldn't delete", "Failed to delete", "Got fatal error on delete")
_OF_PART = "partial file rename failed"
"""Here rclone names the file under the name that it has until it is whole."""
_MOST_REMEMBERED = 10_000
_MOST_COUNTED = 2**63 - 1
_UNPROVEN = ("No common hash found", "could not be checked")
_MISSING = "It is missing or differs at the destination."
_TWICE = "Another file of the source has the same name for rclone, which copied one of them alone."
_TAKEN_FOR_LINK = (
    "rclone keeps the ending .rclonelink for symbolic links and cannot copy a file of such a name: "
    "rename it."
)


class RcloneOutput:
    """Reads the JSON log of a transfer."""

    def __init__(self, spec: RunSpec) -> None:
        self._counters = RcloneReading()
        self.reading: Reading = self._counters
        self._names = SourceNames(spec)
        self._failed: set[str] = set()
        self._about_all: ExitMeaning | None = None
        self._about_files: set[ExitMeaning] = set()

    def feed(self, lines: list[bytes]) -> Batch:
        """Take lines of the log; its meter readings do not belong in ours."""
        batch = Batch()
        for line in lines:
            document = _news(line, _NEWS)
            stats = document.get("stats")
            if isinstance(stats, dict):
                self._counters.take_stats(stats)
                continue
            batch.log.append(line)
            if document:
                self._take_message(line, document, batch)
        self.reading.refusal = self._judge()
        return batch

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be a reading of the meter or tell of a file."""
        return _holds(content, _NEWS, start, end)

    def note_open_file(self, file: OpenFile | None) -> None:
        """rclone's own log tells what is under way."""

    def _take_message(self, line: bytes, document: dict[str, Any], batch: Batch) -> None:
        level, message = document.get("level"), str(document.get("msg", ""))
        if level == "critical":
            self._about_all = last_words(message)
        elif level == "error":
            self._take_error(document, message, batch)
        elif level == "notice" and _SPECIAL in line and _is_of_file(document):
            file = self._names.real(_told(document))
            path = shown_name(file.shown)
            batch.skipped.append(SkippedSpecial(path, file.special_kind, file.name))
        elif level == "notice" and _DUPLICATE in line and _is_of_file(document):
            self._note_failure(_told(document), _TWICE, batch)

    def _take_error(self, document: dict[str, Any], message: str, batch: Batch) -> None:
        if not _is_of_file(document):
            if not message.startswith(_REPEATED):
                found = meaning_of_all(message)
                if self._about_all is None or self._about_all.verdict is not Verdict.FATAL:
                    self._about_all = found or self._about_all
            return
        found = meaning_of_file(message)
        if found is not None:
            self._about_files.add(found)
        if found is not LIMIT_OF_DELETIONS and not message.startswith(_BEFORE_FAILURE):
            self._note_failure(_told(document), message, batch)

    def _note_failure(self, told: str, message: str, batch: Batch) -> None:
        if told in self._failed:
            return
        if len(self._failed) < _MOST_REMEMBERED:
            self._failed.add(told)
        is_part = message.startswith(_OF_PART)
        file = self._names.real_of_partial(told) if is_part else self._names.real(told)
        batch.failures.append(_failure(file, message))

    def _judge(self) -> ExitMeaning | None:
        """What was said of the whole attempt; what is said of each file counts for it only when
        nothing else was done, or when another attempt may help."""
        about_all, about_files = self._about_all, self._about_files
        if about_all is not None and about_all.verdict is Verdict.FATAL:
            return about_all
        is_idle = not (self._counters.files_finished or self._counters.files_compared)
        for meaning in sorted(about_files):
            if meaning.verdict is Verdict.FATAL and (
                is_idle or meaning not in {ACCESS_REFUSED, NOT_ALLOWED}
            ):
                return meaning
        if NO_ANSWER in about_files:
            return NO_ANSWER
        return about_all or (LIMIT_OF_DELETIONS if LIMIT_OF_DELETIONS in about_files else None)


class RcloneReading(Reading):
    """What rclone's counters come to."""

    def __init__(self) -> None:
        super().__init__()
        self.files_compared = 0
        """With what the destination has of the same name."""
        self._bytes_to_copy = 0
        self._files_to_copy = 0

    @property
    def wants_totals(self) -> bool:
        """Once a file was compared: it may be one that was skipped."""
        return self.files_compared > 0

    @property
    def counts_all(self) -> bool:
        """When nothing was compared; but a source that is one file is not even counted as that."""
        return not self.files_compared and self.files_finished > 0

    def take_stats(self, stats: dict[str, Any]) -> None:
        """Take the newest counters; none of ours ever falls."""
        self.bytes_sent = max(self.bytes_sent, _count(stats.get("bytes")))
        self.files_finished = max(self.files_finished, _count(stats.get("transfers")))
        self.files_deleted = max(self.files_deleted, _count(stats.get("deletes")))
        self.files_compared = max(self.files_compared, _count(stats.get("checks")))
        self._bytes_to_copy = _count(stats.get("totalBytes"))
        self._files_to_copy = _count(stats.get("totalTransfers"))
        # What was sent twice of a file is at the destination once.
        sent = _count(stats.get("bytes"))
        done = min(sent, self._bytes_to_copy) if self._bytes_to_copy else sent
        self.bytes_finished = max(self.bytes_finished, done)
        if self.totals is not None:
            self._work_out_skipped(self.totals)
        name = _under_way(stats.get("transferring"))
        if name is not None:
            self.current_name = name

    def _work_out_skipped(self, totals: ScannedTotals) -> None:
        """Files that were compared and cannot be among those to be copied, and their share of the
        bytes: in proportion, since of the single file nothing is told. Never too many: each file to
        be copied may be one of those that were compared."""
        left = max(0, totals.files - self._files_to_copy)
        skipped = max(0, min(self.files_compared - self._files_to_copy, left))
        size = max(0, totals.bytes - self._bytes_to_copy)
        self.files_skipped = max(self.files_skipped, skipped)
        self.bytes_skipped = max(self.bytes_skipped, size * skipped // left if left else 0)


class RcloneDifferences:
    """Reads the JSON log of a verification."""

    def __init__(self, spec: RunSpec) -> None:
        self.refusal: ExitMeaning | None = None
        self.is_unproven = False
        self.files_compared = 0
        self.bytes_compared: int | None = None
        self._names = SourceNames(spec)

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line: an object that failed the check, or that a dry run would copy."""
        document = _news(segment, _DIFFERENCES)
        stats = document.get("stats")
        if isinstance(stats, dict):
            self.files_compared = max(self.files_compared, _count(stats.get("checks")))
            return None
        level, message = document.get("level"), str(document.get("msg", ""))
        if str(document.get("skipped")) in _COPIES:
            return _failure(self._names.real(_told(document)), _MISSING)
        if level == "critical":
            self.refusal = last_words(message)
        self.is_unproven = self.is_unproven or any(words in message for words in _UNPROVEN)
        if level != "error" or message.startswith(_BEFORE_FAILURE):
            return None
        is_of_file = _is_of_file(document)
        found = meaning_of_file(message) if is_of_file else meaning_of_all(message)
        if found is not None and (found is NO_ANSWER or not is_of_file):
            self.refusal = self.refusal or found
            return None
        return _failure(self._names.real(_told(document)), message) if is_of_file else None

    def tells_progress(self, segment: bytes) -> bool:
        """Whether it is a reading of the meter."""
        return b'"stats"' in segment

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be a difference."""
        return _holds(content, _DIFFERENCES, start, end)


def _failure(file: RealFile, message: str) -> Failure:
    reason = _TAKEN_FOR_LINK if is_taken_for_link(file) else _shown(message)
    name = None if message.startswith(_OF_DELETION) else file.name
    return Failure(shown_name(file.shown), reason, name)


def _news(line: bytes, words: tuple[bytes, ...]) -> dict[str, Any]:
    return parsed(line) if _holds(line, words) else {}


def _holds(
    content: bytes | bytearray, words: tuple[bytes, ...], start: int = 0, end: int | None = None
) -> bool:
    # A single character first: it is found twenty times as fast as a word.
    return content.find(b"{", start, end) >= 0 and any(
        content.find(word, start, end) >= 0 for word in words
    )


def _is_of_file(document: dict[str, Any]) -> bool:
    kind = document.get("objectType")
    return bool(kind) and bool(document.get("object")) and not str(kind).endswith(".Fs")


def _told(document: dict[str, Any]) -> str:
    return str(document.get("object", ""))


def _under_way(transferring: object) -> bytes | None:
    if not isinstance(transferring, list) or not transferring:
        return None
    first = transferring[0]
    if not isinstance(first, dict):
        return None
    return from_standard(str(first.get("name", ""))).encode("utf-8", errors="replace")


def _shown(text: str) -> str:
    # JSON can spell a lone surrogate, which has no bytes in UTF-8.
    return shown_name(text.encode("utf-8", errors="replace"))


def parsed(raw: bytes) -> dict[str, Any]:
    """Return the object that a line or an output is, or an empty one."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= _MOST_COUNTED else 0
