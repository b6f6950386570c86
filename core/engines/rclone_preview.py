"""The dry run of rclone: the transfer's own arguments with `--dry-run`, and what it then logs.

The JSON log tells what is skipped because it is a dry run, with its size, but not whether a file to
be copied is new, and not its name where that is not UTF-8. The report of `--combined` on standard
output tells both (rclone docs, rclone sync). The two come by different ways, and are joined here.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from core.engines.base import Batch, Engine, OutputReader, Reading
from core.engines.preview import PreviewBatch, PreviewReader
from core.engines.rclone_names import LINK_SUFFIX, SourceNames, from_standard
from models.planned_change import ChangeKind, PlannedChange
from models.run_spec import RunSpec
from utils.shown_names import shown_name

_SKIPPED = b'"skipped"'
_IN_REPORT = {
    b"+ ": ChangeKind.CREATE,
    b"* ": ChangeKind.UPDATE,
    b"= ": None,
    b"- ": ChangeKind.DELETE,
}
"""What a line of the report says of a file; the rest of the line is its name."""
_COPIES = frozenset({"copy", "server-side copy"})
_DELETIONS = frozenset({"delete", "move into backup dir"})
_FOLDERS: dict[str, ChangeKind] = {
    "make directory": ChangeKind.CREATE,
    "remove directory": ChangeKind.DELETE,
    "set directory modification time": ChangeKind.ATTRIBUTES,
    "update directory metadata": ChangeKind.ATTRIBUTES,
}
_ATTRIBUTES = frozenset({"update modification time", "update metadata"})
"""What is skipped, in rclone's words. “move” is none of them: with a backup folder it stands
before the copy that takes the file's place."""
_COPY_LINKS = "--copy-links"
_UNKNOWN = "\ufffd"
"""What the log has in the place of a byte that is not UTF-8."""
_MOST_OPEN = 20_000
"""How many files may have been told of by one way only: rclone holds at most 10,000 in its own
queues (rclone docs, --max-backlog)."""
_MOST_FOLDERS = 100_000


class RclonePreview:
    """rclone's `copy` or `sync` with `--dry-run`."""

    def build_argv(
        self,
        engine: Engine,
        spec: RunSpec,
        tool: str,
        *,
        is_directory: bool,
        lists_at_once: bool = False,
    ) -> list[str]:
        """Arguments of a dry run."""
        argv = engine.build_argv(spec, tool, is_directory=is_directory, lists_at_once=lists_at_once)
        return [*argv[:2], "--dry-run", "--combined=-", *argv[2:]]

    def reader(self, engine: Engine, spec: RunSpec) -> PreviewReader:
        """A fresh reader for one attempt."""
        # A remote keeps a link as a file of its own, whose name tells that it is one.
        as_files = spec.destination_is_remote or _COPY_LINKS in spec.extra_args
        names = SourceNames(spec)
        return RcloneChanges(engine.output_reader(spec), names, links_are_files=as_files)


