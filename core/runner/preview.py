"""The dry run of a job: preflight, then what the tool says that it would do, and nothing else.

Loaded for such a run alone. Nothing is written to the destination, which may not even be there.
"""

from __future__ import annotations

from core.engines.base import Engine, ExitMeaning, ScannedTotals, Verdict
from core.engines.previews import PREVIEWS
from core.preflight import source_fault
from core.runner.change_list import ChangeList
from core.runner.journal import CappedLog, Journal
from core.runner.leftovers import end_what_is_left
from core.runner.phases import Performance
from core.runner.process import StopSwitch
from core.runner.workbench import RunFailed, Stopped
from models import events
from models.progress import PhaseName, RunOutcome
from models.run_spec import STOPPED_DRY_RUN, RunSpec
from utils.process_identity import identify


class DryRun(Performance):
    """One dry run from preflight to its end."""

    def __init__(
        self,
        directory: str,
        spec: RunSpec,
        engine: Engine,
        journal: Journal,
        log: CappedLog,
        stop: StopSwitch,
    ) -> None:
        super().__init__(spec, engine, journal, log, stop)
        local = None if spec.destination_is_remote else spec.destination
        self._list = ChangeList(directory, destination=local)
        if spec.expected_files is not None:
            # Files are looked at, and no bytes are moved: those say how far it is.
            self._meter.expect_totals(ScannedTotals(spec.expected_files, 0))

    def _perform_phases(self) -> None:
        self._phase(PhaseName.PREFLIGHT, self._preflight)
        self._phase(PhaseName.DRY_RUN, self._dry_run)
        self._tell_of_specials()

    def _make_destination(self) -> None:
        """It stays as it is, absent too."""

    def _dry_run(self) -> None:
        while True:
            meaning = self._look()
            if meaning.verdict is Verdict.GOOD:
                return
            if meaning.verdict is Verdict.PARTIAL:
                gone = source_fault(self._spec.source)
                if gone is not None:
                    raise RunFailed(f"Source: {gone.message}", self._tally.exit_code)
                self._tally.warning = meaning.message
                return
            if meaning.verdict is Verdict.FATAL or self._tally.attempt >= self._spec.max_attempts:
                raise RunFailed(meaning.message, self._tally.exit_code)
            self._wait_for_next_attempt(meaning)

    def _look(self) -> ExitMeaning:
        """Let the tool tell once what it would do; what an attempt before it told is forgotten."""
        assert self._spec.tool_path is not None
        preview = PREVIEWS[self._spec.engine]
        reader = preview.reader(self._engine, self._spec)
        self._reading = reader.reading
        self._meter.begin_attempt(self._tally.attempt)
        self._tally.begin_attempt()
        self._specials.begin_attempt()
        self._list.begin()

        def take(lines: list[bytes]) -> None:
            batch = reader.feed(lines)
            for failure in batch.rest.failures:
                self._note_failure(failure)
            self._note_specials(batch.rest.skipped)
            if batch.rest.log:
                self._log_lines(batch.rest.log)
            self._list.add(batch.changes)

        argv = preview.build_argv(
            self._engine,
            self._spec,
            self._spec.tool_path,
            is_directory=self._is_directory,
            lists_at_once=self._lists_at_once,
        )
        child = self._start(argv, take)
        who = identify(child.pid)
        if who is not None:
            self._journal.append(events.EngineStarted(who, self._tally.attempt))
        code = self._attendant().attend(child, on_tick=self._report_progress)
        self._list.add(reader.close())
        meaning = self._meaning_of(code)
        if meaning.verdict is Verdict.GOOD:
            self._meter.complete(self._reading)
        else:
            end_what_is_left(self._spec.run_id)
            if self._stop.requested:
                raise Stopped
        self._report_progress(at_once=True)
        return meaning

    def _end(self, outcome: RunOutcome, message: str | None) -> events.RunEnded:
        if outcome is RunOutcome.PAUSED:
            message = STOPPED_DRY_RUN
        counts = self._list.counts
        if counts is not None:
            counts.looked_at = self._reading.files_done
        self._list.close()
        preview = counts.document() if counts is not None else None
        return super()._end(outcome, message)._replace(preview=preview)
