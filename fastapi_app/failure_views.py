"""What pages and the API show of single files of a run: those that failed, and special files.

A page of either list is found by words in a path or a reason, and by the place it begins at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query

from fastapi_app import formatting
from models.run import FailedFile, Run, RunFiles, SkippedFile

MAX_QUERY = 200
"""How many characters a person looks for."""
ROWS_PER_PAGE = 100
_PLACE = r"^[0-9]{0,9}$"
_SEARCH_FROM = 10
"""From so many files on there is a field to look for one."""
File = TypeVar("File", FailedFile, SkippedFile)
_KINDS = {
    "fifo": "named pipe (FIFO)",
    "socket": "socket",
    "device": "device",
    "special": "pipe, socket or device",
}


@dataclass(frozen=True)
class FileSlice(Generic[File]):
    """A page of a list of files; `matching` counts those that were looked for."""

    items: tuple[File, ...]
    matching: int
    next_cursor: str | None


def file_slice(files: Sequence[File], *, q: str, limit: int, cursor: str | None) -> FileSlice[File]:
    """Return those with a text in their path or reason, in any case, from a place on."""
    wanted = q.casefold()
    found = [file for file in files if wanted in _text(file).casefold()] if wanted else files
    start = int(cursor) if cursor else 0
    end = start + limit
    return FileSlice(tuple(found[start:end]), len(found), str(end) if end < len(found) else None)


@dataclass(frozen=True)
class FilesQuery:
    """Which part of a run's files its page is to show, as the page's address says."""

    failed_q: Annotated[str, Query(max_length=MAX_QUERY)] = ""
    failed_from: Annotated[str, Query(pattern=_PLACE)] = ""
    special_from: Annotated[str, Query(pattern=_PLACE)] = ""


@dataclass(frozen=True)
class FileRow:
    """One file with what is said of it."""

    path: str
    about: str


@dataclass(frozen=True)
class FileTable:
    """One of the two lists as the page shows it."""

    rows: tuple[FileRow, ...]
    total: str
    note: str | None
    """Which of them are shown, when these are not all."""
    next_url: str | None


@dataclass(frozen=True)
class RunFilesView:
    """What `partials/_failures.html` shows."""

    run_id: str
    q: str
    here: str
    """The address of the page as it is shown, but for the words that stand in its form."""
    everything: str
    failed: FileTable | None
    special: FileTable | None
    has_search: bool
    retry_label: str | None
    """What the button says that tries these files again; None when that cannot be done."""
    no_retry: str | None
    """Why not, as a sentence."""


def run_files_view(
    run: Run,
    files: RunFiles,
    query: FilesQuery,
    *,
    no_retry: str | None,
    url: Callable[..., str],
) -> RunFilesView:
    """Return the part of a run's files that its page is to show."""
    total = files.failed_in_all(run.files_failed)
    specials = max(run.files_special, len(files.skipped))
    page = url("run_page", run_id=run.id)

    def address(failed_from: str | None, special_from: str | None, q: str, anchor: str) -> str:
        given = {"failed_q": q, "failed_from": failed_from, "special_from": special_from}
        query_string = urlencode({name: value for name, value in given.items() if value})
        return f"{page}?{query_string}#{anchor}" if query_string else f"{page}#{anchor}"

    q = query.failed_q.strip()
    failed = file_slice(files.failed, q=q, limit=ROWS_PER_PAGE, cursor=query.failed_from or None)
    special = file_slice(
        files.skipped, q="", limit=ROWS_PER_PAGE, cursor=query.special_from or None
    )
    next_failed, next_special = failed.next_cursor, special.next_cursor
    can_retry = bool(total) and no_retry is None
    return RunFilesView(
        run_id=run.id,
        q=q,
        here=address(query.failed_from, query.special_from, "", "failures"),
        everything=address(None, query.special_from, "", "failures"),
        failed=FileTable(
            rows=tuple(FileRow(file.path, file.reason) for file in failed.items),
            total=formatting.count(total),
            note=_note(failed, query.failed_from, named=len(files.failed), total=total, q=q),
            next_url=address(next_failed, query.special_from, q, "failures")
            if next_failed
            else None,
        )
        if total
        else None,
        special=FileTable(
            rows=tuple(
                FileRow(file.path, _KINDS.get(file.kind, file.kind)) for file in special.items
            ),
            total=formatting.count(specials),
            note=_note(special, query.special_from, named=len(files.skipped), total=specials, q=""),
            next_url=address(query.failed_from, next_special, q, "special-files")
            if next_special
            else None,
        )
        if specials
        else None,
        has_search=bool(q) or len(files.failed) >= _SEARCH_FROM,
        retry_label=_retry_label(total) if can_retry else None,
        no_retry=no_retry if total and run.is_over else None,
    )


def again_text(run: Run) -> str | None:
    """Return what a run over failed files is, for the history; None for one over everything."""
    if run.only_failed_of is None:
        return None
    count = run.only_files or 0
    return f"{count:,} {'file' if count == 1 else 'files'} of run {run.only_failed_of} again"


def _text(file: FailedFile | SkippedFile) -> str:
    return f"{file.path}\n{file.reason if isinstance(file, FailedFile) else file.kind}"


def _retry_label(total: int) -> str:
    return "Retry only this file" if total == 1 else f"Retry only these {total:,} files"


def _note(shown: FileSlice[File], start: str, *, named: int, total: int, q: str) -> str | None:
    parts = []
    first = int(start or "0") + 1
    if q:
        parts.append(f"{shown.matching:,} of {named:,} match")
    if shown.items and (first > 1 or shown.next_cursor):
        last = first + len(shown.items) - 1
        parts.append(f"{first:,} to {last:,} of {shown.matching:,}")
    if named < total:
        parts.append(f"{named:,} of {total:,} are named: no more names are kept of one run")
    return "; ".join(parts) or None