class RcloneChanges:
    """Joins log and report to planned changes; `words` reads the rest of the log."""

    def __init__(self, words: OutputReader, names: SourceNames, *, links_are_files: bool) -> None:
        self.reading = Reading()
        self._names = names
        self._words = words
        self._links_are_files = links_are_files
        self._reported: dict[str, tuple[ChangeKind, bytes]] = {}
        self._copied: dict[str, int | None] = {}
        self._odd_names: dict[str, bytes] = {}
        self._odd_deletions: dict[str, int | None] = {}
        self._folders: set[str] = set()

    def feed(self, lines: list[bytes]) -> PreviewBatch:
        """Take lines of the report and of the log."""
        changes: list[PlannedChange] = []
        words: list[bytes] = []
        for line in lines:
            if line[:2] in _IN_REPORT:
                found = self._take_report(_IN_REPORT[line[:2]], line[2:])
            elif _SKIPPED in line:
                found = self._take_skipped(_object(line))
            else:
                words.append(line)
                continue
            if found is not None:
                changes.append(found)
        rest = self._words.feed(words) if words else Batch()
        self.reading.refusal = self._words.reading.refusal
        return PreviewBatch(changes, rest)

    def close(self) -> list[PlannedChange]:
        """Return what no report told of: copies, new files as far as is known, and deletions of
        files whose names are not known byte by byte."""
        left = [
            self._change(kind, _bytes(name), size)
            for kind, waiting in (
                (ChangeKind.CREATE, self._copied),
                (ChangeKind.DELETE, self._odd_deletions),
            )
            for name, size in waiting.items()
        ]
        self._copied.clear()
        self._odd_deletions.clear()
        return left

    def _take_report(self, kind: ChangeKind | None, name: bytes) -> PlannedChange | None:
        logged = _as_logged(name)
        if kind is ChangeKind.DELETE:
            # What `copy` leaves alone is told of as well: only the log tells of deletions.
            if logged in self._odd_deletions:
                return self._change(kind, name, self._odd_deletions.pop(logged))
            if _UNKNOWN in logged and len(self._odd_names) < _MOST_OPEN:
                self._odd_names[logged] = name
            return None
        self.reading.files_finished += 1
        self.reading.current_name = name
        if kind is None:
            return None
        if logged in self._copied:
            return self._change(kind, name, self._copied.pop(logged))
        if len(self._reported) >= _MOST_OPEN:
            del self._reported[next(iter(self._reported))]
        self._reported[logged] = (kind, name)
        return None

    def _take_skipped(self, document: dict[str, Any]) -> PlannedChange | None:
        what, logged = str(document.get("skipped")), str(document.get("object", ""))
        if str(document.get("objectType", "")).endswith(".Fs"):
            # The top folder is named by the whole location.
            logged = "."
        size = document.get("size")
        size = size if isinstance(size, int) and size >= 0 else None
        if what in _COPIES:
            return self._take_copy(logged, size)
        if what in _DELETIONS:
            return self._take_deletion(logged, size)
        if what in _ATTRIBUTES:
            return self._change(ChangeKind.ATTRIBUTES, _bytes(logged), size)
        folder = _FOLDERS.get(what)
        if folder is None or logged in self._folders or len(self._folders) >= _MOST_FOLDERS:
            # It tells of a folder before its files, and again after them.
            return None
        self._folders.add(logged)
        if _UNKNOWN in logged and folder is not ChangeKind.DELETE:
            name = self._names.real(logged).shown + b"/"
            return PlannedChange(folder, shown_name(name), name, None)
        return self._change(folder, _bytes(logged) + b"/", None)

    def _take_copy(self, logged: str, size: int | None) -> PlannedChange | None:
        if logged in self._reported:
            kind, name = self._reported.pop(logged)
            return self._change(kind, name, size)
        if len(self._copied) >= _MOST_OPEN:
            return self._change(ChangeKind.CREATE, _bytes(logged), size)
        self._copied[logged] = size
        return None

    def _take_deletion(self, logged: str, size: int | None) -> PlannedChange | None:
        if logged in self._odd_names:
            return self._change(ChangeKind.DELETE, self._odd_names.pop(logged), size)
        is_known = _UNKNOWN not in logged or logged in self._odd_deletions
        if is_known or len(self._odd_deletions) >= _MOST_OPEN:
            return self._change(ChangeKind.DELETE, _bytes(logged), size)
        self._odd_deletions[logged] = size
        return None

    def _change(self, kind: ChangeKind, told: bytes, size: int | None) -> PlannedChange:
        name = os.fsencode(from_standard(told.decode("utf-8", errors="surrogateescape")))
        if not self._links_are_files:
            name = name.removesuffix(LINK_SUFFIX.encode())
        return PlannedChange(kind, shown_name(name), name, size)


def _as_logged(name: bytes) -> str:
    """Return a name of the report as the JSON log has it: one U+FFFD for each byte that is none."""
    text = name.decode("utf-8", errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", _UNKNOWN, text)


def _bytes(logged: str) -> bytes:
    # JSON can spell a lone surrogate, which has no bytes in UTF-8.
    return logged.encode("utf-8", errors="replace")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
