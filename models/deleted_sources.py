"""What is known of the sources that a run deleted, as the dashboard keeps and shows it."""

from __future__ import annotations

from dataclasses import dataclass

from models.source_deletions import Deletion


@dataclass(frozen=True)
class DeletingRun:
    """One run that deleted at its source, with what has become of that since.

    Times in UTC, ISO 8601. `deleted` are gone, `trashed` lie in the trash folder of the source
    (until `trash_until`, when that was emptied at `purged_at`), `kept` stayed, `restored` were put
    back, and of `cut_off` nobody could say it: the run died while it was at them.
    """

    run_id: str
    job_id: str
    job_name: str
    source: str
    destination: str
    ended_at: str
    trash_until: str | None = None
    purged_at: str | None = None
    deleted: int = 0
    trashed: int = 0
    kept: int = 0
    restored: int = 0
    cut_off: int = 0
    unproven: int = 0
    """How many of them came into the trash folder, or may have, without being what was proven: no
    trash folder with such a one is ever emptied by itself."""

    @property
    def can_be_put_back(self) -> bool:
        """Whether anything lies in the trash folder, as far as is known."""
        may_lie_there = self.trashed or (self.cut_off and self.trash_until is not None)
        return bool(may_lie_there) and self.purged_at is None


@dataclass(frozen=True)
class DeletionPage:
    """A page of what a run deleted, in the order in which it did; `total` counts all that match."""

    items: tuple[Deletion, ...]
    total: int
    next_cursor: str | None
