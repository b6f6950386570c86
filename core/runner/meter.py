"""Turns what an engine's output says into honest progress: never backwards, totals as they are.

Source of the rules: architecture.md, decision 6, and contracts.md, `bytes_done` and `percent`.
"""

from __future__ import annotations

from collections import deque

from core.engines.base import Reading, ScannedTotals
from models.progress import PhaseName, Progress, Totals

_WINDOW_SECONDS = 10.0
_LEAST_SECONDS_FOR_A_RATE = 0.5
_LEAST_SECONDS_FOR_A_TIME_LEFT = 2.0
_BELOW_ALL = 99.9
"""The most that is shown until the transfer has ended well."""


class Meter:
    """The progress of one run over all its phases and attempts. Times in monotonic seconds."""

    def __init__(self) -> None:
        self._totals: ScannedTotals | None = None
        self._estimate: ScannedTotals | None = None
        self._shown = Progress()
        self._sent_before = 0
        self._is_complete = False
        self._samples: deque[tuple[float, int, int]] = deque()

    def begin_phase(self, phase: PhaseName, attempt: int) -> None:
        """From now on the progress belongs to this phase."""
        self._samples.clear()
        self._shown = self._shown._replace(phase=phase, attempt=attempt)

    def begin_attempt(self) -> None:
        """What was sent so far stays counted; the next reading begins at 0."""
        self._sent_before = self._shown.bytes_sent
        self._samples.clear()

    def expect_totals(self, totals: ScannedTotals) -> None:
        """Until totals are known, these are shown as an estimate."""
        self._estimate = totals

    def set_totals(self, totals: ScannedTotals) -> None:
        """The scan has ended: from now on totals are known."""
        self._totals = totals

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
        bytes_total, files_total = self._counted_totals(done, files)
        rate, left = self._rates(now, done, sent, bytes_total)
        skipped = reading.files_skipped
        if self._is_complete:
            skipped = max(skipped, files - reading.files_finished)
        self._shown = Progress(
            phase=shown.phase,
            attempt=shown.attempt,
            bytes_done=done,
            bytes_total=bytes_total,
            bytes_sent=sent,
            files_done=files,
            files_total=files_total,
            files_skipped=max(shown.files_skipped, skipped),
            totals=self._kind_of_totals(),
            percent=self._percent(done, bytes_total, files, files_total),
            bytes_per_second=rate,
            eta_seconds=left,
            current_file=reading.current_file or shown.current_file,
            updated_at=timestamp,
        )
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
        totals = self._totals or self._estimate
        if totals is None:
            return None, None
        # A source that grew since the scan: what is done is never more than all.
        return max(totals.bytes, done), max(totals.files, files)

    def _percent(
        self, done: int, total: int | None, files: int, files_total: int | None
    ) -> float | None:
        if total is None or files_total is None:
            return None
        if self._is_complete:
            return 100.0
        share = done / total if total else files / files_total if files_total else 0.0
        return max(self._shown.percent or 0.0, min(_BELOW_ALL, round(share * 100, 1)))

    def _rates(
        self, now: float, done: int, sent: int, total: int | None
    ) -> tuple[int | None, int | None]:
        self._samples.append((now, done, sent))
        while now - self._samples[0][0] > _WINDOW_SECONDS:
            self._samples.popleft()
        first_time, first_done, first_sent = self._samples[0]
        seconds = now - first_time
        if self._is_complete or seconds < _LEAST_SECONDS_FOR_A_RATE:
            return None, None
        rate = round((sent - first_sent) / seconds)
        pace = (done - first_done) / seconds
        if total is None or pace <= 0 or seconds < _LEAST_SECONDS_FOR_A_TIME_LEFT:
            return rate, None
        return rate, round((total - done) / pace)
