"""Turns what an engine's output says into honest progress: never backwards, totals as they are.

Source of the rules: architecture.md, decision 6, and contracts.md, `bytes_done` and `percent`.

`percent` is the run's: how much of what is to be copied stands at the destination; it is 100 from
the good end of the transfer on. A phase after that (`verify`, `delete_source`) has a progress of
its own beside it, the `phase_` fields, which begin anew with each phase. For that a phase calls
`note_phase_work` with what it has done by now, as often as it likes, and `progress` as ever; the
time left is then the phase's.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from core.engines.base import Reading, ScannedTotals
from core.runner.pace import Counts, Pace
from models.progress import PhaseName, Progress, Totals

_BELOW_ALL = 99.9
"""The most that is shown until the transfer has ended well."""
_TRUSTED_SHARE = 0.9
"""So far an estimate is taken at its word; beyond, it may well be too small."""


class PhaseWork(NamedTuple):
    """What a phase of its own progress has done, and of how much: files and bytes. None where that
    is not told or not known; where both are, the bytes say how far the phase is."""

    files: int
    bytes: int | None = None
    files_total: int | None = None
    bytes_total: int | None = None

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1; None where nobody knows."""
        if self.bytes is not None and self.bytes_total:
            return min(1.0, self.bytes / self.bytes_total)
        if self.files_total is None:
            return None
        return min(1.0, self.files / self.files_total) if self.files_total else 1.0


