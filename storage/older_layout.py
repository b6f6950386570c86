"""One job of the older single-file layout as a definition and a state; reads and writes no file.

What is certain is taken, under every name that such files used; what is not is told with its line.
A setting of ours with a value that cannot be used keeps the whole job out: a copy without the
patterns or the limits that a person wrote may do harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.job_state import JobState
from models.job_status import ACTIVE_STATUSES, JobStatus
from storage.import_report import Report
from storage.older_progress import progress_of
from storage.yaml_documents import Place

MAX_MESSAGE_CHARACTERS = 1000
_KEYS = {
    "id": "id",
    "name": "name",
    "source": "source",
    "src": "source",
    "dest": "destination",
    "destination": "destination",
    "target": "destination",
    "type": "engine",
    "engine": "engine",
    "status": "status",
    "progress": "progress",
    "message": "message",
    "error": "message",
    "settings": "settings",
    "options": "settings",
    "tags": "tags",
}
_WHAT_TO_COPY = ("source", "destination", "engine", "settings")
"""Of two values for one of these neither is certain."""
_STATUSES = {
    **{status.value: status for status in JobStatus},
    "done": JobStatus.COMPLETED,
    "finished": JobStatus.COMPLETED,
    "success": JobStatus.COMPLETED,
    "error": JobStatus.FAILED,
    "stopped": JobStatus.PAUSED,
    "new": JobStatus.PENDING,
    "idle": JobStatus.PENDING,
}
_NO_SCHEDULE = "this version has no schedule"
_NO_ARGUMENTS = "this version accepts no extra arguments"
_NO_DELETION = "this version does not delete sources: they stay"
_NO_KEEPING = "this version cannot keep replaced files yet"
_UNSUPPORTED = {
    "schedule": _NO_SCHEDULE,
    "cron": _NO_SCHEDULE,
    "interval": _NO_SCHEDULE,
    "args": _NO_ARGUMENTS,
    "extra_args": _NO_ARGUMENTS,
    "flags": _NO_ARGUMENTS,
    "delete_source": _NO_DELETION,
    "delete_after": _NO_DELETION,
    "remove_source_files": _NO_DELETION,
    "source_deletion": _NO_DELETION,
    "keep_replaced": _NO_KEEPING,
    "backup": _NO_KEEPING,
    "dry_run": "there is no such setting: runs of this job will copy",
}
_OFF: tuple[Any, ...] = (None, False, "false", "no", "off", "0", "", [], {})
"""Values of a setting that ask for nothing."""
_RATE = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[KMGT]?)(?P<kind>I?B?)(?:/S|PS)?")
_THOUSANDS = {"K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_VERIFICATIONS = {
    "none": "off",
    "no": "off",
    "false": "off",
    "size": "fast",
    "quick": "fast",
    "yes": "fast",
    "true": "fast",
    "hash": "checksum",
    "full": "checksum",
}


@dataclass
class Translation:
    """What an older job says: the fields of a definition, where each came from, and its state."""

    definition: dict[str, Any] = field(default_factory=dict)
    places: dict[tuple[str, ...], Place] = field(default_factory=dict)
    """Where the fields of the definition stand in the file."""
    state: JobState | None = None
    is_usable: bool = True
    """Whether every value of ours was one that can be used."""
    lost_settings: bool = False
    """Whether something was not taken that may have limited what the job does."""

    def put(self, path: tuple[str, ...], value: Any, place: Place) -> None:
        """Keep a field of the definition."""
        inside = self.definition
        for step in path[:-1]:
            inside = inside.setdefault(step, {})
        inside[path[-1]] = value
        self.places[path] = place


def translate(
    entry: Mapping[str, Any], place: Place, job_id: str, report: Report, *, now: str
) -> Translation:
    """Return what one job of the older layout says; tells what cannot be taken."""
    result = Translation()
    found = _sorted_out(entry, place, result, report)
    for name in ("name", "source", "destination", "engine", "tags"):
        if name in found:
            value, at = found[name]
            value = _CONVERTERS.get(name, _same)(value)
            result.put((name,), value, at)
    beside = {key: value for key, value in entry.items() if _is_setting(key)}
    _take_settings(beside, place, result, report)
    if "settings" in found:
        _take_settings(*found["settings"], result, report)
    result.state = _state(found, place, job_id, report, now=now)
    return result


def _sorted_out(
    entry: Mapping[str, Any], place: Place, result: Translation, report: Report
) -> dict[str, tuple[Any, Place]]:
    found: dict[str, tuple[Any, Place]] = {}
    for key, value in entry.items():
        name, at = _KEYS.get(key), (*place, key)
        if _is_setting(key):
            continue
        if name is None:
            if key not in _UNSUPPORTED or value not in _OFF:
                report.not_taken(at, _UNSUPPORTED.get(key, "there is no such field"))
                result.lost_settings = True
        elif name in found:
            if value != found[name][0]:
                report.not_taken(at, f"“{found[name][1][-1]}” says something else")
                result.is_usable &= name not in _WHAT_TO_COPY
        elif value is not None:
            found[name] = (value, at)
    return found


def _is_setting(key: str) -> bool:
    """Whether a key of a job is a setting that stands beside the others, not in `settings`."""
    return key in _SETTINGS and key not in _KEYS


def _take_settings(settings: Any, place: Place, result: Translation, report: Report) -> None:
    if not isinstance(settings, dict):
        report.not_taken(place, "settings are a mapping of names to values")
        result.is_usable = False
        return
    for key, value in settings.items():
        at = (*place, key)
        if key not in _SETTINGS:
            if key not in _UNSUPPORTED or value not in _OFF:
                report.not_taken(at, _UNSUPPORTED.get(key, "there is no such setting"))
                result.lost_settings = True
            continue
        path, convert = _SETTINGS[key]
        if path in result.places:
            report.not_taken(at, f"“{result.places[path][-1]}” says this already")
            result.lost_settings = True
            continue
        try:
            converted = convert(value)
        except ValueError as error:
            report.not_taken(at, str(error))
            result.is_usable = False
            continue
        if converted is not None:
            result.put(path, converted, at)


def _state(
    found: Mapping[str, tuple[Any, Place]], place: Place, job_id: str, report: Report, *, now: str
) -> JobState:
    status, message = _status(found, place, report)
    progress = None
    if "progress" in found:
        progress = progress_of(*found["progress"], report, now=now)
    return JobState(
        job_id,
        status=status,
        message=message,
        progress=None if status is JobStatus.PENDING else progress,
        changed_at=now,
    )


def _status(
    found: Mapping[str, tuple[Any, Place]], place: Place, report: Report
) -> tuple[JobStatus, str | None]:
    message = _message(found, report)
    if "status" not in found:
        return JobStatus.PENDING, message
    value, at = found["status"]
    status = _STATUSES.get(value.strip().lower()) if isinstance(value, str) else None
    if status is None:
        report.not_taken(at, "there is no such status: the job is pending")
        return JobStatus.PENDING, message
    if status in ACTIVE_STATUSES:
        report.note(at, f"was {status}: the job is interrupted until it is started again")
        told = f"Was {status} elsewhere when it was imported. Start it to go on."
        return JobStatus.INTERRUPTED, told
    return status, message


def _message(found: Mapping[str, tuple[Any, Place]], report: Report) -> str | None:
    if "message" not in found:
        return None
    value, at = found["message"]
    if not isinstance(value, str):
        report.not_taken(at, "this must be text")
        return None
    return value[:MAX_MESSAGE_CHARACTERS]


def _same(value: Any) -> Any:
    return value


def _engine(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _patterns(value: Any) -> Any:
    return [line for line in value.splitlines() if line] if isinstance(value, str) else value


def _tags(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return [tag.strip() for tag in value.split(",") if tag.strip()]


def _rate(value: Any) -> Any:
    return _rate_of(value, "")


def _rate_of_tools(value: Any) -> Any:
    # A number alone is in KiB: rsync(1) --bwlimit, rclone's documentation of --bwlimit.
    return _rate_of(value, "K")


def _rate_of(value: Any, unit: str) -> Any:
    if value in _OFF:
        return None
    match = _RATE.fullmatch(value.strip().upper()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a rate such as 500K or 10M: bytes per second, powers of 1024")
    number = match["number"]
    if float(number) == 0:
        return None
    if not match["unit"]:
        if not unit and not match["kind"]:
            raise ValueError(f"the unit is not certain: write {number}K or {number}M")
        return f"{number}{'' if match['kind'] else unit}"
    if match["kind"] == "B":
        return str(int(float(number) * _THOUSANDS[match["unit"]]))
    return f"{number}{match['unit']}"


def _verification(value: Any) -> Any:
    if isinstance(value, bool):
        return "fast" if value else "off"
    return _VERIFICATIONS.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _checksum(value: Any) -> Any:
    if value in _OFF:
        return None
    if value not in (True, "true", "yes", "on", "1"):
        raise ValueError("this must be true or false")
    return "checksum"


def _attempts(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}", value):
        return int(value) + 1
    raise ValueError("this must be a whole number")


_CONVERTERS: dict[str, Callable[[Any], Any]] = {"engine": _engine, "tags": _tags}
_EXCLUDE = (("options", "exclude"), _patterns)
_INCLUDE = (("options", "include"), _patterns)
_DELETE = (("options", "delete_extraneous"), _same)
_SETTINGS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "exclude": _EXCLUDE,
    "excludes": _EXCLUDE,
    "exclude_patterns": _EXCLUDE,
    "include": _INCLUDE,
    "includes": _INCLUDE,
    "include_patterns": _INCLUDE,
    "bandwidth_limit": (("options", "bandwidth_limit"), _rate),
    "bandwidth": (("options", "bandwidth_limit"), _rate),
    "bwlimit": (("options", "bandwidth_limit"), _rate_of_tools),
    "delete": _DELETE,
    "delete_extraneous": _DELETE,
    "max_delete": (("options", "max_delete"), _same),
    "verification": (("verification",), _verification),
    "verify": (("verification",), _verification),
    "checksum": (("verification",), _checksum),
    "max_attempts": (("retry", "max_attempts"), _same),
    "retries": (("retry", "max_attempts"), _attempts),
    "max_retries": (("retry", "max_attempts"), _attempts),
    "tags": (("tags",), _tags),
}
