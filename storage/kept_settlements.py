"""The ends of faults that the database did not take: kept for the next batch, unlike reports.

Who reports a fault does so again when it is met again; who settled one has forgotten it, and its
event would be open for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage.error_table import Entry, Settlement

MAX_KEPT = 1_000
"""How many are kept at most, each once."""


class KeptSettlements:
    """Settlements by what they settle."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str | None], Settlement] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def all(self) -> tuple[Settlement, ...]:
        """Return what is to be written before anything else."""
        return tuple(self._kept.values())

    def keep(self, entries: Iterable[Entry]) -> list[Entry]:
        """Keep the settlements among entries; returns what is not kept."""
        dropped: list[Entry] = []
        for entry in entries:
            if isinstance(entry, Settlement) and self._has_room_for(entry):
                self._kept[_key(entry)] = entry
            else:
                dropped.append(entry)
        return dropped

    def forget(self, written: Sequence[Entry]) -> None:
        """Keep those no longer; one that was kept meanwhile in the place of another stays."""
        for settlement in written:
            if not isinstance(settlement, Settlement):
                continue
            if self._kept.get(_key(settlement)) is settlement:
                del self._kept[_key(settlement)]

    def _has_room_for(self, settlement: Settlement) -> bool:
        return len(self._kept) < MAX_KEPT or _key(settlement) in self._kept


def _key(settlement: Settlement) -> tuple[str, str | None]:
    return settlement.error_type, settlement.job_id
