"""What every phase of a run works with: processes, journal, log, and what it came to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from core.allowed_roots import EVERYWHERE
from core.engines.base import (
    MAX_LINE,
    Engine,
    ExitMeaning,
    Failure,
    Reading,
    ScannedTotals,
    SkippedSpecial,
    tells_of_full_disk,
)
from core.preflight import spec_root_faults, told_at_once
from core.questions import Questions
from core.real_paths import Touch
from core.runner.followed_links import followed_link_fault
from core.runner.journal import CappedLog, Journal
from core.runner.meter import Meter
from core.runner.pipe import Bulk, Intake, Segments
from core.runner.process import Attendant, Child, StopSwitch
from core.runner.room import RoomWatch
from core.runner.specials import Specials
from models import events
from models.errors import FieldFault, NoAnswer
from models.run_spec import RunSpec
from utils.process_identity import identify
from utils.process_search import RUN_VARIABLE
from utils.timestamps import utc_timestamp

Value = TypeVar("Value")
MAX_FAILURES_NAMED = 1000
"""How many failed files of an attempt the journal names; all of them are counted."""
_MAX_NAMED_IN_ALL = 10 * MAX_FAILURES_NAMED
"""The same over all attempts of a run: a journal has a bound."""
PATIENCE_SECONDS = 20.0
"""How long a disk may be silent that has to wake up, where the job says nothing else."""
NOTHING_KNOWN = "So nobody can tell whether the run may look at it, and it did not go on."
_JOURNAL_LIMIT = 16 * 1024 * 1024


class RunFailed(Exception):
    """The run cannot go on; the message says why, `exit_code` is the tool's if it had one."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class NotAnswered(RunFailed):
    """A disk that the run has to look at does not answer; the message names it."""


class Stopped(Exception):
    """A person asked the run to stop."""


class Tally:
    """What the run has come to so far."""

    def __init__(self) -> None:
        self.attempt = 1
        self.exit_code: int | None = None
        self.warning: str | None = None
        self.files_failed = 0
        self.failures_named = 0
        self.named_in_all = 0
        self.failed_paths: list[str] = []
        self.files_deleted = 0
        self.disk_is_full = False

    def begin_attempt(self) -> None:
        """What failed in the attempt before is tried again."""
        self.files_failed = 0
        self.failures_named = 0
        self.failed_paths = []
        self.disk_is_full = False


