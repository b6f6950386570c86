"""Entries of a log that never reach the database: each is counted, and stands in the service's log
instead.

Written there by a thread: a record costs as much as ten reports, and a storm of faults is no time
to make whoever meets one wait for a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Generic, TypeVar

MAX_CROWDED_OUT = 100
"""How many of those that made room for newer ones are written at a time; of more, their number."""
Entry = TypeVar("Entry")
_logger = logging.getLogger(__name__)


class DroppedEntries(Generic[Entry]):
    """Counts what is dropped, on the event loop; `tell` writes it to the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0
        self._given_up: list[tuple[str, Entry]] = []
        self._crowded_out: list[Entry] = []
        self._more_crowded_out = 0

    def give_up(self, entries: Sequence[Entry], reason: str) -> None:
        """Drop what cannot be written."""
        self.count += len(entries)
        self._given_up += [(reason, entry) for entry in entries]

    def refuse(self, entry: Entry, reason: str) -> None:
        """Drop what comes too late for anybody to tell it later."""
        self.count += 1
        _log(self._name, [(reason, entry)], 0)

    def crowd_out(self, entry: Entry) -> None:
        """Drop what makes room for a newer entry."""
        self.count += 1
        if len(self._crowded_out) < MAX_CROWDED_OUT:
            self._crowded_out.append(entry)
        else:
            self._more_crowded_out += 1

    async def tell(self) -> None:
        """Write what was dropped since the last time."""
        entries = [*self._given_up, *(("too many are waiting", one) for one in self._crowded_out)]
        more, self._more_crowded_out = self._more_crowded_out, 0
        self._given_up, self._crowded_out = [], []
        if entries:
            await asyncio.to_thread(_log, self._name, entries, more)


def _log(name: str, entries: Sequence[tuple[str, object]], more: int) -> None:
    for reason, entry in entries:
        _logger.error("not in the %s, because %s: %r", name, reason, entry)
    if more:
        _logger.error("nor are %d others, because too many are waiting", more)
