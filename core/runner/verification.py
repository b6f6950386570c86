"""The verification of a run: what the engine lists as different, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence

from core.engines.base import DifferenceReader, ExitMeaning, Failure, ScannedTotals, Verdict
from core.runner.meter import PhaseWork


class Differences:
    """Collects what a verification lists: counts every difference, names the first ones."""

    def __init__(self, reader: DifferenceReader, *, most_named: int) -> None:
        self._reader = reader
        self._most_named = most_named
        self.count = 0
        self.named: list[Failure] = []

    def take(self, lines: list[bytes]) -> list[bytes]:
        """Take lines of the verification's output; returns those that belong in the log."""
        reader, news = self._reader, []
        for line in lines:
            failure = reader.feed(line)
            if failure is not None:
                self.count += 1
                if len(self.named) < self._most_named:
                    self.named.append(failure)
            if failure is not None or not reader.tells_progress(line):
                news.append(line)
        return news

    def work(self, totals: ScannedTotals | None) -> PhaseWork:
        """Return how far the verification is, of so much in all where that is known."""
        reader = self._reader
        if totals is None:
            return PhaseWork(reader.files_compared, reader.bytes_compared)
        return PhaseWork(reader.files_compared, reader.bytes_compared, totals.files, totals.bytes)

    def fault(self, meaning: ExitMeaning, *, known_failures: Sequence[str]) -> str | None:
        """Return why the run has failed, or None when the copy is as it should be.

        Differences in files that are known to have failed in the transfer, by their paths, are no
        news: the run carries that warning already. A verification that found nothing must have
        looked at everything.
        """
        if meaning.verdict not in {Verdict.GOOD, Verdict.PARTIAL}:
            return f"Verification could not be done: {meaning.message}"
        news = [
            difference
            for difference in self.named
            if not any(_is_same(path, difference.path) for path in known_failures)
        ]
        count = len(news) + self.count - len(self.named)
        if count:
            word = "file differs" if count == 1 else "files differ"
            return f"Verification: {count:,} {word} from the source."
        if meaning.verdict is Verdict.PARTIAL and not self.count and not known_failures:
            return f"Verification could not be done: {meaning.message}"
        return None


def _is_same(failed: str, different: str) -> bool:
    # The transfer names a file by its absolute path, the verification from the top of the tree.
    return failed == different or failed.endswith(f"/{different}")
