"""Failed runs that the error log has no word of: the dashboard was killed right after it had kept
their ends, and what a job is now still says them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from core.missing_tools import TOOL_MISSING
from core.ports import ErrorLog, JobStore, RunStore
from models.error_event import ErrorEvent
from models.error_query import ErrorFilter
from models.errors import RunNotFound
from models.job_state import AtRest, JobRecord, JobState
from models.job_status import JobStatus
from models.run import Run

_PAGE = 500
_SLACK = timedelta(seconds=5)
"""A fault is told a moment before or after the run ends that fails by it."""
RUN_FAILED = "RunFailed"
RUN_INTERRUPTED = "RunInterrupted"
START_FAILED = "RunnerStartFailed"
_TYPES = (RUN_FAILED, RUN_INTERRUPTED, START_FAILED)
_FAILED = frozenset({JobStatus.FAILED, JobStatus.INTERRUPTED})


def is_good_since(record: JobRecord, event: ErrorEvent) -> bool:
    """Whether a job had a success after an event of one of its runs."""
    rest = _at_rest(record)
    if rest.status is JobStatus.COMPLETED and rest.run_id != event.run_id:
        return True
    return (record.state.last_good_at or "") >= event.last_seen


async def untold_failures(
    error_log: ErrorLog,
    jobs: JobStore,
    runs: RunStore,
    *,
    known: Collection[str],
    since: str,
) -> list[Run]:
    """Return the last runs of failed and interrupted jobs that no event is about, except for
    those `known` and what ended before `since`. Raises StorageFailed."""
    failed: list[Run] = []
    for record in tuple(jobs.snapshot().values()):
        rest = _at_rest(record)
        ended_at = rest.changed_at or ""
        if rest.status not in _FAILED or rest.run_id is None or ended_at < since:
            continue
        if rest.run_id not in known:
            failed += await _ended(runs, rest.run_id)
    if not failed:
        return []
    earliest = min(run.ended_at or "" for run in failed)
    tools = {f"{TOOL_MISSING}: {run.engine}" for run in failed}
    events = await _seen_since(error_log, (*_TYPES, *tools), _moved(earliest, -_SLACK))
    return [run for run in failed if not any(_tells_of(event, run) for event in events)]


def _at_rest(record: JobRecord) -> JobState | AtRest:
    """Return what a job is, also while a dry run of it is under way."""
    return record.state.before_dry_run or record.state


async def _ended(runs: RunStore, run_id: str) -> list[Run]:
    try:
        run = await runs.get(run_id)
    except RunNotFound:
        return []
    return [run] if run.ended_at else []


async def _seen_since(error_log: ErrorLog, types: Sequence[str], since: str) -> list[ErrorEvent]:
    found: list[ErrorEvent] = []
    for error_type in types:
        cursor: str | None = None
        while True:
            wanted = ErrorFilter(error_type=error_type, since=since)
            page = await error_log.find(wanted, limit=_PAGE, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
    return found


def _tells_of(event: ErrorEvent, run: Run) -> bool:
    ended_at = run.ended_at or ""
    if event.run_id == run.id:
        return True
    if event.job_id is not None:
        return event.job_id == run.job_id and event.last_seen >= ended_at
    # A missing tool, or a runner that could not be started: one event for many runs.
    is_theirs = event.error_type in {START_FAILED, f"{TOOL_MISSING}: {run.engine}"}
    return (
        is_theirs
        and not run.attempts
        and _moved(event.timestamp, -_SLACK) <= ended_at <= _moved(event.last_seen, _SLACK)
    )


def _moved(time: str, by: timedelta) -> str:
    moved = datetime.fromisoformat(time) + by
    return moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")
