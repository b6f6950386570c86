"""The job form: from a posted form to a definition and back, with errors at their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from core.tools import Tool
from fastapi_app import duration_fields
from fastapi_app.deletion_views import deletion_in_words, deletion_needs
from fastapi_app.location_fields import KINDS, LOCATIONS, LocationFields, fields_of, posted_location
from models.errors import FieldFault
from models.job import MAX_NAME_CHARACTERS, Job, RetryPolicy
from models.job_options import JobOptions, Monitoring, SourceDeletion
from models.job_part import Part

_OF_COPY = " (copy)"
_TEXT_FIELDS = ("name", "engine", "source", "destination", "verification")
_LINES = ("include", "exclude", "extra_args")
_SWITCHES = ("delete_extraneous", "keep_replaced", "hard_links", "acls", "xattrs")
_TEXT_OPTIONS = (
    "bandwidth_limit",
    "max_delete",
    "timeout_seconds",
    "credential",
    "ssh_identity",
    "ssh_host_keys",
    "transfers",
    "checkers",
    "source_marker",
    "source_mount",
    "destination_mount",
)
_OPTIONS = (*_LINES, *_SWITCHES, *_TEXT_OPTIONS)
_BOXES = frozenset(
    {*_SWITCHES, "source_deletion_enabled", "source_deletion_delete_empty_directories"}
)
_RETRY = ("max_attempts", "first_delay_seconds", "max_delay_seconds")
_DELETION = ("enabled", "mode", "delete_empty_directories", "trash_days")
_MONITORING = ("success_within_seconds", "ping")
_OF_ENGINE = {
    "rsync": ("hard_links", "acls", "xattrs", "ssh_identity", "ssh_host_keys"),
    "rclone": ("transfers", "checkers"),
}
_DURATIONS = ("monitoring_success_within_seconds",)
"""What is shown as a number and its unit."""
SECTIONS = {
    **_OF_ENGINE,
    "before": ("source_marker", "source_mount", "destination_mount"),
    "retries": tuple(f"retry_{name}" for name in _RETRY),
    "monitoring": tuple(f"monitoring_{name}" for name in _MONITORING),
    "advanced": ("tags", "keep_replaced", "timeout_seconds", "credential", "extra_args"),
}
"""What is folded away, by the name of its section."""


def _texts(part: Part, names: Iterable[str]) -> dict[str, str]:
    return {name: _text(getattr(part, name)) for name in names}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "\n".join(value)
    if isinstance(value, bool) or value is None:
        return "on" if value else ""
    return str(value).removesuffix(".0")


def _texts_of(
    options: JobOptions,
    retry: RetryPolicy,
    deletion: SourceDeletion,
    monitoring: Monitoring,
    tags: Iterable[str],
) -> dict[str, str]:
    return {
        **_texts(options, _OPTIONS),
        **{f"monitoring_{name}": text for name, text in _texts(monitoring, _MONITORING).items()},
        **{f"retry_{name}": text for name, text in _texts(retry, _RETRY).items()},
        **{f"source_deletion_{name}": text for name, text in _texts(deletion, _DELETION).items()},
        "tags": ", ".join(tags),
    }


NEW_JOB = {
    **dict.fromkeys(_TEXT_FIELDS, ""),
    "engine": "rsync",
    "verification": "fast",
    **_texts_of(JobOptions(), RetryPolicy(), SourceDeletion(), Monitoring(), ()),
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
    locations: Mapping[str, LocationFields] = field(default_factory=dict)
    """How the two locations are shown; what is missing here is taken from their values."""
    credentials: tuple[str, ...] = ()
    """The names that can be chosen."""
    copied_from: str | None = None
    """The id of the job that a new one was begun with."""

    location_kinds: ClassVar = KINDS
    units: ClassVar = duration_fields.UNITS

    def location(self, name: str) -> LocationFields:
        """Return how a location is shown."""
        return self.locations.get(name) or fields_of(self.values[name])

    def duration(self, name: str) -> duration_fields.DurationFields:
        """Return how a duration is shown."""
        return duration_fields.fields_of(self.values[name])

    def anchor(self, name: str) -> str:
        """Return the field to lead to from a fault of this one: one that is shown."""
        is_folded = name in LOCATIONS and self.location(name).kind != "local"
        return f"{name}_kind" if is_folded else name

    @property
    def deletion_words(self) -> tuple[str, ...]:
        """What the job will do with its sources, as it is filled in."""
        return deletion_in_words(definition_of(self.values, None))

    @property
    def deletion_needs(self) -> tuple[str, ...]:
        """What the deletion of sources needs that is not filled in so, unless its field says it."""
        if "source_deletion_enabled" in self.errors:
            return ()
        return deletion_needs(definition_of(self.values, None))

    def opens(self, section: str) -> bool:
        """Whether a section holds an error, or something that is not as it is in a new job."""
        return any(
            name in self.errors or self.values[name] != NEW_JOB[name] for name in SECTIONS[section]
        )


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


def posted_values(
    posted: Mapping[str, Any], kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the form's fields as they were typed; locations as their fields mean them.

    What was not posted at all has its value in `kept`; but a box that is not ticked posts nothing:
    that it was in the form is told by the field `<name>_shown`.
    """
    there = {
        name: value
        for name, value in (kept or {}).items()
        if name not in _BOXES or f"{name}_shown" not in posted
    }
    values = {name: str(posted.get(name, there.get(name, ""))) for name in NEW_JOB}
    for name in _DURATIONS:
        if name in posted:
            values[name] = duration_fields.posted_duration(posted, name)
    return values | {name: posted_location(posted, name)[0] for name in _posted_locations(posted)}


