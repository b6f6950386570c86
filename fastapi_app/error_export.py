"""The error log as a file, CSV or JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields

from core.ports import ErrorLog
from fastapi_app.documents import error_document
from fastapi_app.row_export import MEDIA_TYPES, Export, ExportFormat
from models.error_event import ErrorEvent, ErrorPage
from models.error_query import ErrorFilter

__all__ = ["COLUMNS", "EVENTS_A_PART", "MEDIA_TYPES", "ExportFormat", "export"]
EVENTS_A_PART = 200
"""An event has at most some 30 KB: a part stays within a few megabytes."""
COLUMNS = tuple(field.name for field in fields(ErrorEvent))


async def export(log: ErrorLog, wanted: ErrorFilter, form: ExportFormat) -> AsyncIterator[str]:
    """Return the parts of a file with all that match, newest first.

    Raises StorageFailed before there is a first part, so that an answer can still say so.
    """

    async def find(cursor: str | None) -> ErrorPage:
        return await log.find(wanted, limit=EVENTS_A_PART, cursor=cursor)

    return await Export(find, error_document, COLUMNS).parts(form)
