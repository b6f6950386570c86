"""Job: the definition of what to transfer, validated and frozen.

What a person writes in `jobs/<id>.yaml` or sends as JSON (contracts.md). Whether its folders exist
is not decided here but in `core/preflight.py`.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from models.errors import FieldFault
from models.location import control_character, location_fault
from models.remote import is_remote

JOB_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$(?!\n)")
ENGINES = ("rsync", "rclone")
MAX_PATTERNS = 1000
MAX_PATTERN_CHARACTERS = 50_000
"""So that a definition stays well below what the store reads back (1 MB)."""
MAX_LOCATION_CHARACTERS = 4096
MAX_DELETE = 2**31 - 1
"""rsync keeps the number in a C int (rsync(1), --max-delete)."""
_RATE = re.compile(r"^(?P<number>\d{1,12}(?:\.\d{1,3})?)(?P<unit>[KMGT]?)$", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MINIMUM_RATE = 1024
_STEM_CHARACTERS = 40


def parse_rate(text: str) -> int:
    """Return bytes per second for a limit such as `500K` or `10M` (powers of 1024).

    Raises ValueError for anything else and for less than 1024 bytes per second, the smallest step
    of rsync's own limit (rsync(1), --bwlimit).
    """
    match = _RATE.match(text.strip())
    if not match:
        raise ValueError("Write a rate such as 500K or 10M: bytes per second, powers of 1024.")
    rate = int(float(match["number"]) * _UNITS[match["unit"].upper()])
    if rate < _MINIMUM_RATE:
        raise ValueError("The smallest limit is 1K (1,024 bytes per second).")
    return rate


def id_stem(name: str) -> str:
    """Return the readable beginning of a job's id; what makes it unique comes behind it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_STEM_CHARACTERS].strip("-") or "job"


def _quoted(text: str) -> str:
    # A lone surrogate, which JSON can spell, has no bytes in UTF-8 and would break the message.
    return f"“{text[:80].encode('utf-8', 'backslashreplace').decode('utf-8')}”"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class JobOptions(_Part):
    """Options that both engines understand."""

    exclude: tuple[str, ...] = Field(default=(), max_length=MAX_PATTERNS)
    include: tuple[str, ...] = Field(default=(), max_length=MAX_PATTERNS)
    bandwidth_limit: str | None = None
    delete_extraneous: bool = False
    max_delete: int | None = Field(default=None, ge=0, le=MAX_DELETE)
    keep_replaced: bool = False
    extra_args: tuple[str, ...] = ()

    @field_validator("exclude", "include")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if sum(len(pattern) for pattern in patterns) > MAX_PATTERN_CHARACTERS:
            raise ValueError(
                f"All patterns together have at most {MAX_PATTERN_CHARACTERS:,} characters."
            )
        for pattern in patterns:
            escape = control_character(pattern)
            if not pattern.strip():
                raise ValueError("A pattern must not be empty.")
            if escape is not None:
                raise ValueError(f"A pattern must not contain the control character {escape}.")
            if pattern == "!" or pattern.startswith(("+ ", "- ")):
                # rsync reads these as filter rules even in --exclude (rsync(1), FILTER RULES).
                raise ValueError(f"“{pattern}” is a filter rule, not a pattern.")
        return patterns

    @field_validator("bandwidth_limit", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError("Write a rate such as 500K or 10M.")
        parse_rate(value)
        return value.strip().upper()

    @field_validator("keep_replaced")
    @classmethod
    def _no_keep_replaced(cls, value: bool) -> bool:
        if value:
            raise ValueError("This version cannot keep replaced files yet.")
        return value

    @field_validator("extra_args")
    @classmethod
    def _no_extra_args(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            raise ValueError(
                f"This version accepts no extra arguments: {_quoted(value[0])} is refused."
            )
        return value

    @property
    def bytes_per_second(self) -> int | None:
        """The bandwidth limit in bytes per second, or None."""
        return parse_rate(self.bandwidth_limit) if self.bandwidth_limit else None


class SourceDeletion(_Part):
    """Whether sources are deleted after a proven copy; not available in this version."""

    enabled: bool = False
    mode: Literal["verify_then_delete", "per_file"] = "verify_then_delete"

    @field_validator("enabled")
    @classmethod
    def _not_yet(cls, value: bool) -> bool:
        if value:
            raise ValueError("This version does not delete sources yet; nothing was saved.")
        return value


class RetryPolicy(_Part):
    """How often and how soon a failed attempt is tried again; delays in seconds."""

    max_attempts: int = Field(default=10, ge=1, le=100)
    first_delay_seconds: float = Field(default=1, gt=0, le=3600)
    max_delay_seconds: float = Field(default=60, gt=0, le=86400)


class JobDefinition(_Part):
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
    tags: tuple[str, ...] = Field(default=(), max_length=50)

    @field_validator("name", mode="after")
    @classmethod
    def _name(cls, value: str) -> str:
        name = value.strip()
        if not name:
            raise ValueError("Give the job a name.")
        if len(name) > 120:
            raise ValueError("A name has at most 120 characters.")
        escape = control_character(name)
        if escape is not None:
            raise ValueError(f"A name must not contain the control character {escape}.")
        return name

    @field_validator("engine")
    @classmethod
    def _engine(cls, value: str) -> str:
        if value not in ENGINES:
            raise ValueError(
                f"There is no engine {_quoted(value)}. Choose one of: {', '.join(ENGINES)}."
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

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            if not tag.strip() or len(tag) > 50 or control_character(tag) is not None:
                raise ValueError("A tag has 1 to 50 characters and no control characters.")
        return tags


def _remote_fault(location: str, known: dict[str, Any]) -> str | None:
    """Return why a location of its kind does not go with what is known of the job, or None."""
    engine, source = known.get("engine", "rsync"), known.get("source", "")
    if engine != "rsync":
        return (
            f"The engine {engine} cannot reach an rsync daemon. Choose the engine rsync, or an "
            "absolute local path."
        )
    if is_remote(source):
        return "rsync cannot copy from one daemon to another: one of the two must be a local path."
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
    return tuple(
        FieldFault(".".join(str(part) for part in details["loc"]) or "job", _message(details))
        for details in error.errors(include_url=False)[:MAX_FAULTS]
    )


def _message(details: ErrorDetails) -> str:
    raised = details.get("ctx", {}).get("error")
    if isinstance(raised, ValueError):
        return str(raised)
    return _MESSAGES.get(details["type"], details["msg"])
