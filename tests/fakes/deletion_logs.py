"""The record of deleted sources in memory: it keeps the same promises as the real one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from models.deleted_sources import DeletingRun
from models.source_deletions import Deletion, DeletionOutcome
from tests.fakes.stores import Failing


class InMemoryDeletionLog(Failing):
    """What runs deleted, as dictionaries; a test says what each record tells."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, list[Deletion]] = {}
        """By run: what it has left in its directory."""
        self.runs: dict[str, DeletingRun] = {}
        self.kept: dict[str, list[Deletion]] = {}

    async def take(self, run: DeletingRun) -> None:
        """Take what a run has left."""
        await self._touch_disk("take")
        if run.run_id in self.records and run.run_id not in self.runs:
            self.kept[run.run_id] = list(self.records[run.run_id])
            self.runs[run.run_id] = run
            self._count(run.run_id)
            odd = [one for one in self.kept[run.run_id] if one.outcome == "trashed" and one.reason]
            counted = self.runs[run.run_id]
            self.runs[run.run_id] = replace(counted, unproven=counted.cut_off + len(odd))

    async def untaken(self) -> tuple[str, ...]:
        """Return the runs whose records were not taken yet."""
        return tuple(run_id for run_id in self.records if run_id not in self.runs)

    async def run(self, run_id: str) -> DeletingRun | None:
        """Return what is known of a run."""
        return self.runs.get(run_id)

    async def note_put_back(
        self,
        run_id: str,
        results: Sequence[tuple[bytes, str | None]],
        *,
        now: str,
        is_all: bool,
    ) -> None:
        """Keep what came of putting files back."""
        why = {os.fsdecode(name): reason for name, reason in results}
        self.kept[run_id] = [
            one._replace(
                outcome=DeletionOutcome.TRASHED if why[one.path] else DeletionOutcome.RESTORED,
                time=now,
                reason=why[one.path],
            )
            if one.path in why and one.outcome in {"trashed", "intended"}
            else one
            for one in self.kept[run_id]
        ]
        if is_all:
            self._count(run_id)

    async def in_trash(self, run_id: str, *, after: int) -> tuple[Deletion, ...]:
        """Return the next of what lies in the trash, one at a time."""
        rest = (
            one
            for one in self.kept[run_id]
            if one.number > after and one.outcome in {"trashed", "intended"}
        )
        return tuple(rest)[:1]

    async def trash_due(self, now: str) -> tuple[DeletingRun, ...]:
        """Return the runs whose trash folders are to be emptied."""
        return tuple(
            run
            for run in self.runs.values()
            if run.trash_until is not None
            and run.trash_until <= now
            and run.trashed
            and run.purged_at is None
            and not run.unproven
        )

    async def note_purged(self, run_id: str, *, now: str) -> None:
        """Keep that a trash folder was emptied."""
        self.runs[run_id] = replace(self.runs[run_id], purged_at=now)

    async def prune(self, now: str) -> int:
        """Nothing is too old here."""
        return 0

    def _count(self, run_id: str) -> None:
        counts = Counter(one.outcome for one in self.kept[run_id])
        self.runs[run_id] = replace(
            self.runs[run_id],
            deleted=counts["deleted"],
            trashed=counts["trashed"],
            kept=counts["kept"],
            restored=counts["restored"],
            cut_off=counts["intended"],
        )
