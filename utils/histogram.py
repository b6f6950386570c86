"""A histogram: how many of many figures were at most so large, without keeping them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class HistogramPicture(NamedTuple):
    """A histogram at one moment; the last bucket, beside those of the bounds, is of all above."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float
    """The sum of all figures."""


class Histogram:
    """Counts figures by size. One thread at a time adds to it; any may take a picture."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Take the upper bounds of the buckets, rising; above the last there is one more."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, figure: float) -> None:
        """Count a figure."""
        self._counts[bisect_left(self._bounds, figure)] += 1
        self._total += figure

    @property
    def picture(self) -> HistogramPicture:
        """How it is now."""
        return HistogramPicture(self._bounds, tuple(self._counts), self._total)
