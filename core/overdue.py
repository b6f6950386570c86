"""Overdue jobs: those without a success for longer than their definition expects.

A job is overdue when more than `success_within_seconds` have passed since its last success, or
since it was created when it never had one. That a run of it is under way changes nothing: only a
success does. Nothing looks at the jobs again and again: a task sleeps until the next one is due.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import NamedTuple

from core.open_events import events_of
from core.ports import ErrorLog, JobStore
from models.error_event import Component, ErrorEvent, Fault, Severity
from models.errors import StorageFailed
from models.job_state import JobRecord
from utils.durations import in_words
from utils.timestamps import utc_timestamp

OVERDUE = "JobOverdue"
LONGEST_SLEEP_SECONDS = 60.0
"""Within so long it is noticed that somebody has set the clock."""
_CLOCK_WAS_SET_SECONDS = 2.0
_TOLD_AT_ONCE = 200
"""Then it waits until the error log has written them: its queue is not for ten thousand."""
_SPARE_PLACES = 64
_LATE_SECONDS = 0.01
"""A timer may fire a moment early, and would find nothing due."""
_RETRY_SECONDS = 5.0
_COMPONENT = (Component.JOB_MANAGER,)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OverdueJob:
    """A job that has had no success for too long; times are UTC, ISO 8601."""

    job_id: str
    job_name: str
    since: str
    """When it should have had one at the latest."""
    success_within_seconds: int
    last_success_at: str | None


class _Expectation(NamedTuple):
    last_success_at: str | None
    within: int


def _no_listener(_job_ids: Iterable[str]) -> None:
    """Nobody wants to know."""


class OverdueJobs:
    """Which jobs are overdue now. `run` is its loop; it is told of every change of a job.

    Each overdue job is one event of the error log, settled by its next success, by another
    expectation, and by the end of the job itself. `successes` are those that the history knows:
    a state may have been lost, and with it when the last one was.
    """

    def __init__(
        self,
        jobs: JobStore,
        error_log: ErrorLog,
        *,
        successes: Mapping[str, str] | None = None,
        changed: Callable[[Collection[str]], None] = _no_listener,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._error_log = error_log
        self._successes = dict(successes or {})
        self._changed = changed
        self._clock = clock
        self._expected: dict[str, _Expectation] = {}
        self._due: dict[str, float] = {}
        """When each job becomes overdue that is not; `_next` holds the same as a heap, beside
        what does not hold any more."""
        self._next: list[tuple[float, str]] = []
        self._overdue: dict[str, OverdueJob] = {}
        self._in_order: tuple[OverdueJob, ...] | None = ()
        self._told: dict[str, _Expectation] = {}
        """What the error log has an event of."""
        self._to_tell: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._look_at(tuple(jobs.snapshot()))

    def now(self) -> tuple[OverdueJob, ...]:
        """Return the overdue jobs, the one that has been so for the longest first."""
        if self._in_order is None:
            order = sorted(self._overdue.values(), key=lambda job: (job.since, job.job_id))
            self._in_order = tuple(order)
        return self._in_order

    def find(self, job_id: str) -> OverdueJob | None:
        """Return an overdue job; None for one that is not."""
        return self._overdue.get(job_id)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._overdue

    def __len__(self) -> int:
        return len(self._overdue)

    def last_success_of(self, record: JobRecord) -> str | None:
        """Return when the last success of a job ended; None when it never had one."""
        return record.state.last_good_at or self._successes.get(record.job.id)

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note of changed, new and removed jobs; returns at once."""
        self._look_at(job_ids)
        if self._to_tell:
            self._wake.set()

    async def run(self) -> None:
        """Notice what becomes overdue and tell it, until cancelled."""
        await self._find_told()
        self._to_tell |= dict.fromkeys((*self._told, *self._overdue))
        offset = self._clock_offset()
        while True:
            await self._tell()
            await self._rest()
            if abs(self._clock_offset() - offset) > _CLOCK_WAS_SET_SECONDS:
                _logger.warning("the clock was set: every expected success is looked at again")
                changed = self._look_at_all_again()
            else:
                changed = self._come_due()
            offset = self._clock_offset()
            if changed:
                self._changed(changed)

    def _clock_offset(self) -> float:
        return self._clock() - time.monotonic()

    def _look_at(self, job_ids: Iterable[str]) -> None:
        snapshot = self._jobs.snapshot()
        for job_id in job_ids:
            record = snapshot.get(job_id)
            within = record.job.monitoring.success_within_seconds if record else None
            if record is None:
                self._successes.pop(job_id, None)
            if record is None or within is None:
                if job_id in self._expected:
                    self._forget(job_id)
                continue
            expected = _Expectation(self.last_success_of(record), within)
            if self._expected.get(job_id) != expected:
                self._expect(record, expected)
            elif (overdue := self._overdue.get(job_id)) and overdue.job_name != record.job.name:
                self._overdue[job_id] = replace(overdue, job_name=record.job.name)
                self._in_order = None

    def _expect(self, record: JobRecord, expected: _Expectation) -> None:
        job_id = record.job.id
        self._forget(job_id)
        self._expected[job_id] = expected
        since = record.job.created_at
        if expected.last_success_at is not None:
            since = datetime.fromisoformat(expected.last_success_at)
        due = since.timestamp() + expected.within
        if due < self._clock():
            self._add(record, expected, due)
            return
        self._due[job_id] = due
        heappush(self._next, (due, job_id))
        if len(self._next) > 2 * len(self._due) + _SPARE_PLACES:
            self._next = [(due, job_id) for job_id, due in self._due.items()]
            heapify(self._next)
        self._wake.set()

    def _add(self, record: JobRecord, expected: _Expectation, due: float) -> None:
        job = record.job
        since = utc_timestamp(due)
        self._overdue[job.id] = OverdueJob(
            job.id, job.name, since, expected.within, expected.last_success_at
        )
        self._in_order = None
        self._to_tell[job.id] = None

    def _forget(self, job_id: str) -> None:
        self._expected.pop(job_id, None)
        self._due.pop(job_id, None)
        if self._overdue.pop(job_id, None) is not None:
            self._in_order = None
            self._to_tell[job_id] = None

    async def _rest(self) -> None:
        """Sleep until a job is due, or until something is to be told."""
        seconds = None
        if self._expected:
            seconds = LONGEST_SLEEP_SECONDS
            if self._next:
                late = self._next[0][0] + _LATE_SECONDS
                seconds = min(seconds, max(0.0, late - self._clock()))
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _come_due(self) -> tuple[str, ...]:
        """Take over whoever is due by now; returns whom."""
        snapshot = self._jobs.snapshot()
        now, found = self._clock(), []
        while self._next and self._next[0][0] < now:
            due, job_id = heappop(self._next)
            record = snapshot.get(job_id)
            if self._due.get(job_id) == due and record is not None:
                del self._due[job_id]
                self._add(record, self._expected[job_id], due)
                found.append(job_id)
        return tuple(found)

    def _look_at_all_again(self) -> tuple[str, ...]:
        before = set(self._overdue)
        job_ids = tuple(self._expected)
        for job_id in job_ids:
            # Of a job that is gone by now nothing may be left, and nobody has said so yet.
            self._forget(job_id)
        self._look_at(job_ids)
        return tuple(before ^ self._overdue.keys())

    async def _tell(self) -> None:
        """Bring the error log up to what is so now."""
        while self._to_tell:
            for job_id in tuple(islice(self._to_tell, _TOLD_AT_ONCE)):
                del self._to_tell[job_id]
                self._tell_of(job_id)
            if self._to_tell:
                await self._error_log.flush()

    def _tell_of(self, job_id: str) -> None:
        overdue, told = self._overdue.get(job_id), self._told.get(job_id)
        expected = self._expected[job_id] if overdue else None
        if expected == told:
            return
        if told is not None:
            self._error_log.settle(error_type=OVERDUE, job_id=job_id)
            del self._told[job_id]
        if overdue is not None and expected is not None:
            self._error_log.report(_fault(overdue))
            self._told[job_id] = expected

    async def _find_told(self) -> None:
        """Find out what an earlier dashboard has told, so that it is not told twice."""
        while True:
            try:
                self._told = await self._read_told()
            except StorageFailed as error:
                _logger.warning("what was told of overdue jobs is not known yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _read_told(self) -> dict[str, _Expectation]:
        told: dict[str, _Expectation] = {}
        for event in await events_of(self._error_log, _COMPONENT, (OVERDUE,)):
            told.setdefault(event.job_id or "", _expectation_in(event))
        # One that a person has resolved is not told again either.
        missing = {job_id for job_id in self._overdue if job_id not in told}
        earliest = min((self._overdue[job_id].since for job_id in missing), default=None)
        if earliest is not None:
            for event in await events_of(
                self._error_log, _COMPONENT, (OVERDUE,), resolved=True, since=earliest
            ):
                job_id = event.job_id or ""
                if job_id in missing and _expectation_in(event) == self._expected.get(job_id):
                    told.setdefault(job_id, self._expected[job_id])
        return told


def _fault(overdue: OverdueJob) -> Fault:
    within = in_words(overdue.success_within_seconds)
    last = overdue.last_success_at
    so_far = "it has had none"
    if last is not None:
        so_far = f"the last one was on {last[:10]} at {last[11:16]} UTC"
    return Fault(
        severity=Severity.HIGH,
        component=Component.JOB_MANAGER,
        error_type=OVERDUE,
        message=f"“{overdue.job_name}” is overdue: a success is expected within {within}, and "
        f"{so_far}.",
        details={
            "since": overdue.since,
            "success_within_seconds": overdue.success_within_seconds,
            "last_success_at": last,
        },
        job_id=overdue.job_id,
        job_name=overdue.job_name,
    )


def _expectation_in(event: ErrorEvent) -> _Expectation:
    last, within = (
        event.details.get("last_success_at"),
        event.details.get("success_within_seconds"),
    )
    return _Expectation(
        last if isinstance(last, str) else None, within if isinstance(within, int) else 0
    )
