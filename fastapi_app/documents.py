"""Jobs, runs and errors as the JSON of contracts.md; the API and the command line both use it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.overdue import OverdueJobs
from fastapi_app.formatting import time_taken
from models.error_event import ErrorEvent
from models.job_state import JobRecord, JobState
from models.progress import Progress
from models.run import Run
from models.run_spec import RunKind


def job_document(record: JobRecord, overdue: OverdueJobs) -> dict[str, Any]:
    """Return a job with its state, and whether it has had no success for too long."""
    return {
        **record.job.model_dump(mode="json"),
        "state": _state_document(record.state),
        "overdue": record.job.id in overdue,
        "last_success_at": overdue.last_success_of(record),
    }


def run_document(run: Run) -> dict[str, Any]:
    """Return a run with its phases and its outcome."""
    return {
        **asdict(run),
        "duration_seconds": time_taken(run),
        "phases": [
            {**asdict(phase), "duration_seconds": time_taken(phase)} for phase in run.phases
        ],
        "progress": _progress_document(run.progress),
    }


def error_document(event: ErrorEvent) -> dict[str, Any]:
    """Return an event of the error log."""
    return asdict(event)


def _state_document(state: JobState) -> dict[str, Any]:
    return {
        "status": state.status,
        "run_kind": RunKind.DRY_RUN if state.is_dry_run else RunKind.TRANSFER,
        "version": state.version,
        "run_id": state.run_id,
        "message": state.message,
        "progress": _progress_document(state.progress),
        "last_good_at": state.last_good_at,
    }


def _progress_document(progress: Progress | None) -> dict[str, Any] | None:
    return progress._asdict() if progress is not None else None
