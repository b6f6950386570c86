"""What a happening is: from ended runs and errors to what the bell and its messages show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.failed_files import job_end
from core.run_faults import OF_RUNS
from fastapi_app import formatting
from fastapi_app.moments import Moment, moment
from models.error_event import ErrorEvent, Severity
from models.job_state import JobRecord
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from storage.job_faults import DAMAGED, EDIT_INVALID, RECOVERED, STATE_RECOVERED

MAX_DETAIL = 300
"""How many characters of a message are shown; the run's page and the error log have all of it."""


class Kind(StrEnum):
    """What happened."""

    FAILED = "failed"
    INTERRUPTED = "interrupted"
    WARNING = "warning"
    ERROR = "error"
    DAMAGED = "damaged"
    RECOVERED = "recovered"
    MENDED = "mended"


@dataclass(frozen=True)
class Happening:
    """One thing that came to pass; `key` names it, also after a restart."""

    key: str
    kind: Kind
    time: str
    detail: str
    job_id: str | None = None
    job_name: str | None = None
    run_id: str | None = None
    is_dry_run: bool = False


@dataclass(frozen=True)
class HappeningView:
    """One happening behind the bell, and as a message when it is new."""

    key: str
    kind: Kind
    tone: str
    icon: str
    title: str
    detail: str
    about: str
    """The job; a newer message about the same one takes the place of the older."""
    seen: Moment | None
    url: str | None
    is_alert: bool
    goes_by_itself: bool


@dataclass(frozen=True)
class BellView:
    """The happenings, newest first."""

    items: tuple[HappeningView, ...]


_OF_OUTCOME = {
    RunOutcome.FAILED: Kind.FAILED,
    RunOutcome.INTERRUPTED: Kind.INTERRUPTED,
    RunOutcome.WARNING: Kind.WARNING,
}
_OF_FILES = frozenset({DAMAGED, EDIT_INVALID, RECOVERED, STATE_RECOVERED})
_OF_SEVERITY = {
    Severity.CRITICAL: Kind.ERROR,
    Severity.HIGH: Kind.ERROR,
    Severity.MEDIUM: Kind.WARNING,
}
_LOOKS = {
    Kind.FAILED: ("failed", "circle-x"),
    Kind.INTERRUPTED: ("interrupted", "unplug"),
    Kind.WARNING: ("warning", "triangle-alert"),
    Kind.ERROR: ("failed", "circle-x"),
    Kind.DAMAGED: ("failed", "file-text"),
    Kind.RECOVERED: ("completed", "circle-check"),
    Kind.MENDED: ("completed", "circle-check"),
}
_ALERTS = frozenset({Kind.FAILED, Kind.ERROR, Kind.DAMAGED})
_GOOD_NEWS = frozenset({Kind.RECOVERED, Kind.MENDED})
_TITLES = {
    Kind.FAILED: "{name} failed",
    Kind.INTERRUPTED: "{name} was interrupted",
    Kind.WARNING: "{name} completed with warnings",
    Kind.RECOVERED: "{name} is good again",
    Kind.MENDED: "The file of {name} is whole again",
}


def happening_of_run(run: Run, *, was_bad: bool) -> Happening | None:
    """Return what an ended run is worth telling; None for one under way, one that a person stopped,
    and one that is good as the one before it was."""
    if run.outcome is None or run.ended_at is None:
        return None
    kind = _OF_OUTCOME.get(run.outcome)
    detail = run.message or ""
    is_dry_run = run.kind == RunKind.DRY_RUN
    if run.outcome is RunOutcome.COMPLETED and was_bad and not is_dry_run:
        if not job_end(run, run.outcome).is_good:
            return None
        kind, detail = Kind.RECOVERED, "It had failed or was cut off; this run completed."
    if kind is None:
        return None
    return Happening(
        key=f"run-{run.id}",
        kind=kind,
        time=run.ended_at,
        detail=formatting.shortened(detail, MAX_DETAIL),
        job_id=run.job_id,
        job_name=run.job_name,
        run_id=run.id,
        is_dry_run=is_dry_run,
    )


def was_bad(earlier: Sequence[Run]) -> bool:
    """Whether a job's earlier runs, oldest first, left it failed or cut off.

    What a person stopped tells nothing, nor does a run over failed files while others wait.
    """
    for run in reversed(earlier):
        if run.kind != RunKind.TRANSFER or run.outcome is None:
            continue
        if run.outcome in {RunOutcome.FAILED, RunOutcome.INTERRUPTED}:
            return True
        if job_end(run, run.outcome).is_good:
            return False
    return False


def happening_of_event(event: ErrorEvent) -> Happening | None:
    """Return what an error is worth telling; None when it is of low severity, and of a run, whose
    own end is told."""
    if event.error_type in OF_RUNS:
        return None
    kind = Kind.DAMAGED if event.error_type in _OF_FILES else _OF_SEVERITY.get(event.severity)
    if kind is None:
        return None
    return Happening(
        key=_key("error", event),
        kind=kind,
        time=event.timestamp,
        detail=formatting.shortened(event.message, MAX_DETAIL),
        job_id=event.job_id,
        job_name=event.job_name,
    )


def mended(event: ErrorEvent) -> Happening:
    """Return what is told when a damaged file is whole again."""
    return Happening(
        key=_key("mended", event),
        kind=Kind.MENDED,
        time=event.resolved_at or event.last_seen,
        detail="It was damaged; its job can be used again.",
        job_id=event.job_id,
        job_name=event.job_name,
    )


def bell_view(
    happenings: Iterable[Happening], jobs: Mapping[str, JobRecord], url: Callable[..., str]
) -> BellView:
    """Return happenings, oldest first, as the bell shows them; jobs by their present names."""
    return BellView(tuple(_view(one, jobs, url) for one in reversed(tuple(happenings))))


def _view(
    happening: Happening, jobs: Mapping[str, JobRecord], url: Callable[..., str]
) -> HappeningView:
    record = jobs.get(happening.job_id or "")
    name = record.job.name if record else happening.job_name or happening.job_id
    tone, icon = _LOOKS[happening.kind]
    target = None
    if record is not None:
        job_url = url("job_page", job_id=record.job.id)
        target = url("run_page", run_id=happening.run_id) if happening.run_id else job_url
    return HappeningView(
        key=happening.key,
        kind=happening.kind,
        tone=tone,
        icon=icon,
        title=_title(happening, name),
        detail=happening.detail,
        about=happening.job_id or "",
        seen=moment(happening.time),
        url=target,
        is_alert=happening.kind in _ALERTS,
        goes_by_itself=happening.kind in _GOOD_NEWS,
    )


def _title(happening: Happening, name: str | None) -> str:
    if happening.run_id is not None or happening.kind is Kind.MENDED:
        subject = f"The dry run of {name}" if happening.is_dry_run else name
        return _TITLES[happening.kind].format(name=subject)
    if happening.kind is Kind.DAMAGED:
        return f"A file of {name} is damaged" if name else "A file is damaged"
    what = "A warning" if happening.kind is Kind.WARNING else "An error"
    return f"{what} about {name}" if name else what


def _key(what: str, event: ErrorEvent) -> str:
    # With its time: the numbers of another data directory at this address begin at 1 as well.
    moment_digits = "".join(filter(str.isdigit, event.timestamp))
    return f"{what}-{event.id}-{moment_digits}"
