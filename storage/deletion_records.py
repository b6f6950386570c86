"""Reading `deletions.jsonl`, the record that a run leaves of the sources it deleted.

Line by line and never more of it in memory than a batch: a run may have deleted millions of files.
A line that cannot be read is passed over and logged.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from models.source_deletions import RECORD_NAME, Deletion, DeletionOutcome

_BATCH = 2_000
_LONGEST_LINE = 1024 * 1024
_TIME = len("2026-11-26T10:00:00.000Z")
_OUTCOMES = frozenset(DeletionOutcome)
_logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """A part of a record: sources that it names, and what a later line says of one that an earlier
    part has named."""

    named: tuple[Deletion, ...]
    later: tuple[Deletion, ...]


def read_record(directory: Path) -> Iterator[Told]:
    """Yield the record in a run's directory in parts; nothing where there is none. Blocking.

    Raises OSError.
    """
    named: dict[int, Deletion] = {}
    later: list[Deletion] = []
    for number, document in enumerate(_documents(directory)):
        if number and number % _BATCH == 0:
            yield Told(tuple(named.values()), tuple(later))
            named, later = {}, []
        told = _deletion(document)
        if told is None:
            continue
        known = named.get(told.number)
        if told.path:
            named[told.number] = told
        elif known is not None:
            named[told.number] = known._replace(
                outcome=told.outcome, time=told.time, reason=told.reason
            )
        else:
            later.append(told)
    yield Told(tuple(named.values()), tuple(later))


def has_record(directory: Path) -> bool:
    """Whether a run has left a record. Blocking."""
    return (directory / RECORD_NAME).exists()


def runs_with_record(runs: Path) -> tuple[str, ...]:
    """Return the runs whose directories hold a record, oldest first. Blocking; raises OSError."""
    if not runs.exists():
        return ()
    return tuple(sorted(one.name for one in runs.iterdir() if has_record(one)))


def _documents(directory: Path) -> Iterator[dict[str, Any]]:
    try:
        with (directory / RECORD_NAME).open("rb") as file:
            while raw := file.readline(_LONGEST_LINE):
                document = _document(raw)
                if document is None:
                    ids = {"run_id": directory.name}
                    _logger.error("%s: a line was passed over", RECORD_NAME, extra=ids)
                elif "n" in document:
                    yield document
    except FileNotFoundError:
        return


def _document(raw: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _deletion(document: dict[str, Any]) -> Deletion | None:
    try:
        found = Deletion(
            number=_number(document["n"]) or 0,
            path=str(document.get("path", "")),
            outcome=str(document["outcome"]),
            time=str(document["t"])[:_TIME],
            size=_number(document.get("size")),
            mtime_ns=_number(document.get("mtime_ns")),
            hash=_text(document.get("hash")),
            reason=_text(document.get("reason")),
        )
        os.fsencode(found.path)
    except (KeyError, TypeError, ValueError) as error:
        _logger.error("%s: a line was passed over: %s", RECORD_NAME, error)
        return None
    return found if found.outcome in _OUTCOMES else None


def _text(value: object) -> str | None:
    return None if value is None else str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and abs(value) < 2**63 else None
