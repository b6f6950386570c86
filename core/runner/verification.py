"""The verification of a run: what the engine lists as different, and what follows from that."""

from __future__ import annotations

from core.engines.base import DifferenceReader, ExitMeaning, Failure, Verdict


class Differences:
    """Collects what a verification lists: counts every difference, names the first ones."""

    def __init__(self, reader: DifferenceReader, *, most_named: int) -> None:
        self._reader = reader
        self._most_named = most_named
        self.count = 0
        self.named: list[Failure] = []

    def take(self, lines: list[bytes]) -> None:
        """Take lines of the verification's output."""
        for line in lines:
            failure = self._reader.feed(line)
            if failure is not None:
                self.count += 1
                if len(self.named) < self._most_named:
                    self.named.append(failure)

    def fault(self, meaning: ExitMeaning, *, known_failures: int) -> str | None:
        """Return why the run has failed, or None when the copy is as it should be.

        No more differences than files that are known to have failed in the transfer are no news:
        the run carries that warning already.
        """
        if known_failures and self.count <= known_failures:
            return None
        if self.count:
            word = "file differs" if self.count == 1 else "files differ"
            return f"Verification: {self.count:,} {word} from the source."
        if meaning.verdict is not Verdict.GOOD:
            return f"Verification could not be done: {meaning.message}"
        return None
