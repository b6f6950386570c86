"""Reading the list of a dry run's changes, page by page: never more of it in memory than a page.

What a runner is still writing is read as far as its lines are whole.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from models.errors import FileFailed, InvalidDocument
from models.planned_change import (
    LONGEST_LINE,
    PREVIEW_NAME,
    ChangeKind,
    ListedChange,
    beginning_of,
    change_in,
    path_in,
)

MAX_PAGE = 500
_CHUNK = 256 * 1024
"""How much is looked through at once: so much holds the interpreter for about a millisecond."""
_NEVER_SHOWN = re.compile(r"[\x00-\x1f]")
"""No path that is shown has them; in a line their escapes could be met where others stand."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreviewPage:
    """A page of the list; `total` is how many of the listed changes match, `next_cursor` where the
    next page begins, None on the last one."""

    items: tuple[ListedChange, ...] = ()
    total: int = 0
    next_cursor: int | None = None


@dataclass(frozen=True)
class PreviewFilter:
    """Which changes are wanted: of a kind, and with a text in the path that is shown, without
    regard to case; None and the empty text mean any."""

    change: ChangeKind | None = None
    q: str = ""


async def read_preview(
    directory: Path, wanted: PreviewFilter, *, limit: int, cursor: int = 0
) -> PreviewPage:
    """Return a page of the list in a run's directory; an empty one when there is no list.

    `cursor` is an offset in bytes, `limit` at most MAX_PAGE. Raises FileFailed.
    """
    limit = max(1, min(limit, MAX_PAGE))
    try:
        return await asyncio.to_thread(_read, directory / PREVIEW_NAME, wanted, limit, cursor)
    except OSError as error:
        raise FileFailed("Reading the dry run's list", error) from error


def _read(path: Path, wanted: PreviewFilter, limit: int, cursor: int) -> PreviewPage:
    items: list[ListedChange] = []
    total, next_cursor = 0, None
    try:
        with path.open("rb") as file:
            for offset, line in _matching(file, wanted):
                total += 1
                if offset < cursor:
                    continue
                if len(items) == limit:
                    next_cursor = offset if next_cursor is None else next_cursor
                    continue
                change = _change(path, line)
                if change is not None:
                    items.append(change)
    except FileNotFoundError:
        return PreviewPage()
    return PreviewPage(tuple(items), total, next_cursor)


def _matching(file: BinaryIO, wanted: PreviewFilter) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that match, with their offsets: by their text, since taking each of them
    apart would cost ten times as much."""
    if _NEVER_SHOWN.search(wanted.q):
        return
    beginning = beginning_of(wanted.change)
    # As it stands in the line, where quotes and backslashes have one more in front of them.
    needle = json.dumps(wanted.q, ensure_ascii=False)[1:-1].casefold()
    for offset, line in _whole_lines(file):
        if not line.startswith(beginning):
            continue
        if not needle or needle in path_in(line).decode("utf-8", errors="replace").casefold():
            yield offset, line


def _whole_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    offset, rest = 0, b""
    while chunk := file.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield offset, line
            offset += len(line) + 1
        if len(rest) > LONGEST_LINE:
            # Nothing that a runner writes: it ends here, as damage does.
            return


def _change(path: Path, line: bytes) -> ListedChange | None:
    try:
        return change_in(line)
    except InvalidDocument as error:
        _logger.error("%s: %s", path.name, error, extra={"run_id": path.parent.name})
        return None
