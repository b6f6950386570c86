"""The phases of one run, in their order: what each does, and what ends the run.

Each phase method raises RunFailed or Stopped, or returns; `perform` turns that into the end.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from core.engines.base import ExitMeaning, Verdict
from core.preflight import files_at_most, run_faults, told_at_once
from core.preflight_mounts import mounts_beneath
from core.runner.leftovers import end_what_is_left
from core.runner.process import file_under_way
from core.runner.transfer import Transfer
from core.runner.verification import Differences
from core.runner.workbench import MAX_FAILURES_NAMED, NotAnswered, RunFailed, Stopped
from models import events
from models.errors import FieldFault
from models.progress import PhaseName, RunOutcome
from utils.timestamps import seconds_since_boot, utc_timestamp

_MOST_SYNCED = 64
_MAX_FILES_LISTED_AT_ONCE = 1_000_000


class Performance(Transfer):
    """One run from preflight to its end."""

    def perform(self) -> events.RunEnded:
        """Do every phase; returns the last event, which the caller writes to the journal."""
        try:
            self._perform_phases()
        except Stopped:
            end_what_is_left(self._spec.run_id)
            return self._end(RunOutcome.PAUSED, "Stopped. It can be resumed.")
        except RunFailed as failure:
            end_what_is_left(self._spec.run_id)
            if failure.exit_code is not None:
                self._tally.exit_code = failure.exit_code
            return self._end(RunOutcome.FAILED, str(failure))
        if self._tally.warning:
            return self._end(RunOutcome.WARNING, self._tally.warning)
        return self._end(RunOutcome.COMPLETED, None)

    def _perform_phases(self) -> None:
        """What a run consists of, in its order."""
        self._phase(PhaseName.PREFLIGHT, self._preflight)
        self._phase(PhaseName.TRANSFER, self._transfer)
        self._tell_of_specials()
        if not self._spec.destination_is_remote:
            # A daemon offers no way to have its disk written.
            self._phase(PhaseName.SETTLE, self._settle)
        if self._spec.verification != "off":
            self._phase(PhaseName.VERIFY, self._verify)

    def failed(self, message: str) -> events.RunEnded:
        """Return the last event of a run that an error of the runner itself ended."""
        for child in self._children:
            # Nobody would attend it any more, and a next run must not find it at work.
            if child.exit_code is None:
                child.signal_group(signal.SIGKILL)
        end_what_is_left(self._spec.run_id)
        return self._end(RunOutcome.FAILED, message)

    def _phase(self, name: PhaseName, work: Callable[[], None]) -> None:
        self._check_stop()
        self._meter.begin_phase(name, self._tally.attempt)
        # No line of a phase at any price: a full data directory must not end a transfer.
        self._journal.append_if_possible(events.PhaseStarted(name, self._tally.attempt))
        began = seconds_since_boot()
        try:
            work()
        except Stopped:
            self._end_phase(name, RunOutcome.PAUSED, None, began)
            raise
        except RunFailed as failure:
            self._end_phase(name, RunOutcome.FAILED, str(failure), began)
            raise
        outcome = RunOutcome.WARNING if self._tally.warning else RunOutcome.COMPLETED
        self._end_phase(name, outcome, self._tally.warning, began)

    def _end_phase(
        self, name: PhaseName, outcome: RunOutcome, message: str | None, began: float
    ) -> None:
        took = round(seconds_since_boot() - began, 3)
        self._journal.append_if_possible(events.PhaseEnded(name, outcome, message, took))

    def _preflight(self) -> None:
        faults = self._faults()
        if faults:
            raise RunFailed(told_at_once(faults))
        # A remote source is a folder: its contents are copied.
        self._is_directory = self._spec.source_is_remote or os.path.isdir(self._spec.source)
        self._lists_at_once = files_at_most(self._spec.source) <= _MAX_FILES_LISTED_AT_ONCE
        self._write_only_files()
        if self._spec.destination_is_remote:
            return
        self._make_destination()

    def _faults(self) -> tuple[FieldFault, ...]:
        """Look whether the run may begin; a disk that does not answer is asked again, as often as a
        link that was cut. Raises NotAnswered."""
        while True:
            try:
                return self._ask(partial(run_faults, self._spec, self._engine))
            except NotAnswered as error:
                if self._tally.attempt >= self._spec.max_attempts:
                    raise
                self._wait_for_next_attempt(ExitMeaning(Verdict.TRANSIENT, str(error)))

    def _write_only_files(self) -> None:
        try:
            self._engine.write_only_files(self._spec)
        except OSError as error:
            raise RunFailed(f"The list of files cannot be written: {error.strerror}.") from error

    def _make_destination(self) -> None:
        try:
            os.makedirs(self._spec.destination, mode=0o777, exist_ok=True)
        except OSError as error:
            raise RunFailed(f"The destination cannot be created: {error.strerror}.") from error
        self._refuse_outside()
        self._refuse_links()

    def _settle(self) -> None:
        # syncfs(2) on the destination's file system, and those mounted within it, which Python does
        # not offer: sync(1) does. All of them where they are many.
        places = [self._spec.destination, *mounts_beneath(self._spec.destination)]
        argv = ["/bin/sync", "-f", *places] if len(places) <= _MOST_SYNCED else ["/bin/sync"]
        self._refuse_outside()
        try:
            child = self._start(argv, self._log_lines)
        except RunFailed:
            os.sync()
            return
        code = self._attendant().attend(child, on_tick=lambda: None)
        self._check_stop()
        if code:
            raise RunFailed("The copy could not be written to stable storage.", code)

    def _verify(self) -> None:
        self._compare(reads_back=False)

    def _compare(self, *, reads_back: bool) -> None:
        assert self._spec.tool_path is not None
        reader = self._engine.difference_reader(self._spec)
        differences = Differences(reader, most_named=MAX_FAILURES_NAMED)

        def take(segments: list[bytes]) -> None:
            news = differences.take(segments)
            if news:
                self._log_lines(news)

        def tick(*, at_once: bool = False) -> None:
            self._meter.note_phase_work(differences.work(self._meter.totals))
            self._report_progress(at_once=at_once)

        def look() -> None:
            self._show_file_compared(child.pid)
            tick()

        argv = self._engine.build_verify_argv(
            self._spec,
            self._spec.tool_path,
            is_directory=self._is_directory,
            reads_back=reads_back,
        )
        intake = self._intake(take, reader.concerns)
        child = self._help(events.VERIFICATION, self._start(argv, intake))
        tick(at_once=True)
        code = self._attendant().attend(child, on_tick=look)
        tick(at_once=True)
        self._check_stop()
        known_failures = self._tally.failed_paths if self._tally.warning else []
        meaning = self._engine.classify_verify_exit(code)
        if meaning.verdict is not Verdict.GOOD and reader.refusal is not None:
            meaning = reader.refusal
        elif reader.is_unproven and not reads_back:
            # By what both sides tell of the contents, nothing is proven.
            self._compare(reads_back=True)
            return
        may_try_again = self._spec.is_remote and self._tally.attempt < self._spec.max_attempts
        if meaning.verdict is Verdict.TRANSIENT and may_try_again:
            self._wait_for_next_attempt(meaning)
            self._compare(reads_back=reads_back)
            return
        fault = differences.fault(meaning, known_failures=known_failures)
        if fault is None:
            return
        for failure in differences.named:
            self._note_failure(failure)
        self._tally.files_failed += differences.count - len(differences.named)
        raise RunFailed(fault, code or None)

    def _show_file_compared(self, pid: int) -> None:
        if self._engine.reads_source_itself and not self._spec.source_is_remote:
            file = file_under_way(pid, self._spec.source)
            if file is not None:
                self._reading.current_name = file.name

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
            files_special=self._specials.count,
        )
