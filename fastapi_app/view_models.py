"""What pages and live updates show, as typed values: the only thing that templates read.

One card serves the page, the HTMX answer and the WebSocket's push (`partials/_job_card.html`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi_app import formatting
from fastapi_app.failure_views import again_text
from fastapi_app.preview_views import dry_run_status, planned_text
from models.job_state import JobRecord, JobState
from models.job_status import ACTIVE_STATUSES, RESUMABLE_STATUSES, JobStatus
from models.progress import PhaseName, Progress, RunOutcome
from models.run import Run
from models.run_spec import RunKind

STRIP_LENGTH = 30
"""How many past runs the strip of a card shows."""
_STRIP_HEIGHTS = 8
CARD_NOTICES = 2
"""How many notices of its last run a card shows; the run's own page shows them all."""

_WORDS = {
    "pending": "Not run yet",
    "queued": "Queued",
    "running": "Running",
    "stopping": "Stopping",
    "paused": "Paused",
    "completed": "Completed",
    "warning": "Completed with warnings",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
_ICONS = {
    "pending": "circle",
    "queued": "clock",
    "running": "circle-play",
    "stopping": "loader-circle",
    "paused": "circle-pause",
    "completed": "circle-check",
    "warning": "triangle-alert",
    "failed": "circle-x",
    "interrupted": "unplug",
}
_PHASES: dict[str, str] = {
    PhaseName.PREFLIGHT: "Checking",
    PhaseName.DRY_RUN: "Comparing",
    PhaseName.TRANSFER: "Copying",
    PhaseName.SETTLE: "Writing to disk",
    PhaseName.VERIFY: "Verifying",
    PhaseName.DELETE_SOURCE: "Deleting sources",
}


@dataclass(frozen=True)
class StatusView:
    """A status as shape, word and colour: `key` is the CSS modifier, `icon` a sprite symbol."""

    key: str
    word: str
    icon: str


@dataclass(frozen=True)
class Moment:
    """A time: `iso` for the machine, `exact` on hover, `ago` at a glance."""

    iso: str
    exact: str
    ago: str


@dataclass(frozen=True)
class StripBar:
    """One past run in a card's strip: `height` from 1 to 8 by its duration."""

    run_id: str
    key: str
    height: int
    title: str


@dataclass(frozen=True)
class LiveValues:
    """The texts that change while a run goes on: patched in place, or rendered with the card."""

    run_id: str
    percent: float | None
    percent_text: str
    phase: str
    rate: str
    eta: str
    bytes: str
    files: str
    current_file: str

    def patch(self) -> dict[str, str | float | None]:
        """Return what the WebSocket's `set` carries (frontend.md)."""
        return {
            "run_id": self.run_id,
            "percent": self.percent,
            "percent_text": self.percent_text,
            "phase": self.phase,
            "rate": self.rate,
            "eta": self.eta,
            "bytes": self.bytes,
            "files": self.files,
            "current_file": self.current_file,
        }


@dataclass(frozen=True)
class JobCard:
    """A job in a list, answering five questions at a glance (frontend.md, The look)."""

    id: str
    name: str
    engine: str
    version: int
    source: str
    source_short: str
    destination: str
    destination_short: str
    status: StatusView
    is_active: bool
    message: str | None
    live: LiveValues
    run_id: str | None
    last_good: Moment | None
    strip: tuple[StripBar, ...]
    primary_action: str | None
    """`start` or `stop`: the one likely thing to do; None while stopping."""
    primary_label: str
    can_discard: bool
    can_edit: bool
    can_delete: bool
    notices: tuple[str, ...] = ()
    """What a person should know of the last run beside its outcome: the first few."""


@dataclass(frozen=True)
class PhaseView:
    """One phase of a run in its page."""

    name: str
    word: str
    status: StatusView
    duration: str
    message: str | None


@dataclass(frozen=True)
class RunRow:
    """One run in a list of runs."""

    id: str
    job_id: str
    job_name: str
    engine: str
    status: StatusView
    started: Moment | None
    queued: Moment
    duration: str
    bytes_done: str
    bytes_sent: str
    files: str
    message: str | None
    again: str | None = None
    """What a run over failed files is; None for one over everything."""
    planned: str | None = None
    """What a dry run counted; None for a transfer."""


@dataclass(frozen=True)
class RunDetail:
    """The head of a run's own page: figures, phases, notices."""

    row: RunRow
    is_active: bool
    can_stop: bool
    live: LiveValues
    source: str
    destination: str
    ended: Moment | None
    attempts: int
    exit_code: int | None
    files_done: str
    files_skipped: str
    files_failed: str
    phases: tuple[PhaseView, ...]
    notices: tuple[str, ...] = ()
    again_of: str | None = None
    is_dry_run: bool = False


@dataclass(frozen=True)
class StatusCount:
    """How many jobs have a status, for the dashboard's summary line."""

    status: StatusView
    count: int


def status_view(status: str) -> StatusView:
    """Return how a status, or the outcome `warning`, is shown."""
    return StatusView(key=status, word=_WORDS[status], icon=_ICONS[status])


def moment(text: str | None) -> Moment | None:
    """Return a stored timestamp for display, or None."""
    if not text:
        return None
    return Moment(iso=text, exact=formatting.exact_time(text), ago=formatting.ago(text))


def job_card(record: JobRecord, recent: Sequence[Run]) -> JobCard:
    """Return the card of a job with its newest runs, oldest first."""
    job, state = record.job, record.state
    action, label = _primary_action(state.status)
    at_rest = state.status not in ACTIVE_STATUSES
    return JobCard(
        id=job.id,
        name=job.name,
        engine=job.engine,
        version=job.version,
        source=job.source,
        source_short=formatting.short_path(job.source),
        destination=job.destination,
        destination_short=formatting.short_path(job.destination),
        status=_job_status(state),
        is_active=not at_rest,
        message=state.message,
        live=live_values(state.run_id, state.progress, state.status),
        run_id=state.run_id,
        last_good=moment(state.last_good_at),
        strip=_strip([run for run in recent if run.is_over][-STRIP_LENGTH:]),
        primary_action=action,
        primary_label=label,
        can_discard=state.status in RESUMABLE_STATUSES,
        can_edit=True,
        can_delete=at_rest,
        notices=next((run.notices for run in recent if run.id == state.run_id), ())[:CARD_NOTICES],
    )


def live_values(run_id: str | None, progress: Progress | None, status: JobStatus) -> LiveValues:
    """Return the texts of a run's progress; all unknown without one."""
    if progress is None:
        unknown = formatting.UNKNOWN
        return LiveValues(
            run_id=run_id or "",
            percent=None,
            percent_text=unknown,
            phase=_WORDS[status],
            rate=unknown,
            eta=unknown,
            bytes=unknown,
            files=unknown,
            current_file="",
        )
    if progress.phase == PhaseName.DRY_RUN:
        return _live_dry_run(run_id, progress, status)
    return LiveValues(
        run_id=run_id or "",
        percent=progress.percent,
        percent_text=formatting.percent(progress.percent),
        phase=_phase_text(progress, status),
        rate=formatting.rate(progress.bytes_per_second),
        eta=_eta_text(progress),
        bytes=_of(formatting.size(progress.bytes_done), progress.bytes_total, formatting.size),
        files=_of(formatting.count(progress.files_done), progress.files_total, formatting.count),
        current_file=formatting.short_path(progress.current_file or "", 64),
    )


def _live_dry_run(run_id: str | None, progress: Progress, status: JobStatus) -> LiveValues:
    """Files are looked at, and nothing moves."""
    return LiveValues(
        run_id=run_id or "",
        percent=progress.percent,
        percent_text=formatting.percent(progress.percent),
        phase=_phase_text(progress, status),
        rate="",
        eta="",
        bytes="",
        files=_of(formatting.count(progress.files_done), progress.files_total, formatting.count),
        current_file=formatting.short_path(progress.current_file or "", 64),
    )


def run_row(run: Run) -> RunRow:
    """Return a run for a list."""
    queued = moment(run.queued_at)
    assert queued is not None
    is_dry_run = run.kind == RunKind.DRY_RUN
    return RunRow(
        id=run.id,
        job_id=run.job_id,
        job_name=run.job_name,
        engine=run.engine,
        status=_run_status(run),
        started=moment(run.started_at),
        queued=queued,
        duration=formatting.duration(formatting.time_taken(run)),
        # While it runs its figures change: the job's card shows them live, a list does not.
        bytes_done=formatting.size(run.bytes_done if run.is_over and not is_dry_run else None),
        bytes_sent=formatting.size(run.bytes_sent if run.is_over and not is_dry_run else None),
        files=formatting.count(run.files_done if run.is_over else None),
        message=run.message,
        again=again_text(run),
        planned=planned_text(run),
    )


def run_title(run: Run) -> str:
    """Return the title of a run's page."""
    return f"{'Dry run' if run.kind == RunKind.DRY_RUN else 'Run'} of {run.job_name}"


def run_detail(run: Run) -> RunDetail:
    """Return a run for its own page."""
    return RunDetail(
        row=run_row(run),
        is_active=not run.is_over,
        can_stop=run.status in {JobStatus.QUEUED, JobStatus.RUNNING},
        live=live_values(run.id, run.progress, run.status),
        source=run.source,
        destination=run.destination,
        ended=moment(run.ended_at),
        attempts=run.attempts,
        exit_code=run.exit_code,
        files_done=formatting.count(run.files_done),
        files_skipped=formatting.count(run.files_skipped),
        files_failed=formatting.count(run.files_failed),
        phases=tuple(
            PhaseView(
                name=phase.name,
                word=_PHASES.get(phase.name, phase.name),
                status=status_view(phase.outcome or "running"),
                duration=formatting.duration(formatting.time_taken(phase)),
                message=phase.message,
            )
            for phase in run.phases
        ),
        notices=run.notices,
        again_of=run.only_failed_of,
        is_dry_run=run.kind == RunKind.DRY_RUN,
    )


def status_counts(records: Mapping[str, JobRecord]) -> tuple[StatusCount, ...]:
    """Return how many jobs have each status, in the order of urgency, without the empty ones."""
    order = (
        JobStatus.FAILED,
        JobStatus.INTERRUPTED,
        JobStatus.RUNNING,
        JobStatus.STOPPING,
        JobStatus.QUEUED,
        JobStatus.PAUSED,
        JobStatus.COMPLETED,
        JobStatus.PENDING,
    )
    statuses = [record.state.status for record in records.values()]
    return tuple(
        StatusCount(status_view(status), statuses.count(status))
        for status in order
        if status in statuses
    )


def _job_status(state: JobState) -> StatusView:
    if state.is_dry_run:
        return StatusView(*dry_run_status(state.status))
    warned = state.status is JobStatus.COMPLETED and state.message is not None
    return status_view("warning" if warned else state.status)


def _run_status(run: Run) -> StatusView:
    status = "warning" if run.outcome is RunOutcome.WARNING else run.status
    if run.kind == RunKind.DRY_RUN:
        return StatusView(*dry_run_status(status))
    return status_view(status)


def _primary_action(status: JobStatus) -> tuple[str | None, str]:
    if status in {JobStatus.QUEUED, JobStatus.RUNNING}:
        return "stop", "Stop"
    if status is JobStatus.STOPPING:
        return None, "Stopping"
    if status in RESUMABLE_STATUSES:
        return "start", "Resume"
    return "start", "Run again" if status is JobStatus.COMPLETED else "Start"


def _phase_text(progress: Progress, status: JobStatus) -> str:
    if status is not JobStatus.RUNNING:
        return _WORDS[status]
    word = _PHASES.get(progress.phase, progress.phase)
    if progress.phase_percent is not None:
        return f"{word} {formatting.percent(progress.phase_percent)}"
    if progress.phase_files is not None:
        return f"{word} {formatting.count(progress.phase_files)} files"
    return word


def _eta_text(progress: Progress) -> str:
    if progress.eta_seconds is None:
        return formatting.UNKNOWN
    return f"{formatting.duration(progress.eta_seconds)} left"


def _of(done: str, total: int | None, write: object) -> str:
    if total is None:
        return done
    assert callable(write)
    return f"{done} of {write(total)}"


def _strip(runs: Sequence[Run]) -> tuple[StripBar, ...]:
    durations = [formatting.time_taken(run) or 0.0 for run in runs]
    longest = max(durations, default=0.0)
    return tuple(
        StripBar(
            run_id=run.id,
            key=_run_status(run).key,
            height=1 + round((_STRIP_HEIGHTS - 1) * (seconds / longest if longest else 0)),
            title=f"{_run_status(run).word}, {formatting.exact_time(run.started_at)}, "
            f"{formatting.duration(seconds)}",
        )
        for run, seconds in zip(runs, durations, strict=True)
    )
