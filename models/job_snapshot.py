"""JobSnapshot: every job with its state, as an immutable picture of one moment.

A change makes a new picture that shares nearly all of the old one, so that a save among ten
thousand jobs costs what it costs among ten, and readers need no lock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping

from rpds import HashTrieMap

from models.job_state import JobRecord

OrderKey = tuple[str, str]
"""The place of a job in lists: its name without regard to case, then its id."""


def order_key(record: JobRecord) -> OrderKey:
    """Return the place of a job in lists."""
    return (record.job.name.casefold(), record.job.id)


class JobSnapshot(Mapping[str, JobRecord]):
    """Jobs by id, and their order by name."""

    __slots__ = ("_order", "_records", "_statuses", "_tags")

    def __init__(
        self,
        records: Mapping[str, JobRecord] | None = None,
        order: tuple[OrderKey, ...] | None = None,
        tags: HashTrieMap[str, int] | None = None,
        statuses: HashTrieMap[str, int] | None = None,
    ) -> None:
        """Take jobs by id; `order`, the uses of their `tags` and how many have which of `statuses`
        are theirs when known already."""
        records = records or {}
        self._records = records if isinstance(records, HashTrieMap) else HashTrieMap(dict(records))
        if order is None:
            order = tuple(sorted(order_key(record) for record in records.values()))
        self._order = order
        if tags is None:
            tags = _counted(
                HashTrieMap(), (tag for one in records.values() for tag in one.job.tags)
            )
        self._tags = tags
        if statuses is None:
            statuses = _counted(HashTrieMap(), (one.state.status for one in records.values()))
        self._statuses = statuses

    @property
    def tags(self) -> Iterable[str]:
        """Every tag that a job has, in no order."""
        return self._tags.keys()

    @property
    def status_counts(self) -> Mapping[str, int]:
        """How many jobs have each status; one that none has is not in it."""
        return self._statuses

    def __getitem__(self, job_id: str) -> JobRecord:
        return self._records[job_id]

    def __iter__(self) -> Iterator[str]:
        # By name, and not in the order of the map, whose own iteration is slower.
        return (key[1] for key in self._order)

    def __len__(self) -> int:
        return len(self._records)

    def with_record(self, record: JobRecord) -> JobSnapshot:
        """Return the picture in which this job is so."""
        job_id = record.job.id
        before = self._records.get(job_id)
        order = self._order
        if before is None or before.job.name != record.job.name:
            order = order if before is None else _without(order, order_key(before))
            key = order_key(record)
            place = bisect_left(order, key)
            order = (*order[:place], key, *order[place:])
        tags = self._tags
        old, new = before.job.tags if before else (), record.job.tags
        if old != new:
            tags = _counted(_counted(tags, old, by=-1), new)
        statuses = self._statuses
        was = before.state.status if before else None
        if was != record.state.status:
            statuses = _counted(statuses, (record.state.status,))
            statuses = statuses if was is None else _counted(statuses, (was,), by=-1)
        return JobSnapshot(self._records.insert(job_id, record), order, tags, statuses)

    def without(self, job_id: str) -> JobSnapshot:
        """Return the picture in which this job is not."""
        before = self._records.get(job_id)
        if before is None:
            return self
        order = _without(self._order, order_key(before))
        tags = _counted(self._tags, before.job.tags, by=-1)
        statuses = _counted(self._statuses, (before.state.status,), by=-1)
        return JobSnapshot(self._records.remove(job_id), order, tags, statuses)

    def in_order(self, after: OrderKey | None = None) -> Iterator[JobRecord]:
        """Yield jobs by name, from the one behind `after` on."""
        start = 0 if after is None else bisect_right(self._order, after)
        for place in range(start, len(self._order)):
            yield self._records[self._order[place][1]]


def _counted(
    counts: HashTrieMap[str, int], tags: Iterable[str], *, by: int = 1
) -> HashTrieMap[str, int]:
    for tag in tags:
        count = counts.get(tag, 0) + by
        counts = counts.insert(tag, count) if count > 0 else counts.remove(tag)
    return counts


def _without(order: tuple[OrderKey, ...], key: OrderKey) -> tuple[OrderKey, ...]:
    place = bisect_left(order, key)
    return (*order[:place], *order[place + 1 :])
