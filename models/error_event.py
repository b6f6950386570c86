"""Faults and the events that the error log makes of them.

A Fault is what a component reports; an ErrorEvent is its record, which counts repetitions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import TypeAlias

MAX_MESSAGE = 2_000
"""How many characters of a message are kept; its beginning says the most."""
MAX_NAME = 200
"""How many characters of a type, an id or a name are kept."""
MAX_STACK_TRACE = 20_000
"""How many characters of a stack trace are kept: the last ones, where it was raised."""
MAX_DETAILS = 8_000
"""How many characters of JSON the details may have; larger ones are left out, and that is said."""
_MAX_DEPTH = 8
_LARGEST_INTEGER = 2**63

JsonValue: TypeAlias = (
    str | int | float | bool | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
)


class Severity(StrEnum):
    """How bad it is. `high` and `critical` are shown on every page until they are resolved."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Component(StrEnum):
    """Which part of Longshore met the fault."""

    JOB_MANAGER = "job_manager"
    BACKGROUND_MONITOR = "background_monitor"
    WEBSOCKET = "websocket"
    STORAGE = "storage"
    ENGINE = "engine"
    EXECUTOR = "executor"
    UI = "ui"
    API = "api"
    NOTIFICATIONS = "notifications"


@dataclass(frozen=True)
class Fault:
    """Something that went wrong, as a component reports it.

    Every text is cut to its limit and made printable here, so that neither the database nor JSON
    can stumble over it later: a fault that cannot be recorded would be a silent one.
    """

    severity: Severity
    component: Component
    error_type: str
    """A stable word for the kind of fault, such as `JobFileDamaged`."""
    message: str
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    job_id: str | None = None
    job_name: str | None = None
    run_id: str | None = None
    stack_trace: str | None = None

    def __post_init__(self) -> None:
        kept: dict[str, object] = {
            "message": printable(self.message)[:MAX_MESSAGE],
            "details": _kept_details(self.details),
        }
        for name in ("error_type", "job_id", "job_name", "run_id"):
            text = getattr(self, name)
            kept[name] = text and kept_name(text)
        if self.stack_trace is not None:
            kept["stack_trace"] = printable(self.stack_trace)[-MAX_STACK_TRACE:]
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @property
    def identity(self) -> tuple[str, str, str | None, str]:
        """What makes two faults the same one, met again."""
        return (self.component, self.error_type, self.job_id, self.message)


@dataclass(frozen=True)
class ErrorEvent:
    """One entry of the error log (contracts.md). Times are UTC, ISO 8601.

    `timestamp` is when the fault was first met, `last_seen` when it was last met, `count` how
    often; severity, details, names and stack trace are those of the last time.
    """

    id: str
    timestamp: str
    last_seen: str
    count: int
    severity: Severity
    component: Component
    error_type: str
    message: str
    details: Mapping[str, JsonValue]
    job_id: str | None
    job_name: str | None
    run_id: str | None
    stack_trace: str | None
    resolved: bool
    resolved_at: str | None


@dataclass(frozen=True)
class ErrorPage:
    """A page of the error log, newest first; `next_cursor` is None on the last page."""

    items: tuple[ErrorEvent, ...]
    total: int
    next_cursor: str | None = None


def printable(text: str) -> str:
    """Return a text that has bytes in UTF-8: a lone surrogate, the trace of a file name that has
    none, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def kept_name(text: str) -> str:
    """Return a type, an id or a name as the error log keeps it."""
    return printable(text)[:MAX_NAME]


def _kept_details(details: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    kept = {printable(str(key)): _plain(value, 1) for key, value in details.items()}
    length = len(json.dumps(kept))
    return kept if length <= MAX_DETAILS else {"left_out": f"{length} characters of details"}


def _plain(value: JsonValue, depth: int) -> JsonValue:
    """Return a copy of a value that every JSON writer takes; what it cannot take becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < _LARGEST_INTEGER:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {printable(str(key)): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str) and depth < _MAX_DEPTH:
        return [_plain(inner, depth + 1) for inner in value]
    return printable(hex(value) if isinstance(value, int) else str(value))
