"""Job: the definition of what to transfer, validated and frozen.

What a person writes in `jobs/<id>.yaml` or sends as JSON (contracts.md). Whether its folders exist
is not decided here but in `core/preflight.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from models import rclone_url
from models.errors import FieldFault
from models.job_options import JobOptions, Monitoring, OptionFault, SourceDeletion, option_faults
from models.job_part import Part, quoted
from models.location import control_character, location_fault
from models.remote import RCLONE_SCHEME, is_remote

JOB_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$(?!\n)")
MAX_NAME_CHARACTERS = 120
ENGINES = ("rsync", "rclone")
MAX_LOCATION_CHARACTERS = 4096
_STEM_CHARACTERS = 40


def id_stem(name: str) -> str:
    """Return the readable beginning of a job's id; what makes it unique comes behind it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_STEM_CHARACTERS].strip("-") or "job"


class RetryPolicy(Part):
    """How often and how soon a failed attempt is tried again; delays in seconds."""

    max_attempts: int = Field(default=10, ge=1, le=100)
    first_delay_seconds: float = Field(default=1, gt=0, le=3600)
    max_delay_seconds: float = Field(default=60, gt=0, le=86400)


class JobDefinition(Part):
    """What a person decides about a job: everything but its id, version and times."""

    name: str
    engine: str
    source: str
    destination: str
    options: JobOptions = JobOptions()
    verification: Literal["off", "fast", "checksum"] = "off"
    """What a definition does not mention is not done; form and command line propose `fast`."""
    source_deletion: SourceDeletion = SourceDeletion()
    retry: RetryPolicy = RetryPolicy()
    monitoring: Monitoring = Monitoring()
    tags: tuple[str, ...] = Field(default=(), max_length=50)

    @field_validator("name", mode="after")
    @classmethod
    def _name(cls, value: str) -> str:
        name = value.strip()
        if not name:
            raise ValueError("Give the job a name.")
        if len(name) > MAX_NAME_CHARACTERS:
            raise ValueError(f"A name has at most {MAX_NAME_CHARACTERS} characters.")
        escape = control_character(name)
        if escape is not None:
            raise ValueError(f"A name must not contain the control character {escape}.")
        return name

    @field_validator("engine")
    @classmethod
    def _engine(cls, value: str) -> str:
        if value not in ENGINES:
            raise ValueError(
                f"There is no engine {quoted(value)}. Choose one of: {', '.join(ENGINES)}."
            )
        return value

    @field_validator("source", "destination")
    @classmethod
    def _location(cls, value: str, info: ValidationInfo) -> str:
        fault = location_fault(value)
        if len(value) > MAX_LOCATION_CHARACTERS:
            fault = f"A location has at most {MAX_LOCATION_CHARACTERS:,} characters."
        if not fault and is_remote(value):
            fault = _remote_fault(value, info.data)
        if fault:
            raise PydanticCustomError("location", "{fault}", {"fault": fault})
        return value

    @field_validator("options")
    @classmethod
    def _options(cls, options: JobOptions, info: ValidationInfo) -> JobOptions:
        known = info.data
        if {"engine", "source", "destination"} <= known.keys():
            _raise(
                option_faults(
                    options,
                    engine=known["engine"],
                    source=known["source"],
                    destination=known["destination"],
                )
            )
        return options

    @field_validator("source_deletion")
    @classmethod
    def _source_deletion(cls, deletion: SourceDeletion, info: ValidationInfo) -> SourceDeletion:
        if not deletion.enabled:
            return deletion
        faults = []
        if info.data.get("verification", "checksum") != "checksum":
            faults.append(
                OptionFault(
                    "enabled",
                    "Sources are deleted on proof alone: choose the verification “checksum”.",
                )
            )
        if is_remote(info.data.get("source", "")):
            faults.append(
                OptionFault("enabled", "Only a source on this machine can be deleted safely.")
            )
        if is_remote(info.data.get("destination", "")):
            faults.append(
                OptionFault(
                    "enabled",
                    "Sources are deleted only when the destination is on this machine: what "
                    "another one has really written to its disk cannot be proven from here.",
                )
            )
        options = info.data.get("options")
        if isinstance(options, JobOptions) and options.delete_extraneous:
            faults.append(
                OptionFault(
                    "enabled",
                    "A job that deletes extraneous files at the destination must not delete its "
                    "sources: its next run would delete their copies.",
                )
            )
        _raise(faults)
        return deletion

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            if not tag.strip() or len(tag) > 50 or control_character(tag) is not None:
                raise ValueError("A tag has 1 to 50 characters and no control characters.")
        return tags


def _raise(faults: Iterable[OptionFault]) -> None:
    """Raise for all of them at once; `faults_of` takes them apart again."""
    found = tuple(faults)
    if found:
        text = " ".join(fault.message for fault in found)
        raise PydanticCustomError("options", "{text}", {"text": text, "faults": found})


def _remote_fault(location: str, known: dict[str, Any]) -> str | None:
    """Return why a location of its kind does not go with what is known of the job, or None."""
    engine, source = known.get("engine"), known.get("source", "")
    if engine is None:
        return None
    is_rclone = location.startswith(RCLONE_SCHEME)
    if engine == "rsync" and is_rclone:
        return "The engine rsync cannot reach a remote of rclone. Choose the engine rclone."
    if engine == "rclone" and not is_rclone:
        return (
            "The engine rclone reaches remotes of its own configuration, as "
            f"{rclone_url.FORM}. Choose the engine rsync for this location."
        )
    if engine == "rsync" and is_remote(source):
        return (
            "rsync cannot copy from one other machine to another: one of the two locations must "
            "be a local path."
        )
    return None


class Job(JobDefinition):
    """A stored definition: `version` counts its saves; times are UTC."""

    id: str = Field(pattern=JOB_ID)
    version: int = Field(ge=1)
    created_at: datetime
    updated_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _format(cls, values: Any) -> Any:
        if isinstance(values, dict) and "format" in values:
            values = {key: value for key, value in values.items() if key != "format"}
        return values

    @field_validator("created_at", "updated_at")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        # A time without an offset is taken for UTC, as every time of ours is.
        try:
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
        except OverflowError as error:
            raise ValueError("There is no such time.") from error

    @field_serializer("created_at", "updated_at")
    def _time(self, value: datetime) -> str:
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")


_MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "This must be text.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "int_parsing": "This must be a whole number.",
    "int_type": "This must be a whole number.",
}
MAX_FAULTS = 50


def faults_of(error: ValidationError) -> tuple[FieldFault, ...]:
    """Return what a validation found, one fault for each field, in words for a person."""
    faults: list[FieldFault] = []
    for details in error.errors(include_url=False)[:MAX_FAULTS]:
        field = ".".join(str(part) for part in details["loc"]) or "job"
        several = details.get("ctx", {}).get("faults")
        if several is None:
            faults.append(FieldFault(field, _message(details)))
        else:
            faults += (FieldFault(f"{field}.{name}", message) for name, message in several)
    return tuple(faults[:MAX_FAULTS])


def _message(details: ErrorDetails) -> str:
    raised = details.get("ctx", {}).get("error")
    if isinstance(raised, ValueError):
        return str(raised)
    return _MESSAGES.get(details["type"], details["msg"])