def posted_locations(posted: Mapping[str, Any]) -> dict[str, LocationFields]:
    """Return the fields of the locations as they were typed."""
    return {name: posted_location(posted, name)[1] for name in _posted_locations(posted)}


def _posted_locations(posted: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in LOCATIONS if name in posted or f"{name}_kind" in posted)


def values_of(job: Job) -> dict[str, str]:
    """Return a stored definition as the form shows it."""
    return {
        **{name: str(getattr(job, name)) for name in _TEXT_FIELDS},
        **_texts_of(job.options, job.retry, job.source_deletion, job.monitoring, job.tags),
    }


def definition_of(values: Mapping[str, str], current: Job | None) -> dict[str, Any]:
    """Return the definition that the typed values mean; what was not changed is kept as it is.

    Options of another engine than the chosen one are left out: they would be faults.
    """
    kept = Job.model_dump(current, mode="json") if current is not None else {}
    shown = values_of(current) if current is not None else {}

    def part_of(part: str, names: Iterable[str], prefix: str = "") -> dict[str, Any]:
        typed: dict[str, Any] = dict(kept.get(part, {}))
        for name in names:
            field_name = prefix + name
            if name in typed and _same(values[field_name], shown[field_name]):
                continue
            value = _meaning(name, values[field_name])
            typed[name] = value
            if value is None and _DEFAULTS.get(field_name):
                typed[name] = _DEFAULTS[field_name]
        return typed

    options = part_of("options", _OPTIONS)
    for engine, names in _OF_ENGINE.items():
        if engine != values["engine"]:
            options = {name: value for name, value in options.items() if name not in names}
    same_tags = current is not None and _same(values["tags"], shown["tags"])
    return {
        **{name: values[name] for name in _TEXT_FIELDS},
        "options": options,
        "retry": part_of("retry", _RETRY, "retry_"),
        "monitoring": part_of("monitoring", _MONITORING, "monitoring_"),
        "source_deletion": _deletion(values, kept.get("source_deletion", {}), part_of),
        "tags": kept["tags"] if same_tags else _lines(values["tags"].replace(",", "\n")),
    }


_PREFIXED = frozenset({"retry", "source_deletion", "monitoring"})
_DEFAULTS = {
    name: NEW_JOB[name] for name in (*SECTIONS["retries"], "ssh_host_keys", "source_deletion_mode")
}


def _deletion(
    values: Mapping[str, str],
    kept: Mapping[str, Any],
    part_of: Callable[[str, Iterable[str], str], dict[str, Any]],
) -> dict[str, Any]:
    if values["source_deletion_enabled"] != "on":
        # How sources would be deleted is not shown: it is kept as it is.
        return {**kept, "enabled": False}
    return part_of("source_deletion", _DELETION, "source_deletion_")


def _meaning(name: str, text: str) -> Any:
    if name in _LINES:
        return _lines(text)
    if name in _BOXES or f"source_deletion_{name}" in _BOXES:
        return text == "on"
    return text.strip() or None


def _same(typed: str, shown: str) -> bool:
    return typed.replace("\r\n", "\n") == shown


def copied_name(name: str) -> str:
    """Return what a copy of a job is called at first, within the bounds of a name."""
    return f"{name[: MAX_NAME_CHARACTERS - len(_OF_COPY)]}{_OF_COPY}"


def errors_by_field(faults: Iterable[FieldFault]) -> dict[str, tuple[str, ...]]:
    """Return the messages for each field of the form; the empty key holds the rest."""
    errors: dict[str, tuple[str, ...]] = {}
    for fault in faults:
        name = _field_of(fault.field)
        message = fault.message if name else f"{fault.field}: {fault.message}"
        errors[name] = (*errors.get(name, ()), message)
    return errors


def _field_of(path: str) -> str:
    head, *rest = path.split(".")
    name = rest[0] if rest else ""
    if head == "options":
        return name if name in _OPTIONS else ""
    found = f"{head}_{name}" if head in _PREFIXED else head
    return found if found in NEW_JOB else ""


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
