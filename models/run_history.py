"""How journal events change a Run: a pure fold, so that a journal read again gives the same run.

Recovery relies on that: it folds the whole journal of an unfinished run from its first line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from models.events import (
    VERIFICATION,
    EngineStarted,
    FileFailed,
    FileSkipped,
    HelperStarted,
    JournalLine,
    Noticed,
    PhaseEnded,
    PhaseStarted,
    ProgressMade,
    RetryScheduled,
    RunEnded,
    RunStarted,
)
from models.progress import Progress, RunOutcome
from models.run import MAX_ATTEMPT_TIMES, MAX_NOTICES, Phase, Run
from models.transitions import STATUS_OF_OUTCOME


def apply_lines(run: Run, lines: Iterable[JournalLine]) -> Run:
    """Return the run after these lines of its journal, in their order."""
    for line in lines:
        run = _apply(run, line)
    return run


def close_run(run: Run, outcome: RunOutcome, *, ended_at: str, message: str | None) -> Run:
    """Return the run as ended, with its open phases closed by the same outcome."""
    return replace(
        run,
        status=STATUS_OF_OUTCOME[outcome],
        outcome=outcome,
        ended_at=ended_at,
        message=message,
        phases=tuple(
            phase if phase.ended_at else replace(phase, ended_at=ended_at, outcome=outcome)
            for phase in run.phases
        ),
    )


def _apply(run: Run, line: JournalLine) -> Run:
    match line.event:
        case RunStarted():
            return replace(run, started_at=line.time)
        case PhaseStarted(name=name, attempt=attempt):
            phases = (*run.phases, Phase(name=name, started_at=line.time))
            return replace(run, phases=phases, attempts=max(run.attempts, attempt), message=None)
        case PhaseEnded() as ended_phase:
            return replace(run, phases=_end_phase(run.phases, ended_phase, line.time))
        case EngineStarted(attempt=attempt):
            # A new attempt: neither the wait before it nor the failures of the last one count.
            attempts = max(run.attempts, attempt)
            times = (*run.attempt_times, line.time)[:MAX_ATTEMPT_TIMES]
            return replace(
                run, attempts=attempts, attempt_times=times, message=None, files_failed=0
            )
        case HelperStarted(purpose=purpose):
            # A verification that is tried again does not wait any more.
            return replace(run, message=None) if purpose == VERIFICATION else run
        case ProgressMade(progress=progress):
            return with_progress(run, progress)
        case FileFailed():
            return replace(run, files_failed=run.files_failed + 1)
        case FileSkipped():
            return replace(run, files_special=run.files_special + 1)
        case Noticed(message=message):
            return replace(run, notices=(*run.notices, message)[:MAX_NOTICES])
        case RetryScheduled() as retry:
            return replace(run, message=_retry_message(retry))
        case RunEnded() as ended:
            return _end_run(run, ended, line.time)


def _retry_message(retry: RetryScheduled) -> str:
    return (
        f"{retry.reason} Attempt {retry.next_attempt} of {retry.max_attempts}, "
        f"next in {retry.delay_seconds:.0f} s."
    )


def with_progress(run: Run, progress: Progress) -> Run:
    """Return the run with this progress and the counters that follow from it."""
    return replace(
        run,
        progress=progress,
        bytes_done=progress.bytes_done,
        bytes_sent=progress.bytes_sent,
        files_done=progress.files_done,
        files_skipped=progress.files_skipped,
    )


def _end_phase(phases: tuple[Phase, ...], ended: PhaseEnded, time: str) -> tuple[Phase, ...]:
    return tuple(
        replace(
            phase,
            ended_at=time,
            outcome=ended.outcome,
            message=ended.message,
            duration_seconds=ended.duration_seconds,
        )
        if phase.name == ended.name and phase.ended_at is None
        else phase
        for phase in phases
    )


def _end_run(run: Run, ended: RunEnded, time: str) -> Run:
    run = replace(
        with_progress(run, ended.progress),
        attempts=ended.attempts,
        exit_code=ended.exit_code,
        files_failed=ended.files_failed,
        files_deleted=ended.files_deleted,
        files_special=ended.files_special,
        sources_deleted=ended.sources_deleted,
        preview=ended.preview,
    )
    outcome, message = _outcome_of(ended)
    return close_run(run, outcome, ended_at=time, message=message)


def _outcome_of(ended: RunEnded) -> tuple[RunOutcome, str | None]:
    try:
        return RunOutcome(ended.outcome), ended.message
    except ValueError:
        # A newer runner's word, or a damaged line: never taken for a success.
        return RunOutcome.FAILED, f"The run ended as {ended.outcome!r}, which is not known here."
