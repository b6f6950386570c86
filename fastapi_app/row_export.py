"""A log as a file, CSV or JSON, made of one bounded part after another."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

ExportFormat = Literal["csv", "json"]
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_COMMANDS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection)."""
_Document = Mapping[str, Any]
Item = TypeVar("Item", covariant=True)


class _PageOf(Protocol[Item]):
    """A page of a log; `next_cursor` is None on the last one."""

    @property
    def items(self) -> Sequence[Item]: ...

    @property
    def next_cursor(self) -> str | None: ...


@dataclass(frozen=True)
class Export:
    """What is written: `find` returns the page from a cursor on, `document` an item by column."""

    find: Callable[[str | None], Awaitable[_PageOf[Any]]]
    document: Callable[[Any], _Document]
    columns: tuple[str, ...]

    async def parts(self, form: ExportFormat) -> AsyncIterator[str]:
        """Return the parts of a file with everything that is found, newest first.

        Raises StorageFailed before there is a first part, so that an answer can still say so.
        """
        return self._parts(await self.find(None), form)

    async def _parts(self, page: _PageOf[Any], form: ExportFormat) -> AsyncIterator[str]:
        write = self._csv_part if form == "csv" else self._json_part
        yield write(page.items, True)
        while page.next_cursor is not None:
            page = await self.find(page.next_cursor)
            yield write(page.items, False)
        if form == "json":
            yield "\n]\n"

    def _csv_part(self, items: Iterable[Any], is_first: bool) -> str:
        text = io.StringIO()
        writer = csv.writer(text)
        if is_first:
            writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in self.document(one).values()] for one in items)
        return text.getvalue()

    def _json_part(self, items: Iterable[Any], is_first: bool) -> str:
        texts = [json.dumps(self.document(one), ensure_ascii=False) for one in items]
        start = "[\n" if is_first else ",\n" if texts else ""
        return start + ",\n".join(texts)


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_COMMANDS):
        return f"'{value}"
    return value
