"""The transfer: attempts until the copy is whole, or no further one is worth it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from core.engines.base import (
    DISK_FULL,
    READ_OR_WRITE_FAILED,
    ExitMeaning,
    OutputReader,
    Verdict,
)
from core.engines.rsync import partial_directory, temporary_file_argv
from core.engines.rsync_messages import PARTIAL_DIRECTORY
from core.engines.rsync_remote import is_over_ssh
from core.partial_files import keep_partial_file, remove_partial_files
from core.preflight import EMPTY_SOURCE, source_fault
from core.preflight_space import full_disk, is_full
from core.runner.followed_links import PartialFolders
from core.runner.known_hosts import make_known_hosts
from core.runner.leftovers import end_what_is_left
from core.runner.network import bytes_written, file_being_received, names_file
from core.runner.process import Child, file_under_way
from core.runner.workbench import NotAnswered, RunFailed, Stopped, Workbench
from models import events
from models.errors import OutsideRoots
from models.run_spec import RunSpec
from utils.process_identity import identify
from utils.timestamps import seconds_since_boot

_ENDS = (Verdict.GOOD, Verdict.PARTIAL)
"""After these the transfer is over: totals that are still to come are waited for."""
_SCAN_OUTPUT_LIMIT = 64 * 1024
_SCAN_NICENESS = 19
_SCAN_DELAY_SECONDS = 1.0
_HEAVY_SCAN_DELAY_SECONDS = 5.0
_CLOCK_STEP_SECONDS = 5.0
_DAEMON_PATIENCE_SECONDS = 30.0
"""How long a daemon's side of a cut attempt is waited for; then the file is sent anew."""
_DAEMON_LOOK_SECONDS = 1.0

SOME_NOT_COPIED = "Some files could not be copied."
"""For a tool whose exit code does not say so."""
_CLOCK_SET_BACK = ExitMeaning(Verdict.TRANSIENT, "The machine's clock was set back.")


