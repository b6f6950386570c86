"""The progress of a job of the older layout as ours: sizes in bytes, nothing guessed."""

from __future__ import annotations

import re
from typing import Any

from models.progress import PhaseName, Progress, Totals
from storage.import_report import Report
from storage.yaml_documents import Place

_COUNTS = {
    "bytes_done": "bytes_done",
    "bytes_transferred": "bytes_done",
    "transferred_bytes": "bytes_done",
    "bytes_total": "bytes_total",
    "total_bytes": "bytes_total",
    "files_done": "files_done",
    "files_transferred": "files_done",
    "files_total": "files_total",
    "total_files": "files_total",
}
_PERCENTS = ("percent", "percentage")
_OF_THE_MOMENT = (
    "bytes_per_second",
    "current_file",
    "elapsed",
    "eta",
    "eta_seconds",
    "rate",
    "speed",
)
_WHOLE = re.compile(r"\d{1,18}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,20})?) ?%?")


def progress_of(value: Any, place: Place, report: Report, *, now: str) -> Progress | None:
    """Return a progress, or None when it says nothing; tells what cannot be taken."""
    figures: dict[str, Any] = {}
    if not isinstance(value, dict):
        _take_percent(value, place, figures, report)
    else:
        for key, inner in value.items():
            _take(key, inner, (*place, key), figures, report)
    if not any(figures.values()):
        return None
    return _progress(figures, now)


def _take(key: str, value: Any, at: Place, figures: dict[str, Any], report: Report) -> None:
    if value is None:
        return
    if key in _OF_THE_MOMENT:
        report.note(at, "not taken: it was of the moment")
    elif key in _PERCENTS:
        _take_percent(value, at, figures, report)
    elif key not in _COUNTS:
        report.not_taken(at, "there is no such figure")
    elif not isinstance(value, str) or not _WHOLE.fullmatch(value):
        report.not_taken(at, "this must be a whole number")
    elif figures.setdefault(_COUNTS[key], int(value)) != int(value):
        report.not_taken(at, "another figure says this already")


def _take_percent(value: Any, at: Place, figures: dict[str, Any], report: Report) -> None:
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    percent = float(match[1]) if match else None
    if percent is None or percent > 100:
        report.not_taken(at, "this must be a number from 0 to 100")
    elif figures.setdefault("percent", percent) != percent:
        report.not_taken(at, "another figure says this already")


def _progress(figures: dict[str, Any], now: str) -> Progress:
    done, total = figures.get("bytes_done", 0), figures.get("bytes_total")
    percent = figures.get("percent")
    if percent is None and total:
        percent = round(min(100.0, 100 * done / total), 1)
    totals = Totals.UNKNOWN
    if percent is not None:
        totals = Totals.KNOWN if total else Totals.ESTIMATED
    return Progress(
        phase=PhaseName.TRANSFER,
        bytes_done=done,
        bytes_total=total,
        files_done=figures.get("files_done", 0),
        files_total=figures.get("files_total"),
        totals=totals,
        percent=percent,
        updated_at=now,
    )
