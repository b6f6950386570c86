"""The job form: from a posted form to a definition and back, with errors at their fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.tools import Tool
from models.errors import FieldFault
from models.job import Job

_TEXT_FIELDS = ("name", "engine", "source", "destination", "verification")
_FIELD_OF = {
    "options.exclude": "exclude",
    "options.include": "include",
    "options.bandwidth_limit": "bandwidth_limit",
    "options.delete_extraneous": "delete_extraneous",
    "options.max_delete": "max_delete",
}
NEW_JOB = {
    "name": "",
    "engine": "rsync",
    "source": "",
    "destination": "",
    "include": "",
    "exclude": "",
    "bandwidth_limit": "",
    "verification": "fast",
    "delete_extraneous": "",
    "max_delete": "",
}


@dataclass(frozen=True)
class EngineChoice:
    """One engine in the form."""

    name: str
    available: bool
    version: str | None
    hint: str | None


class ConflictRow(NamedTuple):
    """One field that somebody else changed meanwhile: their value and the one typed here."""

    label: str
    theirs: str
    yours: str


@dataclass(frozen=True)
class Conflict:
    """Somebody else saved the job since the form was opened."""

    rows: tuple[ConflictRow, ...]


@dataclass(frozen=True)
class JobForm:
    """What `partials/_job_form.html` shows."""

    action: str
    title: str
    submit_label: str
    cancel_url: str
    is_edit: bool
    engines: tuple[EngineChoice, ...]
    values: Mapping[str, str]
    job_id: str | None = None
    version: int | None = None
    errors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conflict: Conflict | None = None


def engine_choices(tools: Iterable[Tool]) -> tuple[EngineChoice, ...]:
    """Return the engines with what this machine has of them."""
    return tuple(
        EngineChoice(
            tool.engine,
            tool.path is not None,
            tool.version,
            None if tool.path is not None else tool.install_hint,
        )
        for tool in tools
    )


def posted_values(posted: Mapping[str, Any]) -> dict[str, str]:
    """Return the form's fields as they were typed."""
    return {name: str(posted.get(name, "")) for name in NEW_JOB}


def values_of(job: Job) -> dict[str, str]:
    """Return a stored definition as the form shows it."""
    options = job.options
    return {
        **{name: str(getattr(job, name)) for name in _TEXT_FIELDS},
        "include": "\n".join(options.include),
        "exclude": "\n".join(options.exclude),
        "bandwidth_limit": options.bandwidth_limit or "",
        "delete_extraneous": "on" if options.delete_extraneous else "",
        "max_delete": "" if options.max_delete is None else str(options.max_delete),
    }


def definition_of(values: Mapping[str, str], current: Job | None) -> dict[str, Any]:
    """Return the definition that the typed values mean; what the form does not show is kept."""
    kept: dict[str, Any] = {}
    options: dict[str, Any] = {}
    if current is not None:
        kept = current.model_dump(mode="json", include={"source_deletion", "retry", "tags"})
        options = current.options.model_dump(mode="json")
    options |= {
        "include": _lines(values["include"]),
        "exclude": _lines(values["exclude"]),
        "bandwidth_limit": values["bandwidth_limit"].strip() or None,
        "delete_extraneous": values["delete_extraneous"] == "on",
        "max_delete": values["max_delete"].strip() or None,
    }
    return {**kept, **{name: values[name] for name in _TEXT_FIELDS}, "options": options}


def errors_by_field(faults: Iterable[FieldFault]) -> dict[str, tuple[str, ...]]:
    """Return the messages for each field of the form; the empty key holds the rest."""
    errors: dict[str, tuple[str, ...]] = {}
    for fault in faults:
        name = next((own for path, own in _FIELD_OF.items() if fault.field.startswith(path)), None)
        if name is None:
            name = fault.field if fault.field in NEW_JOB else ""
        message = fault.message if name else f"{fault.field}: {fault.message}"
        errors[name] = (*errors.get(name, ()), message)
    return errors


def conflict_between(theirs: Job, yours: Mapping[str, str]) -> Conflict:
    """Return the fields in which the saved version and the typed one differ."""
    saved = values_of(theirs)
    return Conflict(
        tuple(
            ConflictRow(name.replace("_", " ").capitalize(), saved[name], yours[name])
            for name in NEW_JOB
            if saved[name].strip() != yours[name].strip().replace("\r\n", "\n")
        )
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