class Workbench:
    """The means of a run; the phases build on it."""

    def __init__(
        self, spec: RunSpec, engine: Engine, journal: Journal, log: CappedLog, stop: StopSwitch
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._journal = journal
        self._log = log
        self._stop = stop
        # Links to a file that is there are made in no time and all in the end (rsync -H), and what
        # they count in the totals nobody tells.
        self._meter = Meter(tells_time_left=not spec.hard_links)
        if spec.expected_bytes is not None and spec.expected_files is not None:
            self._meter.expect_totals(ScannedTotals(spec.expected_files, spec.expected_bytes))
        self._questions = Questions()
        self._tally = Tally()
        self._specials = Specials(spec)
        self._room = RoomWatch(spec)
        self._no_room: ExitMeaning | None = None
        self._ended_early_at: float | None = None
        self._children: list[Child] = []
        self._reading = Reading()
        self._is_directory = True
        self._lists_at_once = False
        # So that whatever is started can be found again, wherever it moves to.
        self._environment = engine.environment(dict(os.environ)) | {RUN_VARIABLE: spec.run_id}
        self._began = time.monotonic()
        self._next_progress = 0.0

    def _start(
        self,
        argv: list[str],
        take: Segments,
        take_errors: Segments | None = None,
        *,
        niceness: int = 0,
    ) -> Child:
        self._refuse_outside()
        self._refuse_links()
        try:
            child = Child(
                argv,
                self._environment,
                take_output=take,
                take_errors=take_errors or take,
                line_limit=MAX_LINE,
                niceness=niceness,
            )
        except OSError as error:
            raise RunFailed(f"{argv[0]} cannot be started: {error.strerror}.") from error
        self._children = [one for one in self._children if one.exit_code is None] + [child]
        return child

    def _refuse_outside(self) -> None:
        """Before each process: hours may lie between an attempt and the next, and a folder may have
        become a link meanwhile. Raises RunFailed, and NotAnswered where nobody can tell."""
        outside = self._outside()
        if outside:
            raise RunFailed(told_at_once(tuple(outside)))

    def _refuse_links(self) -> None:
        """Likewise, of links that the tools would follow. Raises RunFailed, NotAnswered."""
        if self._spec.keep_replaced_in is None and self._spec.only_files_path is None:
            return
        fault = self._ask(partial(followed_link_fault, self._spec))
        if fault is not None:
            raise RunFailed(fault)

    def _outside(self) -> list[FieldFault]:
        if self._spec.allowed_roots == EVERYWHERE:
            return []
        return self._ask(partial(spec_root_faults, self._spec))

    def _ask(self, work: Callable[[Touch], Value]) -> Value:
        """Look at what may be on a disk that hangs, and hear a stop meanwhile. Raises NotAnswered,
        Stopped."""
        seconds = float(self._spec.timeout_seconds or PATIENCE_SECONDS)
        try:
            return self._questions.ask(work, seconds=seconds, meanwhile=self._check_stop)
        except NoAnswer as error:
            raise NotAnswered(f"{error} {NOTHING_KNOWN}") from error

    def _help(self, purpose: str, child: Child) -> Child:
        """Put a process beside the transfer on record: it must not outlive a dead runner."""
        who = identify(child.pid)
        if who is not None:
            self._journal.append_if_possible(events.HelperStarted(who, purpose))
        return child

    def _attendant(self) -> Attendant:
        return Attendant(self._stop, grace_seconds=self._spec.stop_grace_seconds)

    def _intake(self, take: Segments, concerns: Bulk) -> Intake:
        """What is only words for the log goes there unsplit, however much of it comes."""

        def take_bulk(content: bytearray, start: int, end: int) -> bool:
            if concerns(content, start, end):
                return False
            self._log.write(memoryview(content)[start:end])
            return True

        return Intake(take, take_bulk)

    def _log_lines(self, segments: list[bytes]) -> None:
        self._log.write(b"\n".join(segments) + b"\n")

    def _note_failure(self, failure: Failure) -> None:
        self._tally.files_failed += 1
        self._tally.disk_is_full = self._tally.disk_is_full or tells_of_full_disk(failure)
        if len(self._tally.failed_paths) < MAX_FAILURES_NAMED:
            self._tally.failed_paths.append(failure.path)
        has_room = self._tally.named_in_all < _MAX_NAMED_IN_ALL
        if has_room and self._tally.failures_named < MAX_FAILURES_NAMED:
            self._tally.failures_named += 1
            self._tally.named_in_all += 1
            event = events.FileFailed(
                failure.path, failure.reason, self._tally.attempt, failure.name
            )
            self._journal.append_if_possible(event)

    def _note_specials(self, skipped: list[SkippedSpecial]) -> None:
        for special in skipped:
            event = self._specials.take(special)
            if event is not None:
                self._journal.append_if_possible(event)

    def _tell_of_specials(self) -> None:
        notice = self._specials.notice()
        if notice is not None:
            self._journal.append_if_possible(events.Noticed(notice))

    def _report_progress(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now < self._next_progress:
            return
        # Ten times a second at first, every two seconds in a long run, every ten when the journal
        # has become large: it has a bound of its own.
        interval = min(2.0, max(0.1, (now - self._began) / 200))
        self._next_progress = now + (10.0 if self._journal.size > _JOURNAL_LIMIT else interval)
        progress = self._meter.progress(self._reading, now, utc_timestamp())
        self._journal.append_if_possible(events.ProgressMade(progress))

    def _check_stop(self) -> None:
        if self._stop.requested:
            raise Stopped
