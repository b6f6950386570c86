"""The list of what a dry run would do: written beside the journal, bounded, and counted in full."""

from __future__ import annotations

import os
import stat

from models.planned_change import (
    FIRST_LINE,
    PREVIEW_NAME,
    ChangeCounts,
    ChangeKind,
    PlannedChange,
    line_of,
)

MAX_LISTED = 200_000
MAX_BYTES = 64 * 1000 * 1000
"""How many changes are listed, and how long the list may be; all of them are counted."""
_UNKNOWN = "\ufffd".encode()
"""In a name that the tool could not tell for certain."""
_SHARE_OF_OTHERS = 0.75
"""Deletions come last, and are what a person must not miss: a part of the list is kept for them."""


class ChangeList:
    """Writes the list; `counts` is None until an attempt has begun."""

    def __init__(self, directory: str, *, destination: str | None) -> None:
        """Take the run's directory, and a destination on this machine, whose files tell what the
        tool does not."""
        self._path = os.path.join(directory, PREVIEW_NAME)
        self._destination = os.fsencode(destination) if destination is not None else None
        self._has_destination = destination is not None and os.path.lexists(destination)
        self._descriptor: int | None = None
        self._size = 0
        self._is_full = False
        self.counts: ChangeCounts | None = None

    def begin(self) -> None:
        """Begin an empty list. A disk that is full leaves it empty, and the counting goes on."""
        self.counts = ChangeCounts()
        self._is_full = False
        self._size = 0
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            os.ftruncate(self._descriptor, 0)
        except OSError:
            self._is_full = True
            return
        self._write(FIRST_LINE)

    def add(self, changes: list[PlannedChange]) -> None:
        """Count changes, and list them while there is room."""
        counts = self.counts
        assert counts is not None
        lines: list[bytes] = []
        listed, size = counts.listed, self._size
        for told in changes:
            change = self._looked_up(told)
            counts.add(change)
            if self._is_full:
                continue
            line = line_of(change)
            share = 1.0 if change.kind == ChangeKind.DELETE else _SHARE_OF_OTHERS
            if listed < MAX_LISTED * share and size + len(line) <= MAX_BYTES * share:
                listed, size = listed + 1, size + len(line)
                lines.append(line)
        if lines and self._write(b"".join(lines)):
            counts.listed = listed

    def close(self) -> None:
        """Have the list on disk; may be called twice."""
        if self._descriptor is None:
            return
        try:
            os.fsync(self._descriptor)
        except OSError:
            self._is_full = True
        os.close(self._descriptor)
        self._descriptor = None

    def _looked_up(self, change: PlannedChange) -> PlannedChange:
        """Return what the destination itself tells of a change: whether there is something in its
        place already, and how large that is."""
        if self._destination is None:
            return change
        if change.kind == ChangeKind.CREATE and not self._has_destination:
            return change
        facts = self._facts_of(change.name)
        if change.kind == ChangeKind.DELETE:
            is_file = facts is not None and not stat.S_ISDIR(facts.st_mode)
            return change._replace(size=facts.st_size) if facts and is_file else change
        if facts is None:
            is_certain = _UNKNOWN not in change.name
            return change._replace(kind=ChangeKind.CREATE) if is_certain else change
        if change.kind == ChangeKind.CREATE:
            # A folder gives way to a file, or the other way round.
            return change._replace(kind=ChangeKind.UPDATE)
        return change

    def _facts_of(self, name: bytes) -> os.stat_result | None:
        assert self._destination is not None
        try:
            return os.lstat(os.path.join(self._destination, name).rstrip(b"/"))
        except (OSError, ValueError):
            return None

    def _write(self, content: bytes) -> bool:
        """Write whole lines; False, and nothing of them, when the disk has no room."""
        assert self._descriptor is not None
        try:
            if os.write(self._descriptor, content) == len(content):
                self._size += len(content)
                return True
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            pass  # What is listed so far stays, and the counting goes on.
        self._is_full = True
        return False