class Transfer(Workbench):
    """The transfer of a run, with the scan beside it."""

    def _transfer(self) -> None:
        spec = self._spec
        make_known_hosts(spec)
        self._look_ahead(spec)
        try:
            self._attempt_until_it_is_over(spec)
        except (RunFailed, Stopped):
            # A later run looks again, if the disk does not answer now.
            with suppress(NotAnswered):
                self._keep_partial_file(spec, self._reading.current_name)
            raise

    def _attempt_until_it_is_over(self, spec: RunSpec) -> None:
        under_way = os.fsencode(spec.cut_off_file or "")
        while True:
            try:
                # Whoever cut that file off may have left nobody the time to do so, and a disk that
                # did not answer then may by now.
                self._keep_partial_file(spec, under_way)
                meaning = self._await_daemon(spec, under_way) or self._attempt(spec)
                # Of what was swapped while it went on nothing good can be said, and nothing is
                # tidied.
                self._refuse_outside()
            except NotAnswered as error:
                meaning = ExitMeaning(Verdict.TRANSIENT, str(error))
            if meaning.verdict is Verdict.GOOD:
                self._tidy_up()
                if self._tally.files_failed:
                    self._tally.warning = SOME_NOT_COPIED
                return
            if meaning.verdict is Verdict.PARTIAL:
                gone = source_fault(spec.source)
                if gone is not None:
                    raise RunFailed(f"Source: {gone.message}", self._tally.exit_code)
                self._tally.warning = meaning.message
                return
            under_way = self._reading.current_name or under_way
            if meaning is _CLOCK_SET_BACK:
                spec = spec._replace(resume=True)
                continue
            attempt = self._tally.attempt
            if meaning.verdict is Verdict.FATAL or attempt >= spec.max_attempts:
                raise RunFailed(meaning.message, self._tally.exit_code)
            self._wait_for_next_attempt(meaning)
            spec = spec._replace(resume=True)

    def _look_ahead(self, spec: RunSpec) -> None:
        """Scan before the first file is copied where that may tell that none must be.

        A local source was looked at in preflight; and an estimate alone ends no run.
        """
        self._room.measure()
        deletes = spec.delete_extraneous and spec.only_failed_of is None
        may_be_empty = deletes and spec.source_is_remote
        if not may_be_empty and not self._room.is_doubtful():
            return
        self._attendant().attend(self._start_scan(spec), on_tick=self._report_progress)
        self._check_stop()
        totals = self._meter.totals
        if may_be_empty and totals is not None and totals.files == 0:
            raise RunFailed(f"Source: {EMPTY_SOURCE}")
        self._heed_room(at_once=True)
        if self._no_room is not None:
            raise RunFailed(self._no_room.message)

    def _heed_room(self, *, at_once: bool = False) -> None:
        finding = self._room.look(self._meter.totals, self._reading, at_once=at_once)
        if finding is None:
            return
        if finding.notice is not None:
            self._journal.append_if_possible(events.Noticed(finding.notice))
        if finding.fault is not None:
            self._no_room = ExitMeaning(Verdict.FATAL, finding.fault)

    def _end_early(self, child: Child) -> None:
        """End a transfer that there is no room for: as a person's stop would."""
        now = time.monotonic()
        if self._ended_early_at is None:
            self._ended_early_at = now
            child.signal_group(signal.SIGTERM)
        elif now - self._ended_early_at > self._spec.stop_grace_seconds:
            child.signal_group(signal.SIGKILL)

    def _keep_partial_file(self, spec: RunSpec, name: bytes) -> None:
        """Keep what was written of a file for the next attempt. Raises NotAnswered."""
        if not name or not self._engine.reads_source_itself or spec.is_remote:
            return
        if self._outside():
            return  # What ends the run now is told; nothing is moved out there.
        try:
            keep_partial_file(spec.source, spec.destination, name, spec.allowed_roots)
        except (OSError, OutsideRoots) as error:
            self._log_lines([f"The partial file could not be kept: {error}".encode()])

    def _refuse_partial_links(self, spec: RunSpec) -> None:
        """Raises RunFailed, and NotAnswered where nobody can tell."""
        if spec.destination_is_remote or not self._engine.reads_source_itself:
            return
        in_each = self._is_directory and partial_directory(spec) == PARTIAL_DIRECTORY
        folders = PartialFolders(spec.destination, in_each_folder=in_each)
        while not self._ask(folders.look_on):
            self._report_progress()
        if folders.fault is not None:
            raise RunFailed(folders.fault)

    def _await_daemon(self, spec: RunSpec, name: bytes) -> ExitMeaning | None:
        """Wait while a daemon still writes what an attempt that was cut off sent of a file.

        It keeps that as the partial file to go on from when its side ends: seconds after a cut link
        is back, since it hears no sooner that ours has ended. Returns why it could not be asked, or
        None when the attempt may begin.
        """
        if not (name and spec.resume and spec.destination_is_remote):
            return None
        if not self._engine.reads_source_itself:
            # It keeps no part of a file.
            return None
        assert spec.tool_path is not None
        give_up_at = time.monotonic() + _DAEMON_PATIENCE_SECONDS
        reader = self._engine.output_reader(spec)

        def take_errors(segments: list[bytes]) -> None:
            reader.feed(segments)
            self._log_lines(segments)

        argv = temporary_file_argv(spec, spec.tool_path, name)
        while True:
            listed: list[bytes] = []
            child = self._start(argv, listed.extend, take_errors)
            self._help("look at the destination", child)
            code = self._attendant().attend(child, on_tick=self._report_progress)
            self._check_stop()
            meaning = self._engine.classify_exit(code)
            if meaning.verdict is Verdict.TRANSIENT and reader.reading.refusal is None:
                self._tally.exit_code = code
                return meaning
            # Whatever else is wrong, the attempt itself will say.
            if not names_file(listed) or code or time.monotonic() > give_up_at:
                return None
            if self._stop.wait(_DAEMON_LOOK_SECONDS):
                raise Stopped

    def _tidy_up(self) -> None:
        # All is whole: what lies in the partial directory is of no use to a later run, and rsync
        # leaves the directory itself. A daemon's rsync removes what it has used.
        if self._spec.destination_is_remote:
            return
        try:
            remove_partial_files(self._spec.destination, self._spec.allowed_roots)
        except (OSError, OutsideRoots) as error:
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
        self._refuse_partial_links(spec)
        reader = self._engine.output_reader(spec)
        self._reading = reader.reading
        self._reading.totals = self._meter.totals
        self._meter.begin_attempt(self._tally.attempt)
        self._tally.begin_attempt()
        self._specials.begin_attempt()

        def take(segments: list[bytes]) -> None:
            batch = reader.feed(segments)
            for failure in batch.failures:
                self._note_failure(failure)
            if batch.skipped:
                self._note_specials(batch.skipped)
            if batch.log:
                self._log_lines(batch.log)

        argv = self._engine.build_argv(
            spec,
            spec.tool_path,
            is_directory=self._is_directory,
            lists_at_once=self._lists_at_once,
        )
        child = self._start(argv, self._intake(take, reader.concerns))
        who = identify(child.pid)
        if who is not None:
            self._journal.append(events.EngineStarted(who, self._tally.attempt))
        meaning = self._attend(child, spec, reader)
        if meaning.verdict is not Verdict.GOOD:
            # The next attempt would write to the same files.
            end_what_is_left(spec.run_id)
        if self._stop.requested and meaning.verdict is not Verdict.GOOD:
            raise Stopped
        if meaning.verdict is Verdict.GOOD:
            # What was seen open a moment before the end is counted as done by now.
            self._reading.bytes_in_flight = 0
            self._meter.complete(self._reading)
        self._report_progress(at_once=True)
        return meaning

    def _attend(self, child: Child, spec: RunSpec, reader: OutputReader) -> ExitMeaning:
        """Attend the engine process to its end, with the scan beside it when that is due."""
        attendant = self._attendant()
        scan_from = self._scan_from()
        scans: list[Child] = []
        clock = WallClock()
        is_paced = spec.bandwidth_limit is not None and self._engine.paces_by_wall_clock
        may_scan = True

        def scan_when(is_due: bool) -> None:
            nonlocal may_scan
            if not is_due or not may_scan or scans or self._meter.has_totals:
                return
            try:
                scans.append(self._start_scan(spec))
            except NotAnswered:
                # The attempt goes on without, and is judged again at its end: were it left alone
                # now, it would write beside the next one.
                may_scan = False
                return
            attendant.attend_beside(scans[0])

        def scan_when_due() -> None:
            scan_when(time.monotonic() >= scan_from or reader.reading.wants_totals)

        def tick() -> None:
            scan_when_due()
            self._look_at_open_file(child.pid, reader)
            self._report_progress()
            self._heed_room()
            if self._no_room is not None:
                self._end_early(child)
            if is_paced and clock.goes_back():
                child.signal_group(signal.SIGTERM)

        scan_when_due()
        meaning = self._meaning_of(attendant.attend(child, on_tick=tick))
        is_counted = reader.reading.counts_all or meaning.verdict not in _ENDS
        scan_when(not is_counted)
        for scan in scans:
            attendant.finish(scan, kill=is_counted or self._stop.requested)
        if clock.went_back and meaning.verdict is Verdict.TRANSIENT:
            return _CLOCK_SET_BACK
        if self._no_room is not None and meaning.verdict is not Verdict.GOOD:
            return self._no_room
        return meaning

    def _look_at_open_file(self, pid: int, reader: OutputReader) -> None:
        spec, reading = self._spec, reader.reading
        if not self._engine.reads_source_itself:
            # It tells of its files by itself, and keeps more than one open.
            return
        if spec.source_is_remote:
            reader.note_open_file(file_being_received(pid, spec.destination))
        else:
            reader.note_open_file(file_under_way(pid, spec.source))
        if spec.destination_is_remote:
            sent = bytes_written(pid, through_helper=is_over_ssh(spec))
            reading.bytes_sent = max(reading.bytes_sent, sent)

    def _meaning_of(self, code: int) -> ExitMeaning:
        """Put the end of an attempt on record, and tell what it means."""
        self._tally.exit_code = code
        self._tally.files_deleted = self._reading.files_deleted
        meaning = self._engine.classify_exit(code)
        if meaning.verdict is not Verdict.GOOD and self._reading.refusal is not None:
            told_so = self._reading.refusal == DISK_FULL
            return full_disk(self._spec.destination) if told_so else self._reading.refusal
        may_be_full = meaning == READ_OR_WRITE_FAILED and not self._spec.destination_is_remote
        if may_be_full and is_full(self._spec.destination):
            return full_disk(self._spec.destination)
        if meaning.verdict is not Verdict.PARTIAL:
            return meaning
        if self._tally.disk_is_full:
            return full_disk(self._spec.destination)
        if self._engine.is_partial_for_sure(code, files_failed=self._tally.files_failed):
            return meaning
        return ExitMeaning(Verdict.FATAL, f"{self._engine.command} failed: see its output.")

    def _scan_from(self) -> float:
        """When the scan is due, in monotonic seconds; never when the totals are known."""
        if self._meter.has_totals:
            return float("inf")
        if not self._meter.has_estimate:
            return time.monotonic()
        # With an estimate to show, a transfer that ends soon is spared the scan's reading; most of
        # all where the tool itself needs every processor.
        is_light = self._engine.names_skipped_files
        return time.monotonic() + (_SCAN_DELAY_SECONDS if is_light else _HEAVY_SCAN_DELAY_SECONDS)

    def _start_scan(self, spec: RunSpec) -> Child:
        assert spec.tool_path is not None
        output = bytearray()

        def take(segments: list[bytes]) -> None:
            if len(output) > _SCAN_OUTPUT_LIMIT:
                return
            for segment in segments:
                if len(output) <= _SCAN_OUTPUT_LIMIT:
                    output.extend(segment + b"\n")
            if len(output) > _SCAN_OUTPUT_LIMIT:
                # Whatever says so much is no scan, and takes the transfer's time.
                scan.signal_group(signal.SIGKILL)
                return
            totals = self._engine.parse_scan(bytes(output))
            if totals is not None:
                self._meter.set_totals(totals)
                self._reading.totals = totals

        argv = self._engine.build_scan_argv(spec, spec.tool_path, is_directory=self._is_directory)
        scan = self._start(argv, take, _ignore, niceness=_SCAN_NICENESS)
        return self._help("scan", scan)


class WallClock:
    """Tells when the machine's clock was set back, by the one that nobody sets."""

    def __init__(self) -> None:
        self._ahead = time.time() - seconds_since_boot()
        self.went_back = False

    def goes_back(self) -> bool:
        """Whether it was set back since the last look, by more than a few seconds; true once."""
        if self.went_back or time.time() - seconds_since_boot() > self._ahead - _CLOCK_STEP_SECONDS:
            return False
        self.went_back = True
        return True


def _ignore(_segments: list[bytes]) -> None:
    """Take nothing: the transfer itself reports what cannot be read."""
