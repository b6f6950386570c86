"""What a runner may write to a journal: one frozen dataclass for each kind of line.

A line of `journal.jsonl` is a JSON object with `t` (UTC), `event` (the kind) and the fields of
that kind; the first line, `run_started`, carries `format` besides. Standard library only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from models.errors import InvalidDocument
from models.progress import Progress
from utils.process_identity import ProcessIdentity

FORMAT = 1


@dataclass(frozen=True)
class RunStarted:
    """The runner lives and holds its lock."""

    kind: ClassVar[str] = "run_started"
    runner: ProcessIdentity
    format: int = FORMAT


@dataclass(frozen=True)
class PhaseStarted:
    """A phase began."""

    kind: ClassVar[str] = "phase_started"
    name: str
    attempt: int = 1


@dataclass(frozen=True)
class PhaseEnded:
    """A phase ended, with `completed`, `warning`, `failed` or `paused`."""

    kind: ClassVar[str] = "phase_ended"
    name: str
    outcome: str
    message: str | None = None


@dataclass(frozen=True)
class EngineStarted:
    """An engine process lives in a process group of its own, whose id is its pid."""

    kind: ClassVar[str] = "engine_started"
    engine: ProcessIdentity
    attempt: int


@dataclass(frozen=True)
class ProgressMade:
    """The run is so far."""

    kind: ClassVar[str] = "progress"
    progress: Progress


@dataclass(frozen=True)
class FileFailed:
    """One file could not be done in this attempt."""

    kind: ClassVar[str] = "file_failed"
    path: str
    reason: str
    attempt: int = 1


@dataclass(frozen=True)
class RetryScheduled:
    """The attempt failed for a passing reason; the next one begins after a delay."""

    kind: ClassVar[str] = "retry_scheduled"
    next_attempt: int
    max_attempts: int
    delay_seconds: float
    reason: str


@dataclass(frozen=True)
class RunEnded:
    """The last line: what also stands in result.json."""

    kind: ClassVar[str] = "run_ended"
    outcome: str
    attempts: int
    exit_code: int | None
    message: str | None
    files_failed: int
    files_deleted: int
    progress: Progress


Event = (
    RunStarted
    | PhaseStarted
    | PhaseEnded
    | EngineStarted
    | ProgressMade
    | FileFailed
    | RetryScheduled
    | RunEnded
)

_KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        RunStarted,
        PhaseStarted,
        PhaseEnded,
        EngineStarted,
        ProgressMade,
        FileFailed,
        RetryScheduled,
        RunEnded,
    )
}
_NESTED: dict[str, type[Progress] | type[ProcessIdentity]] = {
    "progress": Progress,
    "runner": ProcessIdentity,
    "engine": ProcessIdentity,
}


@dataclass(frozen=True)
class JournalLine:
    """One event with its time."""

    time: str
    event: Event


@dataclass(frozen=True)
class JournalPart:
    """Whole lines of a journal, and the offset in bytes at which the next one begins."""

    lines: tuple[JournalLine, ...]
    next_offset: int


@dataclass(frozen=True)
class RunProcesses:
    """Who performs a run, as far as its journal tells: the runner and the last engine process."""

    runner: ProcessIdentity | None
    engine: ProcessIdentity | None


def to_document(event: Event, time: str) -> dict[str, Any]:
    """Return the JSON object that stands for this event in a journal."""
    return {"t": time, "event": event.kind, **asdict(event)}


def from_document(document: object) -> JournalLine | None:
    """Read one line's object; None for a kind that this version does not know.

    Unknown fields are passed over, so that a newer runner can be followed by an older dashboard.
    Raises InvalidDocument when the line is not what the format promises.
    """
    if not isinstance(document, dict):
        raise InvalidDocument("journal", "a line is not a JSON object")
    kind = _KINDS.get(str(document.get("event")))
    if kind is None:
        return None
    try:
        event = _build(kind, document)
    except (TypeError, ValueError) as error:
        raise InvalidDocument("journal", f"{kind.kind}: {error}") from error
    return JournalLine(time=str(document.get("t", "")), event=event)


def _build(kind: type[Any], document: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name not in document:
            continue
        value = document[field.name]
        nested = _NESTED.get(field.name)
        if nested is not None:
            if not isinstance(value, dict):
                raise TypeError(f"{field.name} is not an object")
            value = _build(nested, value)
        values[field.name] = value
    return kind(**values)
