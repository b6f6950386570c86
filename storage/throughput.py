"""How fast a run sent over time, read out of the progress in its journal.

Whatever the length of a journal, no more than some hundred of its figures are in memory: what was
sent is counted from the beginning, so that a rate between any two of them is exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

MAX_POINTS = 300
_LEAST_SECONDS = 1.0
"""A tool tells in steps what it has sent: over less time than this a rate is noise."""
_LONGEST_LINE = 1024 * 1024
_BEGINNING = b'"event":"run_started"'
_KIND_WITHIN = 80
"""So many bytes from its beginning on, a line tells what kind it is."""
_TIME = re.compile(rb'\{"t":"([0-9T:.Z+-]{20,32})"')
# Not a part of a name: a quotation mark in one is escaped.
_SENT = re.compile(rb'"bytes_sent":(\d{1,18})\b')


class RatePoint(NamedTuple):
    """What was sent in a second since the point before; `seconds` since the run began."""

    seconds: float
    bytes_per_second: float


class SentOverTime:
    """Folds what was sent at which time to points, at most so many."""

    def __init__(self, most: int = MAX_POINTS) -> None:
        self._most = most
        self._step = _LEAST_SECONDS
        self._kept = [RatePoint(0.0, 0)]
        self._newest = self._kept[0]
        self._time: float | None = None

    def add(self, time: float, sent: int) -> None:
        """Take how many bytes were sent in all at a time; the first one is the beginning."""
        # A clock that was set back does not turn the run back.
        passed = max(0.0, time - self._time) if self._time is not None else 0.0
        self._time = time
        self._newest = RatePoint(self._newest[0] + passed, max(sent, self._newest[1]))
        if self._newest.seconds - self._kept[-1].seconds < self._step:
            return
        self._kept.append(self._newest)
        while len(self._kept) > self._most + 1:
            self._step *= 2
            self._kept = list(self._thinned())

    def points(self) -> tuple[RatePoint, ...]:
        """Return the rates between what was kept, up to the newest figure."""
        kept = self._kept
        rest = self._newest.seconds - kept[-1].seconds
        if rest >= self._step / 2 and len(kept) <= self._most:
            kept = [*kept, self._newest]
        elif len(kept) > 1:
            kept = [*kept[:-1], self._newest]
        return tuple(
            RatePoint(until[0], (until[1] - since[1]) / (until[0] - since[0]))
            for since, until in pairwise(kept)
        )

    def _thinned(self) -> Iterator[RatePoint]:
        last = self._kept[0]
        yield last
        for one in self._kept[1:]:
            if one.seconds - last.seconds >= self._step:
                last = one
                yield one


def read_throughput(directory: Path, most: int = MAX_POINTS) -> tuple[RatePoint, ...]:
    """Return at most so many points of a run; none before it begins. Blocking. Raises OSError.

    A line that is not what a runner writes is passed over.
    """
    sent = SentOverTime(most)
    try:
        with (directory / "journal.jsonl").open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                _take(line, sent)
    except FileNotFoundError:
        pass
    return sent.points()


def _take(line: bytes, into: SentOverTime) -> None:
    sent = _SENT.search(line)
    tells = sent is not None or _BEGINNING in line[:_KIND_WITHIN]
    if not tells or not line.endswith(b"\n"):
        return
    time = _TIME.match(line)
    if time is None:
        return
    try:
        seconds = datetime.fromisoformat(time[1].decode("ascii")).timestamp()
    except (ValueError, OverflowError):
        return
    into.add(seconds, int(sent[1]) if sent else 0)
