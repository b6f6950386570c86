"""Which runs are under way, which wait, and why.

At most so many at once, fair by age, and never two whose destinations are the same folder or lie
within one another.

In memory alone: what survives a restart are the states of the jobs, out of which recovery fills it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Place(NamedTuple):
    """A run in the queue; `destination` as `core/destinations.py` names it."""

    run_id: str
    job_id: str
    destination: str


class Wait(NamedTuple):
    """Why a run waits: for the run of `other_job_id`, which writes to the same place, or, when that
    is None, for one of the runs under way to end."""

    other_job_id: str | None


class RunQueue:
    """Places in the order in which they were asked for, which no change of the clock upsets."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """How many may be under way; lowered, it ends none that are."""
        self._places: dict[str, Place] = {}
        self._under_way: set[str] = set()

    @property
    def is_full(self) -> bool:
        """Whether as many runs as allowed are under way."""
        return len(self._under_way) >= self.limit

    @property
    def waiting(self) -> tuple[Place, ...]:
        """The runs that wait, the oldest first."""
        return tuple(place for place in self._places.values() if not self._is_under_way(place))

    @property
    def has_waiting(self) -> bool:
        """Whether any run waits."""
        return len(self._places) > len(self._under_way)

    def arrive(self, place: Place) -> None:
        """Wait behind all others; who has a place keeps it."""
        self._places.setdefault(place.run_id, place)

    def enter(self, run_id: str) -> None:
        """Be under way. The run must have arrived."""
        assert run_id in self._places
        self._under_way.add(run_id)

    def go_back(self, run_id: str) -> None:
        """Wait again, at the old place: it could not be started."""
        self._under_way.discard(run_id)

    def leave(self, run_id: str) -> None:
        """Be gone: ended, or withdrawn."""
        self._under_way.discard(run_id)
        self._places.pop(run_id, None)

    def wait_of(self, run_id: str) -> Wait | None:
        """Return why a run has to wait; None when it may start now."""
        place = self._places[run_id]
        for other_id in self._under_way - {run_id}:
            other = self._places[other_id]
            if overlap(other.destination, place.destination):
                return Wait(other.job_id)
        if self.is_full:
            return Wait(None)
        # What waits for longer as well: a run that waits for two others would never come to its
        # turn if younger ones took theirs.
        for other in self._waiting_before(run_id):
            if overlap(other.destination, place.destination):
                return Wait(other.job_id)
        return None

    def next_ready(self) -> Place | None:
        """Return the oldest waiting run that may start now."""
        if self.is_full:
            return None
        return next((one for one in self.waiting if self.wait_of(one.run_id) is None), None)

    def _waiting_before(self, run_id: str) -> Iterator[Place]:
        for other in self._places.values():
            if other.run_id == run_id:
                return
            if not self._is_under_way(other):
                yield other

    def _is_under_way(self, place: Place) -> bool:
        return place.run_id in self._under_way


def overlap(one: str, other: str) -> bool:
    """Whether two destinations are the same or one contains the other."""
    shorter, longer = sorted((one.rstrip("/"), other.rstrip("/")), key=len)
    return longer == shorter or longer.startswith(shorter + "/")
