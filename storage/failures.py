"""What a run's journal tells of single files: which failed, and which no engine copies.

Read by itself, and not as a part of the whole journal: most of that is progress, and a page that
names failed files is asked for again and again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from models import events
from models.errors import InvalidDocument
from models.events import EngineStarted, FileFailed, FileSkipped
from models.run import FailedFile, RunFiles, SkippedFile

MAX_KEPT = 10_000
"""More than a runner ever names: a journal that somebody damaged must not fill the memory."""
_LONGEST_LINE = 1024 * 1024
_KINDS = (b'"engine_started"', b'"file_failed"', b'"file_skipped"')
_KIND_WITHIN = 80
"""So many bytes from its beginning on, a line tells what kind it is."""
_logger = logging.getLogger(__name__)


def read_files(directory: Path) -> RunFiles:
    """Return the files that failed in the run's last attempt, each once, and the special files.

    Blocking. A line that cannot be read is passed over and logged; nothing is there before a run
    begins.
    """
    failed: dict[tuple[str, ...], FailedFile] = {}
    skipped: dict[str, SkippedFile] = {}
    repeated = 0
    for event in _events(directory):
        if isinstance(event, EngineStarted):
            # What failed before is tried again: it counts no more (models/run_history.py).
            failed.clear()
            repeated = 0
        elif isinstance(event, FileFailed):
            key = _identity(event)
            repeated += key in failed
            if len(failed) < MAX_KEPT:
                failed.setdefault(key, FailedFile(event.path, event.reason, event.name))
        elif isinstance(event, FileSkipped) and len(skipped) < MAX_KEPT:
            skipped[event.path] = SkippedFile(event.path, event.kind)
    return RunFiles(tuple(failed.values()), repeated, tuple(skipped.values()))


def _identity(event: FileFailed) -> tuple[str, ...]:
    # A transfer and a verification may both tell of one file, by different paths.
    return (event.name,) if event.name is not None else (event.path, event.reason)


def _events(directory: Path) -> Iterator[events.Event]:
    for raw in _lines(directory):
        if not any(kind in raw[:_KIND_WITHIN] for kind in _KINDS):
            continue
        try:
            line = events.from_document(json.loads(raw))
        except (InvalidDocument, ValueError, RecursionError) as error:
            ids = {"run_id": directory.name}
            _logger.error("journal: a line was passed over: %s", error, extra=ids)
            continue
        if line is not None:
            yield line.event


def _lines(directory: Path) -> Iterator[bytes]:
    try:
        with (directory / "journal.jsonl").open("rb") as file:
            while raw := file.readline(_LONGEST_LINE):
                yield raw
    except FileNotFoundError:
        return
