"""What the page of a run shows of the sources that it deleted: how many, where they are, the list.

A page of the list is found by words in a path or a reason, by what became of a source, and by the
place it begins at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from fastapi_app import amounts, formatting
from fastapi_app.amounts import Amount
from fastapi_app.failure_views import MAX_QUERY
from fastapi_app.moments import Moment, moment
from models.deleted_sources import DeletingRun, DeletionPage
from models.run_spec import TRASH_FOLDER
from models.source_deletions import Deletion, DeletionOutcome

ROWS_PER_PAGE = 100
_SEARCH_FROM = 10
"""From so many sources on there is a field to look for one."""
_OUTCOMES = f"^({'|'.join(DeletionOutcome)})?$"
_WORDS: dict[str, tuple[str, str, str]] = {
    DeletionOutcome.DELETED: ("deleted", "Deleted", "trash-2"),
    DeletionOutcome.TRASHED: ("trashed", "In the trash", "folder"),
    DeletionOutcome.RESTORED: ("restored", "Put back", "folder-up"),
    DeletionOutcome.KEPT: ("kept", "Kept", "file-text"),
    DeletionOutcome.INTENDED: ("cut_off", "Cut off", "unplug"),
}
"""Of each outcome the name of its count, the word and the icon."""
_EMPTIED = "Trash emptied"
_CUT_OFF = "The run was cut off while this was deleted: it is at the source, in its trash, or gone."


@dataclass(frozen=True)
class DeletionsQuery:
    """Which part of a run's deletions its page is to show, as the page's address says."""

    deleted_q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    deleted_outcome: Annotated[str, Query(pattern=_OUTCOMES)] = ""
    deleted_from: Annotated[str, Query(pattern="^[0-9]{0,18}$")] = ""

    @property
    def q(self) -> str:
        """Return what is looked for."""
        return self.deleted_q.strip()

    @property
    def outcome(self) -> DeletionOutcome | None:
        """Return what is wanted of the outcomes; None means any."""
        return DeletionOutcome(self.deleted_outcome) if self.deleted_outcome else None


@dataclass(frozen=True)
class DeletionTab:
    """The sources of one outcome: how many, and where the list shows them alone."""

    word: str
    count: str
    url: str
    is_current: bool


@dataclass(frozen=True)
class DeletionRow:
    """One source with what became of it."""

    key: str
    word: str
    icon: str
    path: str
    size: Amount | None
    reason: str | None


@dataclass(frozen=True)
class DeletionsView:
    """What `partials/_deleted_sources.html` shows."""

    here: str
    """The address of the page as it is shown, but for what stands in its form."""
    counts: str
    """What became of all of them, as a sentence."""
    trash_folder: str | None
    """The trash folder from the top of the source on; None when nothing lies there."""
    trash_until: Moment | None
    emptied_at: Moment | None
    can_put_back: bool
    no_put_back: str | None
    """Why not, as a sentence; None when there is nothing to say of it."""
    tabs: tuple[DeletionTab, ...]
    rows: tuple[DeletionRow, ...]
    q: str
    outcome: str
    has_search: bool
    note: str | None
    everything: str
    first_url: str | None
    next_url: str | None


def deletions_view(
    run: DeletingRun,
    page: DeletionPage,
    query: DeletionsQuery,
    *,
    no_put_back: str | None,
    url: Callable[..., str],
) -> DeletionsView:
    """Return the part of a run's deletions that its page is to show."""
    here = url("run_page", run_id=run.run_id)

    def address(q: str, outcome: str, start: str | None = None) -> str:
        given = {"deleted_q": q, "deleted_outcome": outcome, "deleted_from": start}
        query_string = urlencode({name: value for name, value in given.items() if value})
        return f"{here}?{query_string}#deletions" if query_string else f"{here}#deletions"

    q, outcome = query.q, query.deleted_outcome
    total = sum(_count(run, one) for one in _WORDS)
    is_there = run.can_be_put_back
    return DeletionsView(
        here=address("", "", query.deleted_from),
        counts=_counts_in_words(run),
        trash_folder=f"{TRASH_FOLDER}/{run.run_id}" if is_there else None,
        trash_until=moment(kept_until(run)) if is_there else None,
        emptied_at=moment(run.purged_at),
        can_put_back=is_there and no_put_back is None,
        no_put_back=no_put_back if is_there else None,
        tabs=_tabs(run, outcome, total, lambda one: address(q, one)),
        rows=tuple(_row(one, run) for one in page.items),
        q=q,
        outcome=outcome,
        has_search=bool(q) or total >= _SEARCH_FROM,
        note=f"{page.total:,} of {total:,} match" if q else None,
        everything=address("", ""),
        first_url=address(q, outcome) if query.deleted_from else None,
        next_url=address(q, outcome, page.next_cursor) if page.next_cursor else None,
    )


def kept_until(run: DeletingRun) -> str | None:
    """Return when the trash folder of a run will be emptied, None when nothing does it: what has
    no proven copy is never removed by itself."""
    return None if run.unproven else run.trash_until


def _tabs(
    run: DeletingRun, outcome: str, total: int, address: Callable[[str], str]
) -> tuple[DeletionTab, ...]:
    present = [one for one in _WORDS if _count(run, one) or one == outcome]
    if len(present) < 2 and not outcome:
        return ()
    every = DeletionTab("All", formatting.count(total), address(""), is_current=not outcome)
    return (
        every,
        *(
            DeletionTab(
                _word(one, run),
                formatting.count(_count(run, one)),
                address(str(one)),
                is_current=outcome == one,
            )
            for one in present
        ),
    )


def _row(deletion: Deletion, run: DeletingRun) -> DeletionRow:
    is_cut_off = deletion.outcome == DeletionOutcome.INTENDED
    return DeletionRow(
        key=_WORDS[deletion.outcome][0].replace("_", "-"),
        word=_word(deletion.outcome, run),
        icon=_WORDS[deletion.outcome][2],
        path=deletion.path,
        size=amounts.size(deletion.size) if deletion.size is not None else None,
        reason=deletion.reason or (_CUT_OFF if is_cut_off else None),
    )


def _word(outcome: str, run: DeletingRun) -> str:
    if outcome == DeletionOutcome.TRASHED and run.purged_at is not None:
        return _EMPTIED
    return _WORDS[outcome][1]


def _count(run: DeletingRun, outcome: str) -> int:
    count: int = getattr(run, _WORDS[outcome][0])
    return count


def _counts_in_words(run: DeletingRun) -> str:
    trash = "lay in the trash folder, which was emptied"
    if run.purged_at is None:
        trash = "lies in the trash folder" if run.trashed == 1 else "lie in the trash folder"
    parts = (
        (run.deleted, "was deleted for good" if run.deleted == 1 else "were deleted for good"),
        (run.trashed, trash),
        (run.restored, "was put back" if run.restored == 1 else "were put back"),
        (run.kept, "was kept" if run.kept == 1 else "were kept"),
        (
            run.cut_off,
            "was cut off while it was deleted"
            if run.cut_off == 1
            else "were cut off while they were deleted",
        ),
    )
    told = [f"{count:,} {text}" for count, text in parts if count]
    return f"{', '.join(told)}." if told else "None."