class Meter:
    """The progress of one run over all its phases and attempts. Times in monotonic seconds."""

    def __init__(self, *, tells_time_left: bool = True) -> None:
        self._tells_time_left = tells_time_left
        self._totals: ScannedTotals | None = None
        self._estimate: ScannedTotals | None = None
        self._shown = Progress()
        self._sent_before = 0
        self._is_complete = False
        self._pace = Pace()
        self._work: PhaseWork | None = None
        self._known_from: tuple[float, float] | None = None
        """What was shown when the totals became known, and what it should have been, in percent:
        where an estimate was too small."""

    def begin_phase(self, phase: PhaseName, attempt: int) -> None:
        """From now on the progress belongs to this phase."""
        self._pace.begin()
        self._work = None
        self._shown = self._shown._replace(
            phase=phase,
            attempt=attempt,
            phase_files=None,
            phase_files_total=None,
            phase_bytes=None,
            phase_bytes_total=None,
            phase_percent=None,
        )

    def begin_attempt(self, attempt: int) -> None:
        """What was sent so far stays counted; the next reading begins at 0."""
        self._shown = self._shown._replace(attempt=attempt)
        self._sent_before = self._shown.bytes_sent
        self._pace.begin()

    def note_phase_work(self, work: PhaseWork) -> None:
        """What the phase under way has done by now; the next `progress` shows it.

        No figure falls within a phase, whatever is told here; a phase may begin again from the
        first file without harm.
        """
        self._work = work

    def expect_totals(self, totals: ScannedTotals) -> None:
        """Until totals are known, these are shown as an estimate."""
        self._estimate = totals

    def set_totals(self, totals: ScannedTotals) -> None:
        """The scan has ended: from now on totals are known."""
        self._totals = totals

    @property
    def totals(self) -> ScannedTotals | None:
        """The totals as far as they are known, and not only estimated."""
        return self._totals

    @property
    def has_totals(self) -> bool:
        """Whether the totals are known, not only estimated."""
        return self._totals is not None

    @property
    def has_estimate(self) -> bool:
        """Whether there is an estimate to show until then."""
        return self._estimate is not None

    def complete(self, reading: Reading) -> None:
        """The transfer ended well: what is done is all there is."""
        if self._totals is None:
            self._totals = ScannedTotals(reading.files_done, reading.bytes_done)
        self._is_complete = True

    def progress(self, reading: Reading, now: float, timestamp: str) -> Progress:
        """Return the progress for this reading; no figure is below what was shown before."""
        shown = self._shown
        done = max(shown.bytes_done, reading.bytes_done)
        files = max(shown.files_done, reading.files_done)
        if self._is_complete and self._totals is not None:
            done, files = max(done, self._totals.bytes), max(files, self._totals.files)
        sent = max(shown.bytes_sent, self._sent_before + reading.bytes_sent)
        skipped = reading.files_skipped
        if self._is_complete:
            skipped = max(skipped, files - reading.files_finished)
        bytes_total, files_total = self._counted_totals(done, files)
        self._shown = shown._replace(
            bytes_done=done,
            bytes_total=bytes_total,
            bytes_sent=sent,
            files_done=files,
            files_total=files_total,
            files_skipped=max(shown.files_skipped, skipped),
            totals=self._kind_of_totals(),
            percent=self._percent(done, files),
            current_file=reading.current_file or shown.current_file,
            updated_at=timestamp,
        )
        if self._work is not None:
            self._show_phase(self._work, now)
        elif self._is_complete:
            self._shown = self._shown._replace(bytes_per_second=None, eta_seconds=None)
        else:
            self._show_pace(Counts(now, files, done, sent, reading.files_skipped))
        return self._shown

    def last(self, timestamp: str) -> Progress:
        """Return what was shown last, under a new time."""
        self._shown = self._shown._replace(updated_at=timestamp)
        return self._shown

    def _kind_of_totals(self) -> Totals:
        if self._totals is not None:
            return Totals.KNOWN
        return Totals.UNKNOWN if self._estimate is None else Totals.ESTIMATED

    def _counted_totals(self, done: int, files: int) -> tuple[int | None, int | None]:
        if self._totals is not None:
            # A source that grew since the scan: what is done is never more than all.
            return max(self._totals.bytes, done), max(self._totals.files, files)
        if self._estimate is None:
            return None, None
        # One that was too small says nothing any more.
        return (
            self._estimate.bytes if done <= self._estimate.bytes else None,
            self._estimate.files if files <= self._estimate.files else None,
        )

    def _percent(self, done: int, files: int) -> float | None:
        totals = self._totals or self._estimate
        if totals is None:
            return None
        if self._is_complete:
            return 100.0
        share = done / totals.bytes if totals.bytes else files / totals.files if totals.files else 0
        shown = self._shown.percent or 0.0
        if self._totals is None:
            percent = _percent_of_estimate(share)
        else:
            percent = self._percent_of_known(min(1.0, share), shown)
        return max(shown, min(_BELOW_ALL, round(percent, 1)))

    def _percent_of_known(self, share: float, shown: float) -> float:
        """What is left of the hundred goes evenly to what is left to do, where too much was shown
        before: it would stand still for long otherwise."""
        if self._known_from is None:
            self._known_from = (shown, share) if shown > share * 100 else (0.0, 0.0)
        percent, since = self._known_from
        if since >= 1.0:
            return percent
        return percent + (100 - percent) * (share - since) / (1 - since)

    def _show_pace(self, counts: Counts) -> None:
        self._pace.add(counts)
        self._shown = self._shown._replace(
            bytes_per_second=self._pace.bytes_per_second(),
            eta_seconds=self._time_left(
                counts.files, counts.bytes, self._shown.files_total, self._shown.bytes_total
            ),
        )

    def _show_phase(self, work: PhaseWork, now: float) -> None:
        shown = self._shown
        files = max(shown.phase_files or 0, work.files)
        bytes_ = None if work.bytes is None else max(shown.phase_bytes or 0, work.bytes)
        share = 0.0 if work.share is None else work.share
        percent = max(shown.phase_percent or 0.0, round(share * 100, 1))
        self._pace.add(Counts(now, work.files, work.bytes or 0, work.bytes or 0))
        bytes_total = None if work.bytes is None else work.bytes_total
        self._shown = shown._replace(
            phase_files=files,
            phase_files_total=work.files_total and max(work.files_total, files),
            phase_bytes=bytes_,
            phase_bytes_total=bytes_total and max(bytes_total, bytes_ or 0),
            phase_percent=shown.phase_percent if work.share is None else percent,
            bytes_per_second=None if work.bytes is None else self._pace.bytes_per_second(),
            eta_seconds=self._time_left(
                work.files, work.bytes or 0, work.files_total, bytes_total or 0
            ),
        )

    def _time_left(
        self, files: int, done: int, files_total: int | None, bytes_total: int | None
    ) -> int | None:
        """Return the whole seconds that are left, never 0 while something is; None where unknown
        or where an estimate begins to be doubtful."""
        is_known = self._tells_time_left or self._work is not None
        if not is_known or files_total is None or bytes_total is None:
            return None
        if self._totals is None and done > _TRUSTED_SHARE * bytes_total:
            return None
        left = self._pace.seconds_left(
            files=max(0, files_total - files), bytes_=max(0, bytes_total - done)
        )
        return None if left is None else max(1, ceil(left))


def _percent_of_estimate(share: float) -> float:
    """The last tenth is never used up, since the estimate may be too small by any factor."""
    if share <= _TRUSTED_SHARE:
        return share * 100
    return 100 - (1 - _TRUSTED_SHARE) * 100 * _TRUSTED_SHARE / share
