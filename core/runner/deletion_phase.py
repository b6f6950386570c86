"""A run that deletes its sources in the end: what comes after the phases of every run.

The deletion itself is a process of its own (core/runner/source_deletion.py); here stands when it is
started, with which files, and what follows from its end. Loaded by runs that delete alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from core.engines.base import Engine, Verdict
from core.engines.selection import selected_names, selection_argv
from core.preflight_mounts import has_any_file
from core.runner.journal import CappedLog, Journal
from core.runner.meter import PhaseWork
from core.runner.phases import Performance
from core.runner.process import StopSwitch
from core.runner.selected_files import SELECTED_NAME, NameWriter
from core.runner.workbench import RunFailed
from models import events
from models.progress import PhaseName, RunOutcome
from models.run_spec import TRASH_FOLDER, RunSpec
from models.source_deletions import PUT_BACK

_PURPOSE = "source deletion"
_PROJECT_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from core.runner.source_deletion import main; sys.exit(main(sys.argv[2:]))"
)
"""By its path, since the runner has left the folder that `-m` would look in."""
_EXIT_DONE, _EXIT_REFUSED = 0, 4
_KEPT_ALL = "Nothing was deleted at the source: not every file was copied without a fault."


class DeletionReport:
    """What the process that deletes has told last."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self.gone = self.kept = 0
        self.name = b""
        self.message: str | None = None

    def take(self, segments: list[bytes]) -> None:
        """Take lines of its output; what is none of its own says nothing."""
        for segment in segments:
            try:
                document: dict[str, Any] = json.loads(segment)
                self.files, self.bytes = int(document["files"]), int(document["bytes"])
                self.gone = int(document["deleted"]) + int(document["trashed"])
                self.kept = int(document["kept"])
                self.name = os.fsencode(document["name"])
                self.message = document["message"]
            except (ValueError, TypeError, KeyError):
                continue


class DeletingRun(Performance):
    """A run that deletes what it has copied, each file on proof."""

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
        self._directory = directory
        self._report = DeletionReport()
        self._has_differences = False

    def _preflight(self) -> None:
        self._faults()  # Waits for the disks; what is wrong beside that is looked at below.
        # First, since what was moved aside may be all that the source has.
        self._put_back_cut_off()
        super()._preflight()
        if self._spec.source_mount and not has_any_file(self._spec.source):
            self._notice("The source is empty, and its disk is mounted: there is nothing to copy.")

    def _put_back_cut_off(self) -> None:
        source = self._spec.source
        tops = (source, os.path.dirname(source))
        if self._spec.is_remote or not any(
            os.path.isdir(os.path.join(top, TRASH_FOLDER)) for top in tops
        ):
            return
        code = self._run_program("put-back of what was cut off", PUT_BACK)
        message, self._report.message = self._report.message, None
        if code != _EXIT_DONE:
            message = f"What a run that was cut off had moved aside stays there. {message or ''}"
        if message:
            self._notice(message.strip())

    def _perform_phases(self) -> None:
        try:
            super()._perform_phases()
        except RunFailed:
            # Each file by its own proof: those that differ stay, and the run has failed all the
            # same.
            if not self._has_differences or self._spec.source_deletion != "per_file":
                raise
            self._phase(PhaseName.DELETE_SOURCE, self._delete_sources)
            raise
        if self._spec.is_remote:
            self._notice("Nothing was deleted at the source: one of the locations is remote.")
        elif self._tally.warning and self._spec.source_deletion != "per_file":
            self._notice(_KEPT_ALL)
        else:
            self._phase(PhaseName.DELETE_SOURCE, self._delete_sources)

    def _verify(self) -> None:
        failed_before = self._tally.files_failed
        try:
            super()._verify()
        except RunFailed:
            self._has_differences = self._tally.files_failed > failed_before
            raise

    def _end(self, outcome: RunOutcome, message: str | None) -> events.RunEnded:
        return super()._end(outcome, message)._replace(sources_deleted=self._report.gone)

    def _notice(self, message: str) -> None:
        self._journal.append_if_possible(events.Noticed(message))

    def _delete_sources(self) -> None:
        if not self._list_selected():
            return
        code = self._run_program(_PURPOSE, on_tick=self._tell_progress)
        self._tell_progress(at_once=True)
        self._check_stop()
        if code not in {_EXIT_DONE, _EXIT_REFUSED}:
            raise RunFailed(self._report.message or f"The deletion of sources ended with {code}.")
        if self._report.message:
            told = (self._tally.warning, self._report.message)
            self._tally.warning = " ".join(text for text in told if text)

    def _run_program(
        self, purpose: str, *command: str, on_tick: Callable[[], None] = lambda: None
    ) -> int:
        argv = [sys.executable, "-S", "-E", "-s", "-P", "-c", _PROGRAM]
        argv += [_PROJECT_ROOT, self._directory, *command]
        child = self._help(purpose, self._start(argv, self._report.take, self._log_lines))
        return self._attendant().attend(child, on_tick=on_tick)

    def _tell_progress(self, *, at_once: bool = False) -> None:
        self._reading.current_name = self._report.name or self._reading.current_name
        totals, report = self._meter.totals, self._report
        of_all = (totals.files, totals.bytes) if totals else ()
        self._meter.note_phase_work(PhaseWork(report.files, report.bytes, *of_all))
        self._report_progress(at_once=at_once)

    def _list_selected(self) -> bool:
        """Write down what the transfer covers; False when nothing may be deleted by that list."""
        spec = self._spec
        assert spec.tool_path is not None
        argv = selection_argv(self._engine, spec, spec.tool_path, is_directory=self._is_directory)
        try:
            names = NameWriter(os.path.join(self._directory, SELECTED_NAME))

            def take(segments: list[bytes]) -> None:
                for segment in segments:
                    found = selected_names(self._engine, segment)
                    names.write(self._chosen(found))

            child = self._help("list of files", self._start(argv, take, self._log_lines))
            code = self._attendant().attend(child, on_tick=self._report_progress)
            names.close()
        except OSError as error:
            raise RunFailed(f"The files could not be listed: {error.strerror}.") from error
        self._check_stop()
        meaning = self._engine.classify_exit(code)
        is_partial = meaning.verdict is Verdict.PARTIAL and spec.source_deletion == "per_file"
        if meaning.verdict is Verdict.GOOD or is_partial:
            return True
        self._tally.warning = (
            "Nothing was deleted at the source: its files could not be listed without a fault. "
            f"{meaning.message}"
        )
        return False

    def _chosen(self, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if len(names) < 2:
            return names
        literal, link = names
        top = os.fsencode(self._spec.source)
        return (link,) if os.path.islink(os.path.join(top, link)) else (literal,)
