"""Counters that go on where they stood when the dashboard starts again: `counters.json`.

What they show is what stands in the file already, at most a moment old: it never falls, whatever
ends the dashboard, and a crash may cost what was counted within its last second. While the disk
fails or hangs they show what is counted; a crash before the next save costs that, and they fall.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from storage.found_files import keep_aside
from storage.layout import COUNTERS_NAME
from utils.durable_file import TEMPORARY_PREFIX, NotSynced, drop_file, replace_file

Key: TypeAlias = tuple[str, ...]
"""A counter's name, and its labels."""
PAUSE_SECONDS = 1.0
"""Between two saves: a storm of what is counted must not keep the disk busy."""
RETRY_SECONDS = 15.0
PATIENCE_SECONDS = 5.0
"""After so long a save that hangs holds nothing back any more."""
_FORMAT = 1
_logger = logging.getLogger(__name__)


class Counters:
    """Sums by name and labels, on one event loop; `run` keeps them."""

    def __init__(self, path: Path, counts: Mapping[Key, float]) -> None:
        self._path = path
        self._counts = dict(counts)
        self._shown: Mapping[Key, float] = dict(counts)
        self._changed = asyncio.Event()
        # One, so that no older save is put over a newer one.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="counters")
        self._saving_since: float | None = None
        self._is_failing = False
        self.damage: str | None = None
        """Why what stood in the file could not be used."""
        self._is_in_the_way = False
        """Whether that is still there: it may be whole, and is not written over."""

    @classmethod
    async def open(
        cls, directory: Path, first: Callable[[], Awaitable[Mapping[Key, float]]]
    ) -> Counters:
        """Go on with what a data directory has; where there is nothing, with what `first` tells."""
        path = directory / COUNTERS_NAME
        try:
            return cls(path, _parsed(await asyncio.to_thread(_read, path)))
        except FileNotFoundError:
            damage = None
        except (OSError, ValueError, RecursionError) as error:
            damage = str(error)
            _logger.error("%s cannot be used, the counters begin anew: %s", path, error)
        counters = cls(path, await first())
        counters.damage = damage
        counters._is_in_the_way = damage is not None
        counters._changed.set()
        return counters

    def add(self, key: Key, amount: float = 1) -> None:
        """Count; returns at once."""
        self._counts[key] = self._counts.get(key, 0) + amount
        self._changed.set()

    @property
    def shown(self) -> Mapping[Key, float]:
        """What may be told: nothing that a crash could take back, while the disk keeps anything,
        and never less than before."""
        since = self._saving_since
        hangs = since is not None and time.monotonic() - since > PATIENCE_SECONDS
        if self._is_failing or hangs:
            self._shown = dict(self._counts)
        return self._shown

    async def run(self) -> None:
        """Keep what changes, until cancelled."""
        while True:
            await self._changed.wait()
            await self.save()
            await asyncio.sleep(RETRY_SECONDS if self._is_failing else PAUSE_SECONDS)

    async def save(self) -> None:
        """Keep what was counted so far; a disk that does not take it is logged."""
        loop = asyncio.get_running_loop()
        self._changed.clear()
        counts = dict(self._counts)
        self._saving_since = time.monotonic()
        try:
            await loop.run_in_executor(self._writer, self._keep, _content(counts))
        except NotSynced as error:
            _logger.warning("the disk did not confirm the counters: %s", error)
        except OSError as error:
            if not self._is_failing:
                _logger.error("the counters cannot be kept: %s", error)
            self._is_failing = True
            self._changed.set()
            return
        finally:
            self._saving_since = None
        # More may have been shown since this save began, or while the disk took nothing.
        more = {key: told for key, told in self._shown.items() if told > counts.get(key, 0)}
        self._shown, self._is_failing = counts | more, False

    async def close(self) -> None:
        """Keep what was counted to the end; after `run` was ended."""
        await self.save()
        await asyncio.to_thread(self._writer.shutdown)

    def _keep(self, content: bytes) -> None:
        if self._is_in_the_way:
            with suppress(FileNotFoundError):
                keep_aside(os.fspath(self._path))
            self._is_in_the_way = False
        replace_file(self._path, content)


def _read(path: Path) -> bytes:
    """Return what a file says, and remove what saves that were cut off left beside it. Raises
    OSError."""
    for leftover in path.parent.glob(f"{TEMPORARY_PREFIX}{path.name}.*"):
        drop_file(str(leftover))
    return path.read_bytes()


def _content(counts: Mapping[Key, float]) -> bytes:
    rows = [[*key, count] for key, count in sorted(counts.items())]
    return json.dumps({"format": _FORMAT, "counters": rows}).encode()


def _parsed(content: bytes) -> dict[Key, float]:
    """Return what a file says. Raises ValueError."""
    document = json.loads(content)
    is_ours = isinstance(document, dict) and document.get("format") == _FORMAT
    rows = document.get("counters") if is_ours else None
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise ValueError("It does not hold counters of a format that is known here.")
    return {tuple(row[:-1]): row[-1] for row in rows}


def _is_row(row: Any) -> bool:
    if not isinstance(row, list) or len(row) < 2 or isinstance(row[-1], bool):
        return False
    has_count = isinstance(row[-1], int | float) and 0 <= row[-1] < float("inf")
    return has_count and all(isinstance(part, str) for part in row[:-1])
