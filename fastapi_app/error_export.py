"""The error log as a file, CSV or JSON, made of one bounded part after another."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import fields
from typing import Any, Literal

from core.ports import ErrorLog
from fastapi_app.documents import error_document
from models.error_event import ErrorEvent, ErrorPage
from models.error_query import ErrorFilter

ExportFormat = Literal["csv", "json"]
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
EVENTS_A_PART = 200
"""An event has at most some 30 KB: a part stays within a few megabytes."""
COLUMNS = tuple(field.name for field in fields(ErrorEvent))
_COMMANDS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection)."""
_Page = Callable[[Iterable[ErrorEvent], bool], str]


async def export(log: ErrorLog, wanted: ErrorFilter, form: ExportFormat) -> AsyncIterator[str]:
    """Return the parts of a file with all that match, newest first.

    Raises StorageFailed before there is a first part, so that an answer can still say so.
    """
    first = await log.find(wanted, limit=EVENTS_A_PART)
    return _parts(log, wanted, first, form)


async def _parts(
    log: ErrorLog, wanted: ErrorFilter, page: ErrorPage, form: ExportFormat
) -> AsyncIterator[str]:
    write: _Page = _csv_part if form == "csv" else _json_part
    yield write(page.items, True)
    while page.next_cursor is not None:
        page = await log.find(wanted, limit=EVENTS_A_PART, cursor=page.next_cursor)
        yield write(page.items, False)
    if form == "json":
        yield "\n]\n"


def _csv_part(events: Iterable[ErrorEvent], is_first: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    if is_first:
        writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in error_document(one).values()] for one in events)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_COMMANDS):
        return f"'{value}"
    return value


def _json_part(events: Iterable[ErrorEvent], is_first: bool) -> str:
    texts = [json.dumps(error_document(event), ensure_ascii=False) for event in events]
    start = "[\n" if is_first else ",\n" if texts else ""
    return start + ",\n".join(texts)
