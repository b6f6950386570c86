"""How fast something goes, and how long it will take: out of what was counted at what time.

Files and bytes both cost time, and how much a file costs beside its bytes is seen from how it went
so far. Where the pace has changed for good, what was before it is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

_RATE_SECONDS = 10.0
_LEAST_SECONDS_FOR_A_RATE = 0.5
_LEAST_SECONDS_FOR_A_TIME_LEFT = 1.0
_LONGEST_WINDOW_SECONDS = 60.0
_QUIET_SECONDS = 2.0
"""A tool may tell in steps; after so long without one, nothing moves."""
_STALLED_SECONDS = 10.0
"""After so long it has come to a halt: when it will go on nobody knows."""
_MOST_SAMPLES = 160
_LEAST_SAMPLES = 4
_RECENT_SECONDS = 1.0
_NEW_PACE = 2.0
"""From this factor on a pace is another one, no variation of the same."""
_FILE_COSTS = (0, 512, 4096, 32_768, 262_144)
"""As how many bytes a file may count beside its own."""
_SEGMENTS = 8
_CLEARLY_LESS = 0.8


class Counts(NamedTuple):
    """What was done at a moment, in monotonic seconds; `bytes` and `files` with what was skipped,
    `sent` in bytes that travelled, `skipped` in files."""

    time: float
    files: int
    bytes: int
    sent: int = 0
    skipped: int = 0


class Pace:
    """The pace of one attempt or phase."""

    def __init__(self) -> None:
        self._samples: list[Counts] = []
        self._began = self._moved_at = self._now = 0.0

    def begin(self) -> None:
        """Forget all: the next sample is the first."""
        self._samples = []

    def add(self, sample: Counts) -> None:
        """Take what is counted now."""
        self._now = sample.time
        samples = self._samples
        if not samples:
            self._began = self._moved_at = sample.time
            samples.append(sample)
            return
        last = samples[-1]
        if sample[1:] != last[1:]:
            self._moved_at = sample.time
        elif sample.time - last.time < _QUIET_SECONDS:
            return
        samples.append(sample)
        self._forget_old(sample.time)
        self._forget_other_pace()
        if len(samples) > _MOST_SAMPLES:
            # Every second one of the older half.
            self._samples = samples[: _MOST_SAMPLES // 2 : 2] + samples[_MOST_SAMPLES // 2 :]

    def bytes_per_second(self) -> int | None:
        """What travelled in a second, over the last ten; None until there is something to tell."""
        samples = self._samples
        if len(samples) < 2 or self._now - self._began < _LEAST_SECONDS_FOR_A_RATE:
            return None
        first = next(
            (one for one in samples[:-1] if self._now - one.time <= _RATE_SECONDS), samples[-2]
        )
        seconds = self._end() - first.time
        return max(0, round((samples[-1].sent - first.sent) / seconds)) if seconds > 0 else None

    def seconds_left(self, *, files: int, bytes_: int) -> float | None:
        """Return how long so much more will take; None where nobody can know.

        Files that are up to date are passed over quickly: while there are only such, how long the
        others will take is not known.
        """
        if len(self._samples) < 2 or files + bytes_ <= 0:
            return None
        first, last = self._samples[0], self._samples[-1]
        seconds = self._end() - first.time
        is_stalled = self._now - self._moved_at > _STALLED_SECONDS
        if is_stalled or seconds < _LEAST_SECONDS_FOR_A_TIME_LEFT:
            return None
        if last.skipped > first.skipped and last.sent == first.sent:
            return None
        cost = self._cost_of_file()
        done, left = _work(first, last, cost), bytes_ + cost * files
        if done <= 0 or left <= 0:
            return None
        return max(0.0, left * seconds / done - (self._now - self._end()))

    def _end(self) -> float:
        """Until when the samples tell the pace: the last one, unless nothing has moved since."""
        last = self._samples[-1].time
        return self._now if self._now - last >= _QUIET_SECONDS else last

    def _forget_old(self, now: float) -> None:
        window = min(_LONGEST_WINDOW_SECONDS, max(_RATE_SECONDS, (now - self._began) / 4))
        samples = self._samples
        old = 0
        while old < len(samples) - _LEAST_SAMPLES and now - samples[old + 1].time >= window:
            old += 1
        del samples[:old]

    def _forget_other_pace(self) -> None:
        samples = self._samples
        now = samples[-1].time
        recent = max(_RECENT_SECONDS, (now - samples[0].time) / 3)
        place = next((i for i, one in enumerate(samples) if now - one.time <= recent), 0)
        # The last sample before that time belongs to it as its beginning.
        place = max(0, place - 1) if now - samples[place].time < recent else place
        middle = samples[place]
        before, after = middle.time - samples[0].time, now - middle.time
        if before < _LEAST_SECONDS_FOR_A_RATE or after < _LEAST_SECONDS_FOR_A_RATE:
            return
        cost = self._cost_of_file()
        earlier = _work(samples[0], middle, cost) / before
        later = _work(middle, samples[-1], cost) / after
        if later > 0 and (later > _NEW_PACE * earlier or earlier > _NEW_PACE * later):
            del samples[:place]

    def _cost_of_file(self) -> int:
        """Return as how many bytes a file counts: so that the pace was the most even."""
        samples = self._samples
        if samples[-1].files - samples[0].files == 0:
            return 0
        parts = self._segments()
        best, least = _FILE_COSTS[0], float("inf")
        if samples[-1].bytes == samples[0].bytes:
            return _FILE_COSTS[1]
        for cost in _FILE_COSTS:
            variation = _variation(
                [_work(one, other, cost) / (other.time - one.time) for one, other in parts]
            )
            if variation < least * _CLEARLY_LESS:
                best, least = cost, variation
        return best

    def _segments(self) -> list[tuple[Counts, Counts]]:
        samples = self._samples
        length = max((samples[-1].time - samples[0].time) / _SEGMENTS, 0.25)
        parts, first = [], samples[0]
        for sample in samples[1:]:
            if sample.time - first.time >= length:
                parts.append((first, sample))
                first = sample
        return parts


def _work(first: Counts, last: Counts, cost: int) -> float:
    return last.bytes - first.bytes + cost * (last.files - first.files)


def _variation(paces: list[float]) -> float:
    """How uneven they are, as the mean distance from their mean, in parts of it."""
    if not paces:
        return 1.0
    mean = sum(paces) / len(paces)
    if mean <= 0:
        return 1.0
    return sum(abs(pace - mean) for pace in paces) / len(paces) / mean
