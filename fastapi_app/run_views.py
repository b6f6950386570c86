"""What pages show of runs: a row of a list, and the head of a run's own page."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi_app import amounts, formatting
from fastapi_app.amounts import Amount
from fastapi_app.failure_views import again_text
from fastapi_app.live_values import LiveValues, live_values
from fastapi_app.moments import Moment, moment
from fastapi_app.plot_views import Plot, throughput_plot
from fastapi_app.preview_views import planned_text
from fastapi_app.status_views import PHASE_WORDS, StatusView, run_status, status_view
from fastapi_app.timeline_views import PhaseBar, Timeline, timeline
from models.job_status import JobStatus
from models.run import Run
from models.run_spec import RunKind
from utils.timestamps import utc_timestamp


@dataclass(frozen=True)
class PhaseView:
    """One phase of a run in its page."""

    name: str
    word: str
    status: StatusView
    duration: Amount
    message: str | None
    bar: PhaseBar


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
    duration: Amount
    bytes_done: Amount
    bytes_sent: Amount
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
    timeline: Timeline
    started_seconds: float | None
    throughput: Plot | None
    notices: tuple[str, ...] = ()
    again_of: str | None = None
    is_dry_run: bool = False


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
        status=run_status(run),
        started=moment(run.started_at),
        queued=queued,
        duration=amounts.duration(formatting.time_taken(run)),
        # While it runs its figures change: the job's card shows them live, a list does not.
        bytes_done=amounts.size(run.bytes_done if run.is_over and not is_dry_run else None),
        bytes_sent=amounts.size(run.bytes_sent if run.is_over and not is_dry_run else None),
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
    line = timeline(run, utc_timestamp())
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
                word=PHASE_WORDS.get(phase.name, phase.name),
                status=status_view(phase.outcome or "running"),
                # An open one grows while it is looked at (timeline.js).
                duration=Amount(formatting.duration(bar.seconds))
                if bar.is_open
                else amounts.duration(bar.seconds),
                message=phase.message,
                bar=bar,
            )
            for phase, bar in zip(run.phases, line.bars, strict=True)
        ),
        timeline=line,
        started_seconds=formatting.seconds_since_epoch(run.started_at),
        throughput=throughput_plot(run),
        notices=run.notices,
        again_of=run.only_failed_of,
        is_dry_run=run.kind == RunKind.DRY_RUN,
    )
