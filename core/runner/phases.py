"""The phases of one run, in their order: what each does, and what ends the run.

Each phase method raises RunFailed or Stopped, or returns; `perform` turns that into the end.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from core.engines.base import (
    DISK_FULL,
    MAX_LINE,
    Engine,
    ExitMeaning,
    Failure,
    Reading,
    ScannedTotals,
    Verdict,
    tells_of_full_disk,
)
from core.partial_files import keep_partial_file, remove_partial_files
from core.preflight import files_at_most, location_faults, source_fault
from core.runner.journal import CappedLog, Journal
from core.runner.meter import Meter
from core.runner.process import Attendant, Child, StopSwitch, file_under_way
from core.runner.verification import Differences
from models import events
from models.progress import PhaseName, RunOutcome
from models.run_spec import RunSpec
from utils.process_identity import identify
from utils.timestamps import utc_timestamp

MAX_FAILURES_NAMED = 1000
"""How many failed files the journal names; all of them are counted."""
_SCAN_OUTPUT_LIMIT = 64 * 1024
_SCAN_NICENESS = 19
_SCAN_DELAY_SECONDS = 1.0
_MAX_FILES_LISTED_AT_ONCE = 1_000_000
_JOURNAL_LIMIT = 16 * 1024 * 1024


class RunFailed(Exception):
    """The run cannot go on; the message says why, `exit_code` is the tool's if it had one."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        self.exit_code = exit_code
        super().__init__(message)


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
        self.failed_paths: list[str] = []
        self.files_deleted = 0
        self.disk_is_full = False

    def begin_attempt(self) -> None:
        """What failed in the attempt before is tried again."""
        self.files_failed = 0
        self.failed_paths = []
        self.disk_is_full = False


