"""What pages show of dry runs: how they stand, what they counted, and a page of the list.

Their numbers, and where the parts of the list are found, as the only things that templates read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query

from fastapi_app import amounts, formatting
from fastapi_app.amounts import Amount
from models.planned_change import ChangeKind
from models.run import Run
from models.run_spec import RunKind
from storage.previews import PreviewFilter, PreviewPage

MAX_QUERY = 200
"""How many characters a person looks for."""
ROWS_PER_PAGE = 100
_NOTHING = "Nothing would be done: the destination is as the source is."
_STATUS: dict[str, tuple[str, str, str]] = {
    "queued": ("queued", "Dry run queued", "clock"),
    "running": ("running", "Dry run", "list-checks"),
    "stopping": ("stopping", "Dry run stopping", "loader-circle"),
    "completed": ("dry-run", "Dry run done", "list-checks"),
    "warning": ("warning", "Dry run with warnings", "triangle-alert"),
    "failed": ("failed", "Dry run failed", "circle-x"),
    "paused": ("paused", "Dry run stopped", "circle-pause"),
    "interrupted": ("interrupted", "Dry run cut off", "unplug"),
}
_KINDS: dict[ChangeKind, tuple[str, str, str, str]] = {
    ChangeKind.CREATE: ("created", "Created", "Create", "plus"),
    ChangeKind.UPDATE: ("updated", "Changed", "Change", "pencil"),
    ChangeKind.DELETE: ("deleted", "Deleted", "Delete", "trash-2"),
    ChangeKind.ATTRIBUTES: ("attributes", "Attributes only", "Attributes", "clock"),
}
"""Of each kind of change the name of its figure, the words for many and for one, and the icon."""


@dataclass(frozen=True)
class PreviewQuery:
    """Which part of a dry run's list its page is to show, as the page's address says."""

    preview_q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    preview_change: Annotated[str, Query(pattern="^(create|update|delete|attributes)?$")] = ""
    preview_from: Annotated[str, Query(pattern="^[0-9]{0,12}$")] = ""

    @property
    def wanted(self) -> PreviewFilter:
        """Return what the list is asked for."""
        kind = ChangeKind(self.preview_change) if self.preview_change else None
        return PreviewFilter(kind, self.preview_q.strip())


@dataclass(frozen=True)
class PreviewTab:
    """One kind of change with its number and size, and where those of it are listed."""

    key: str
    word: str
    count: str
    about: Amount
    """Their size, and how many of them are folders; empty where there is nothing to say."""
    icon: str
    url: str
    is_current: bool
    is_empty: bool


@dataclass(frozen=True)
class PreviewRow:
    """One planned change."""

    key: str
    word: str
    icon: str
    path: str
    size: Amount | None


@dataclass(frozen=True)
class PreviewView:
    """What `partials/_preview.html` shows."""

    run_id: str
    is_active: bool
    has_counts: bool
    warning: str | None
    """What would be deleted, as a sentence; None when nothing would."""
    nothing: str | None
    tabs: tuple[PreviewTab, ...]
    rows: tuple[PreviewRow, ...]
    q: str
    change: str
    note: str | None
    everything: str
    """The address of the list without any filter."""
    first_url: str | None
    next_url: str | None


@dataclass(frozen=True)
class PlannedPart:
    """How much of one kind would be done, in words."""

    text: str
    deletes: bool = False


@dataclass(frozen=True)
class DryRunSummary:
    """The newest dry run of a job, on the job's page."""

    run_id: str
    message: str | None
    parts: tuple[PlannedPart, ...]
    is_outdated: bool
    """Whether the job was changed since."""


def dry_run_status(run_or_job_status: str) -> tuple[str, str, str]:
    """Return how a status, or the outcome `warning`, of a dry run is shown: key, word and icon."""
    return _STATUS[run_or_job_status]


def planned_text(run: Run) -> str | None:
    """Return what a dry run counted, in one line; None for a transfer, and before it counted."""
    if run.kind != RunKind.DRY_RUN or run.preview is None:
        return None
    return ", ".join(part.text for part in _parts(run.preview))


def dry_run_summary(run: Run | None, *, saved_at: datetime) -> DryRunSummary | None:
    """Return the newest dry run for its job's page; None when there is none that ended."""
    if run is None or not run.is_over:
        return None
    return DryRunSummary(
        run_id=run.id,
        message=run.message,
        parts=_parts(run.preview) if run.preview is not None else (),
        is_outdated=saved_at > formatting.parse_time(run.queued_at),
    )


