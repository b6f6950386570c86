"""What a dry run tells: planned changes, how they are counted, and a line of `preview.jsonl` each.

Standard library only: the runner writes what the dashboard reads. A line is a JSON object with
`change`, `size` (bytes, or null) and `path`; the first line holds `format`.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple

from models.errors import InvalidDocument

PREVIEW_NAME = "preview.jsonl"
FIRST_LINE = b'{"format":1}\n'
LONGEST_LINE = 64 * 1024
"""In bytes: a path is at most 4,096 bytes long (path_max), each of which is at most four
characters when it is shown."""


class ChangeKind(StrEnum):
    """What would be done to one file or folder at the destination."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ATTRIBUTES = "attributes"
    """Its time, owner or permissions alone."""


class PlannedChange(NamedTuple):
    """One change. `name` is as it is on disk, from the top of the destination, where the tool tells
    that; a folder's ends with a slash. `size` in bytes; None for folders and where nobody tells."""

    kind: str
    path: str
    name: bytes
    size: int | None

    @property
    def is_folder(self) -> bool:
        """Whether it is about a folder."""
        return self.path.endswith("/")


class ListedChange(NamedTuple):
    """One line of the list."""

    change: str
    path: str
    size: int | None


_COUNTED = {
    ChangeKind.CREATE: "created",
    ChangeKind.UPDATE: "updated",
    ChangeKind.DELETE: "deleted",
    ChangeKind.ATTRIBUTES: "attributes",
}


class ChangeCounts:
    """How many changes of each kind, folders among them, and their sizes as far as told."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self.listed = 0
        self.looked_at = 0
        for word in _COUNTED.values():
            self._counts |= {word: 0, f"{word}_bytes": 0, f"{word}_folders": 0}
        self._counts["sizes_unknown"] = 0

    def add(self, change: PlannedChange) -> None:
        """Count one."""
        counts, word = self._counts, _COUNTED[ChangeKind(change.kind)]
        counts[word] += 1
        if change.is_folder:
            counts[f"{word}_folders"] += 1
        elif change.size is None:
            counts["sizes_unknown"] += 1
        else:
            counts[f"{word}_bytes"] += change.size

    def document(self) -> dict[str, int]:
        """Return the figures as RunEnded carries them."""
        return {**self._counts, "listed": self.listed, "looked_at": self.looked_at}


def total_of(preview: dict[str, int]) -> int:
    """Return how many changes a dry run counted, listed or not."""
    return sum(preview.get(word, 0) for word in _COUNTED.values())


def line_of(change: PlannedChange) -> bytes:
    """Return the line of a change, with its end."""
    size = "null" if change.size is None else change.size
    path = json.dumps(change.path, ensure_ascii=False)
    text = f'{{"change":"{change.kind}","size":{size},"path":{path}}}\n'
    return text.encode("utf-8", errors="replace")


def beginning_of(kind: ChangeKind | None) -> bytes:
    """Return what every line of a kind begins with, or every line of any kind."""
    return f'{{"change":"{kind}",'.encode("ascii") if kind else b'{"change":"'


def path_in(line: bytes) -> bytes:
    """Return the path of a line as it is written there; empty where there is none."""
    return line.partition(b'"path":"')[2].removesuffix(b'"}')


def change_in(line: bytes) -> ListedChange | None:
    """Return what a line tells; None for one that tells of no change.

    Raises InvalidDocument when it is not what the format promises.
    """
    try:
        document = json.loads(line)
        if "change" not in document:
            return None
        size = document["size"]
        return ListedChange(
            str(document["change"]), str(document["path"]), None if size is None else int(size)
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidDocument(PREVIEW_NAME, f"a line cannot be read: {error}") from error
