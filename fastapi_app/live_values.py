"""The texts of a run's progress: rendered with a page, and patched in place while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi_app import formatting
from fastapi_app.status_views import PHASE_WORDS, STATUS_WORDS
from models.job_status import JobStatus
from models.progress import PhaseName, Progress


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
    sent: int | None = None
    """What travelled so far, in bytes, and at what time, in seconds since the epoch."""
    at: float | None = None
    spark: str = ""
    """The rates of the last minute, as the points of a polyline."""

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
            "sent": self.sent,
            "at": self.at,
            "spark": self.spark,
        }


def live_values(run_id: str | None, progress: Progress | None, status: JobStatus) -> LiveValues:
    """Return the texts of a run's progress; all unknown without one."""
    if progress is None:
        unknown = formatting.UNKNOWN
        return LiveValues(
            run_id=run_id or "",
            percent=None,
            percent_text=unknown,
            phase=STATUS_WORDS[status],
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
        sent=progress.bytes_sent,
        at=formatting.seconds_since_epoch(progress.updated_at),
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


def _phase_text(progress: Progress, status: JobStatus) -> str:
    if status is not JobStatus.RUNNING:
        return STATUS_WORDS[status]
    word = PHASE_WORDS.get(progress.phase, progress.phase)
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
