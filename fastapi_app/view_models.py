"""What a card of a job shows, as typed values: the only thing that its template reads.

One card serves the page, the HTMX answer and the WebSocket's push (`partials/_job_card.html`). What
is shown of runs is in `fastapi_app/run_views.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.overdue import OverdueJob
from fastapi_app import formatting
from fastapi_app.live_values import LiveValues, live_values
from fastapi_app.moments import Moment, moment
from fastapi_app.status_views import StatusView, job_status, outline_status
from models.job_state import JobRecord
from models.job_status import ACTIVE_STATUSES, RESUMABLE_STATUSES, JobStatus
from models.run import RunOutline
from utils.durations import in_words

STRIP_LENGTH = 30
"""How many past runs the strip of a card shows."""
_STRIP_HEIGHTS = 8
CARD_NOTICES = 2
"""How many notices of its last run a card shows; the run's own page shows them all."""


@dataclass(frozen=True)
class StripBar:
    """One past run in a card's strip: `height` from 1 to 8 by its duration."""

    run: RunOutline
    key: str
    height: int

    @property
    def run_id(self) -> str:
        """Which run it was."""
        return self.run.id

    @property
    def title(self) -> str:
        """Say what is seen. Not worked out before somebody asks: lists of jobs do not."""
        started = formatting.exact_time(self.run.started_at)
        took = formatting.duration(formatting.time_taken(self.run) or 0.0)
        return f"{outline_status(self.run).word}, {started}, {took}"


@dataclass(frozen=True)
class OverdueView:
    """That a job has had no success for too long; `exact` says since when."""

    word: str
    exact: str


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
    overdue: OverdueView | None = None
    has_history: bool = True
    """Whether its last runs could be read."""


def job_card(
    record: JobRecord,
    recent: Sequence[RunOutline] | None,
    *,
    spark: str = "",
    overdue: OverdueJob | None = None,
    last_good_at: str | None = None,
) -> JobCard:
    """Return the card of a job with its newest runs, oldest first; None when these cannot be read
    now."""
    has_history, recent = recent is not None, recent or ()
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
        status=job_status(state),
        is_active=not at_rest,
        message=state.message,
        live=replace(live_values(state.run_id, state.progress, state.status), spark=spark),
        run_id=state.run_id,
        last_good=moment(state.last_good_at or last_good_at),
        strip=_strip([run for run in recent if run.is_over][-STRIP_LENGTH:]),
        primary_action=action,
        primary_label=label,
        can_discard=state.status in RESUMABLE_STATUSES,
        can_edit=True,
        can_delete=at_rest,
        notices=next((run.notices for run in recent if run.id == state.run_id), ())[:CARD_NOTICES],
        overdue=_overdue_view(overdue, is_active=not at_rest) if overdue else None,
        has_history=has_history,
    )


def _overdue_view(overdue: OverdueJob, *, is_active: bool) -> OverdueView:
    within = in_words(overdue.success_within_seconds)
    since = formatting.exact_time(overdue.since)
    return OverdueView(
        word="Overdue, a run is under way" if is_active else "Overdue",
        exact=f"A success is expected within {within}: overdue since {since}",
    )


def _primary_action(status: JobStatus) -> tuple[str | None, str]:
    if status in {JobStatus.QUEUED, JobStatus.RUNNING}:
        return "stop", "Stop"
    if status is JobStatus.STOPPING:
        return None, "Stopping"
    if status in RESUMABLE_STATUSES:
        return "start", "Resume"
    return "start", "Run again" if status is JobStatus.COMPLETED else "Start"


def _strip(runs: Sequence[RunOutline]) -> tuple[StripBar, ...]:
    durations = [formatting.time_taken(run) or 0.0 for run in runs]
    longest = max(durations, default=0.0)
    return tuple(
        StripBar(
            run=run,
            key=outline_status(run).key,
            height=1 + round((_STRIP_HEIGHTS - 1) * (seconds / longest if longest else 0)),
        )
        for run, seconds in zip(runs, durations, strict=True)
    )
