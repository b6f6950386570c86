"""What a runner may write to a journal: one named tuple for each kind of line.

A line of `journal.jsonl` is a JSON object with `t` (UTC), `event` (the kind) and the fields of
that kind; the first line, `run_started`, carries `format` besides. Standard library only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from models.errors import InvalidDocument
from models.progress import Progress
from utils.process_identity import ProcessIdentity

FORMAT = 1


class RunStarted(NamedTuple):
    """The runner lives and holds its lock."""

    runner: ProcessIdentity
    format: int = FORMAT


class PhaseStarted(NamedTuple):
    """A phase began."""

    name: str
    attempt: int = 1


class PhaseEnded(NamedTuple):
    """A phase ended, with `completed`, `warning`, `failed` or `paused`."""

    name: str
    outcome: str
    message: str | None = None
    duration_seconds: float | None = None
    """By a clock that nobody sets; None from a runner that did not measure it."""


class EngineStarted(NamedTuple):
    """An engine process lives in a process group of its own, whose id is its pid."""

    engine: ProcessIdentity
    attempt: int


VERIFICATION = "verification"


class HelperStarted(NamedTuple):
    """A process beside the transfer lives, in a group of its own: a scan, a verification."""

    engine: ProcessIdentity
    purpose: str


class ProgressMade(NamedTuple):
    """The run is so far."""

    progress: Progress


class FileFailed(NamedTuple):
    """One file could not be done in this attempt."""

    path: str
    reason: str
    attempt: int = 1
    name: str | None = None
    """The name from the top of the source as it is on disk (bytes that are not UTF-8 as lone
    surrogates, as os.fsdecode has them), so that the file can be tried again; None where the tool
    does not tell."""


class FileSkipped(NamedTuple):
    """One file that no engine copies: a FIFO, a socket or a device."""

    path: str
    kind: str


class Noticed(NamedTuple):
    """Something that a person should know and that does not end the run."""

    message: str


class RetryScheduled(NamedTuple):
    """The attempt failed for a passing reason; the next one begins after a delay."""

    next_attempt: int
    max_attempts: int
    delay_seconds: float
    reason: str


class RunEnded(NamedTuple):
    """The last line: what also stands in result.json."""

    outcome: str
    attempts: int
    exit_code: int | None
    message: str | None
    files_failed: int
    files_deleted: int
    progress: Progress
    files_special: int = 0
    """Of those that no engine copies."""
    sources_deleted: int = 0
    preview: dict[str, int] | None = None
    """What a dry run counted, by kind of change; sizes in bytes."""


Event = (
    RunStarted
    | PhaseStarted
    | PhaseEnded
    | EngineStarted
    | HelperStarted
    | ProgressMade
    | FileFailed
    | FileSkipped
    | Noticed
    | RetryScheduled
    | RunEnded
)

_KINDS: dict[str, type[Event]] = {
    "run_started": RunStarted,
    "phase_started": PhaseStarted,
    "phase_ended": PhaseEnded,
    "engine_started": EngineStarted,
    "helper_started": HelperStarted,
    "progress": ProgressMade,
    "file_failed": FileFailed,
    "file_skipped": FileSkipped,
    "noticed": Noticed,
    "retry_scheduled": RetryScheduled,
    "run_ended": RunEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_NESTED: dict[str, type[Progress] | type[ProcessIdentity]] = {
    "progress": Progress,
    "runner": ProcessIdentity,
    "engine": ProcessIdentity,
}


class JournalLine(NamedTuple):
    """One event with its time."""

    time: str
    event: Event


class JournalPart(NamedTuple):
    """Whole lines of a journal, and the offset in bytes at which the next one begins."""

    lines: tuple[JournalLine, ...]
    next_offset: int
    damaged: int = 0
    """How many lines could not be read and were passed over."""
    has_more: bool = False
    """Whether there was more to read at once than one part holds."""


class RunLook(NamedTuple):
    """What a look at a run's directory found: whether its lock is held, looked at before its
    journal was read, and what is new there."""

    is_held: bool
    part: JournalPart


class RunProcesses(NamedTuple):
    """Who performs a run, as far as its journal tells: the runner, and the processes that it
    started, of which the newest may live."""

    runner: ProcessIdentity | None
    engines: tuple[ProcessIdentity, ...] = ()


def to_document(event: Event, time: str) -> dict[str, Any]:
    """Return the JSON object that stands for this event in a journal."""
    values = {
        name: value._asdict() if isinstance(value, (Progress, ProcessIdentity)) else value
        for name, value in event._asdict().items()
    }
    return {"t": time, "event": _NAMES[type(event)], **values}


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
        raise InvalidDocument("journal", f"{_NAMES[kind]}: {error}") from error
    return JournalLine(time=str(document.get("t", "")), event=event)


def _build(kind: type[Any], document: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for name in kind._fields:
        if name not in document:
            continue
        value = document[name]
        nested = _NESTED.get(name)
        if nested is not None:
            if not isinstance(value, dict):
                raise TypeError(f"{name} is not an object")
            value = _build(nested, value)
        values[name] = value
    return kind(**values)