class Performance:
    """One run from preflight to its end."""

    def __init__(
        self, spec: RunSpec, engine: Engine, journal: Journal, log: CappedLog, stop: StopSwitch
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._journal = journal
        self._log = log
        self._stop = stop
        self._meter = Meter()
        if spec.expected_bytes is not None and spec.expected_files is not None:
            self._meter.expect_totals(ScannedTotals(spec.expected_files, spec.expected_bytes))
        self._tally = Tally()
        self._children: list[Child] = []
        self._reading = Reading()
        self._is_directory = True
        self._lists_at_once = False
        self._environment = engine.environment(dict(os.environ))
        self._began = time.monotonic()
        self._next_progress = 0.0

    def perform(self) -> events.RunEnded:
        """Do every phase; returns the last event, which the caller writes to the journal."""
        try:
            self._phase(PhaseName.PREFLIGHT, self._preflight)
            self._phase(PhaseName.TRANSFER, self._transfer)
            self._phase(PhaseName.SETTLE, self._settle)
            if self._spec.verification != "off":
                self._phase(PhaseName.VERIFY, self._verify)
        except Stopped:
            return self._end(RunOutcome.PAUSED, "Stopped. It can be resumed.")
        except RunFailed as failure:
            if failure.exit_code is not None:
                self._tally.exit_code = failure.exit_code
            return self._end(RunOutcome.FAILED, str(failure))
        if self._tally.warning:
            return self._end(RunOutcome.WARNING, self._tally.warning)
        return self._end(RunOutcome.COMPLETED, None)

    def failed(self, message: str) -> events.RunEnded:
        """Return the last event of a run that an error of the runner itself ended."""
        for child in self._children:
            # Nobody would attend it any more, and a next run must not find it at work.
            if child.exit_code is None:
                child.signal_group(signal.SIGKILL)
        return self._end(RunOutcome.FAILED, message)

    def _phase(self, name: PhaseName, work: Callable[[], None]) -> None:
        self._check_stop()
        self._meter.begin_phase(name, self._tally.attempt)
        # No line of a phase at any price: a full data directory must not end a transfer.
        self._journal.append_if_possible(events.PhaseStarted(name, self._tally.attempt))
        try:
            work()
        except Stopped:
            self._journal.append_if_possible(events.PhaseEnded(name, RunOutcome.PAUSED))
            raise
        except RunFailed as failure:
            ended = events.PhaseEnded(name, RunOutcome.FAILED, str(failure))
            self._journal.append_if_possible(ended)
            raise
        outcome = RunOutcome.WARNING if self._tally.warning else RunOutcome.COMPLETED
        self._journal.append_if_possible(events.PhaseEnded(name, outcome, self._tally.warning))

    def _preflight(self) -> None:
        tool = self._spec.tool_path
        if tool is None or not os.access(tool, os.X_OK):
            raise RunFailed(f"{self._engine.command} is not installed. {self._engine.install_hint}")
        faults = location_faults(self._spec.source, self._spec.destination)
        if faults:
            raise RunFailed(" ".join(f"{fault.field.title()}: {fault.message}" for fault in faults))
        self._is_directory = os.path.isdir(self._spec.source)
        self._lists_at_once = files_at_most(self._spec.source) <= _MAX_FILES_LISTED_AT_ONCE
        try:
            os.makedirs(self._spec.destination, mode=0o777, exist_ok=True)
        except OSError as error:
            raise RunFailed(f"The destination cannot be created: {error.strerror}.") from error

    def _transfer(self) -> None:
        spec = self._spec
        if spec.cut_off_file:
            # Whoever cut that run off may have left its runner no time to do so.
            self._keep_partial_file(spec, os.fsencode(spec.cut_off_file))
        while True:
            meaning = self._attempt(spec)
            if meaning.verdict is Verdict.GOOD:
                self._tidy_up()
                return
            if meaning.verdict is Verdict.PARTIAL:
                gone = source_fault(spec.source)
                if gone is not None:
                    raise RunFailed(f"Source: {gone.message}", self._tally.exit_code)
                self._tally.warning = meaning.message
                return
            self._keep_partial_file(spec, self._reading.current_name)
            attempt = self._tally.attempt
            if meaning.verdict is Verdict.FATAL or attempt >= spec.max_attempts:
                raise RunFailed(meaning.message, self._tally.exit_code)
            self._wait_for_next_attempt(meaning)
            spec = spec._replace(resume=True)

    def _keep_partial_file(self, spec: RunSpec, name: bytes) -> None:
        if not name or not self._engine.reads_source_itself:
            return
        try:
            keep_partial_file(spec.source, spec.destination, name)
        except OSError as error:
            self._log_lines([f"The partial file could not be kept: {error}".encode()])

    def _tidy_up(self) -> None:
        # All is whole: what lies in the partial directory is of no use to a later run, and rsync
        # leaves the directory itself.
        try:
            remove_partial_files(self._spec.destination)
        except OSError as error:
            self._log_lines([f"The partial files could not be removed: {error}".encode()])

    def _wait_for_next_attempt(self, meaning: ExitMeaning) -> None:
        # Exponential backoff with jitter over the upper half of the delay. Not `random`, which
        # loads OpenSSL.
        longest = min(
            self._spec.max_delay_seconds,
            self._spec.first_delay_seconds * 2.0 ** (self._tally.attempt - 1),
        )
        delay = longest * (0.5 + os.urandom(1)[0] / 511)
        self._tally.attempt += 1
        self._journal.append_if_possible(
            events.RetryScheduled(
                self._tally.attempt, self._spec.max_attempts, round(delay, 1), meaning.message
            )
        )
        if self._stop.wait(delay):
            raise Stopped

    def _attempt(self, spec: RunSpec) -> ExitMeaning:
        assert spec.tool_path is not None
        reader = self._engine.output_reader(spec)
        self._reading = reader.reading
        self._meter.begin_attempt()
        self._tally.begin_attempt()

        def take(segments: list[bytes]) -> None:
            batch = reader.feed(segments)
            for failure in batch.failures:
                self._note_failure(failure)
            if batch.log:
                self._log_lines(batch.log)

        argv = self._engine.build_argv(
            spec,
            spec.tool_path,
            is_directory=self._is_directory,
            lists_at_once=self._lists_at_once,
        )
        child = self._start(argv, take)
        who = identify(child.pid)
        if who is not None:
            self._journal.append(events.EngineStarted(who, self._tally.attempt))
        attendant = self._attendant()
        scan_from = self._scan_from()
        scans: list[Child] = []

        def scan_when_due() -> None:
            if not scans and time.monotonic() >= scan_from:
                scans.append(self._start_scan(spec))
                attendant.attend_beside(scans[0])

        def tick() -> None:
            scan_when_due()
            if self._engine.reads_source_itself:
                reader.note_open_file(file_under_way(child.pid, spec.source))
            self._report_progress()

        scan_when_due()
        meaning = self._meaning_of(attendant.attend(child, on_tick=tick))
        for scan in scans:
            may_end = self._engine.names_skipped_files or meaning.verdict is not Verdict.GOOD
            attendant.finish(scan, kill=may_end or self._stop.requested)
        if self._stop.requested and meaning.verdict is not Verdict.GOOD:
            self._keep_partial_file(spec, self._reading.current_name)
            raise Stopped
        if meaning.verdict is Verdict.GOOD:
            self._meter.complete(self._reading)
        self._report_progress(at_once=True)
        return meaning

    def _meaning_of(self, code: int) -> ExitMeaning:
        """Put the end of an attempt on record, and tell what it means."""
        self._tally.exit_code = code
        self._tally.files_deleted = self._reading.files_deleted
        meaning = self._engine.classify_exit(code)
        if meaning.verdict is not Verdict.PARTIAL:
            return meaning
        if self._tally.disk_is_full:
            return DISK_FULL
        if self._engine.is_partial_for_sure(code, files_failed=self._tally.files_failed):
            return meaning
        return ExitMeaning(Verdict.FATAL, f"{self._engine.command} failed: see its output.")

    def _scan_from(self) -> float:
        """When the scan is due, in monotonic seconds; never when the totals are known."""
        if self._meter.has_totals:
            return float("inf")
        # With an estimate to show, a transfer that ends soon is spared the scan's reading. An
        # engine that does not name what it skipped needs the scan's totals in any case.
        can_wait = self._meter.has_estimate and self._engine.names_skipped_files
        return time.monotonic() + (_SCAN_DELAY_SECONDS if can_wait else 0)

    def _start_scan(self, spec: RunSpec) -> Child:
        assert spec.tool_path is not None
        output = bytearray()

        def take(segments: list[bytes]) -> None:
            for segment in segments:
                if len(output) < _SCAN_OUTPUT_LIMIT:
                    output.extend(segment + b"\n")
            totals = self._engine.parse_scan(bytes(output))
            if totals is not None:
                self._meter.set_totals(totals)

        argv = self._engine.build_scan_argv(spec, spec.tool_path, is_directory=self._is_directory)
        return self._help("scan", self._start(argv, take, _ignore, niceness=_SCAN_NICENESS))

    def _settle(self) -> None:
        # syncfs(2) on the destination's file system, which Python does not offer: sync(1) does.
        try:
            child = self._start(["/bin/sync", "-f", self._spec.destination], self._log_lines)
        except RunFailed:
            os.sync()
            return
        code = self._attendant().attend(child, on_tick=lambda: None)
        self._check_stop()
        if code:
            raise RunFailed("The copy could not be written to stable storage.", code)

    def _verify(self) -> None:
        assert self._spec.tool_path is not None
        reader = self._engine.difference_reader()
        differences = Differences(reader, most_named=MAX_FAILURES_NAMED)

        def take(segments: list[bytes]) -> None:
            differences.take(segments)
            self._log_lines(segments)

        argv = self._engine.build_verify_argv(
            self._spec, self._spec.tool_path, is_directory=self._is_directory
        )
        child = self._help("verification", self._start(argv, take))
        self._report_progress(at_once=True)
        code = self._attendant().attend(child, on_tick=self._report_progress)
        self._check_stop()
        known_failures = self._tally.failed_paths if self._tally.warning else []
        meaning = self._engine.classify_verify_exit(code)
        fault = differences.fault(meaning, known_failures=known_failures)
        if fault is None:
            return
        for failure in differences.named:
            self._note_failure(failure)
        self._tally.files_failed += differences.count - len(differences.named)
        raise RunFailed(fault, code or None)

    def _start(
        self,
        argv: list[str],
        take: Callable[[list[bytes]], None],
        take_errors: Callable[[list[bytes]], None] | None = None,
        *,
        niceness: int = 0,
    ) -> Child:
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

    def _help(self, purpose: str, child: Child) -> Child:
        """Put a process beside the transfer on record: it must not outlive a dead runner."""
        who = identify(child.pid)
        if who is not None:
            self._journal.append_if_possible(events.HelperStarted(who, purpose))
        return child

    def _attendant(self) -> Attendant:
        return Attendant(self._stop, grace_seconds=self._spec.stop_grace_seconds)

    def _log_lines(self, segments: list[bytes]) -> None:
        self._log.write(b"\n".join(segments) + b"\n")

    def _note_failure(self, failure: Failure) -> None:
        self._tally.files_failed += 1
        self._tally.disk_is_full = self._tally.disk_is_full or tells_of_full_disk(failure)
        if len(self._tally.failed_paths) < MAX_FAILURES_NAMED:
            self._tally.failed_paths.append(failure.path)
        if self._tally.failures_named < MAX_FAILURES_NAMED:
            self._tally.failures_named += 1
            event = events.FileFailed(failure.path, failure.reason, self._tally.attempt)
            self._journal.append_if_possible(event)

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

    def _end(self, outcome: RunOutcome, message: str | None) -> events.RunEnded:
        now = time.monotonic()
        return events.RunEnded(
            outcome=outcome,
            attempts=self._tally.attempt,
            exit_code=self._tally.exit_code,
            message=message,
            files_failed=self._tally.files_failed,
            files_deleted=self._tally.files_deleted,
            progress=self._meter.progress(self._reading, now, utc_timestamp()),
        )


def _ignore(_segments: list[bytes]) -> None:
    """Take nothing: the transfer itself reports what cannot be read."""