def preview_view(
    run: Run, page: PreviewPage, query: PreviewQuery, *, url: Callable[..., str]
) -> PreviewView:
    """Return the part of a dry run's list that its page is to show."""
    counts = run.preview or {}
    here = url("run_page", run_id=run.id)
    q, change = query.preview_q.strip(), query.preview_change

    def address(change: str, q: str, start: int | None = None) -> str:
        given = {"preview_q": q, "preview_change": change, "preview_from": start}
        query_string = urlencode({name: value for name, value in given.items() if value})
        return f"{here}?{query_string}#preview" if query_string else f"{here}#preview"

    total = _total(counts)
    return PreviewView(
        run_id=run.id,
        is_active=not run.is_over,
        has_counts=run.preview is not None,
        warning=_warning(run),
        nothing=_NOTHING if run.preview is not None and not total else None,
        tabs=_tabs(counts, change, lambda kind: address(kind, q)),
        rows=tuple(
            PreviewRow(
                key=item.change,
                word=_word(item.change),
                icon=_KINDS[ChangeKind(item.change)][3],
                path=item.path,
                size=amounts.size(item.size) if item.size is not None else None,
            )
            for item in page.items
            if item.change in _KINDS
        ),
        q=q,
        change=change,
        note=_note(page, listed=counts.get("listed", 0), total=total, q=q),
        everything=address("", ""),
        first_url=address(change, q) if query.preview_from else None,
        next_url=address(change, q, page.next_cursor) if page.next_cursor is not None else None,
    )


def _tabs(
    counts: Mapping[str, int], change: str, address: Callable[[str], str]
) -> tuple[PreviewTab, ...]:
    everything = PreviewTab(
        key="all",
        word="All changes",
        count=formatting.count(_total(counts)),
        about=Amount(f"{formatting.count(counts.get('looked_at', 0))} files looked at"),
        icon="list-checks",
        url=address(""),
        is_current=not change,
        is_empty=not _total(counts),
    )
    kinds = (
        PreviewTab(
            key=kind,
            word=word,
            count=formatting.count(counts.get(figure, 0)),
            about=_about(counts, figure),
            icon=icon,
            url=address(kind),
            is_current=change == kind,
            is_empty=not counts.get(figure, 0),
        )
        for kind, (figure, word, _, icon) in _KINDS.items()
    )
    return (everything, *kinds)


def _about(counts: Mapping[str, int], figure: str) -> Amount:
    count, folders = counts.get(figure, 0), counts.get(f"{figure}_folders", 0)
    if not count:
        return Amount("")
    has_size = count > folders and figure != "attributes"
    size = amounts.size(counts.get(f"{figure}_bytes", 0)) if has_size else Amount("")
    unknown = figure == "deleted" and counts.get("sizes_unknown", 0) >= count - folders > 0
    if unknown:
        size = Amount("size unknown")
    parts = [size.text, _folders(folders)]
    return Amount(", ".join(part for part in parts if part), size.exact)


def _parts(counts: Mapping[str, int]) -> tuple[PlannedPart, ...]:
    parts = tuple(
        PlannedPart(
            f"{formatting.count(count)} {word.lower()}{_in_brackets(counts, figure)}",
            deletes=figure == "deleted",
        )
        for figure, word, _, _ in _KINDS.values()
        if (count := counts.get(figure, 0))
    )
    return parts or (PlannedPart(_NOTHING),)


def _folders(count: int) -> str:
    return f"{count:,} {'folder' if count == 1 else 'folders'}" if count else ""


def _in_brackets(counts: Mapping[str, int], figure: str) -> str:
    about = _about(counts, figure).text
    return f" ({about})" if about else ""


def _warning(run: Run) -> str | None:
    counts = run.preview or {}
    count = counts.get("deleted", 0)
    if not count:
        return None
    what = "entry" if count == 1 else "entries"
    about = _in_brackets(counts, "deleted")
    return f"{count:,} {what}{about} would be deleted from {run.destination}."


def _note(page: PreviewPage, *, listed: int, total: int, q: str) -> str | None:
    parts = []
    if q:
        parts.append(f"{page.total:,} of {listed:,} match")
    if listed < total:
        parts.append(f"{listed:,} of {total:,} are listed: the numbers count them all")
    return "; ".join(parts) or None


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.get(figure, 0) for figure, _, _, _ in _KINDS.values())


def _word(change: str) -> str:
    return _KINDS[ChangeKind(change)][2]
