"""The outbox: what is to be told, what was, and what is done to it within one transaction.

A message is `waiting`, then `sending`, and `sent` in the end; `given_up` when it could not be sent
for too long, `dropped` when there is nobody any more to send it to. Times are seconds since the
epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

WAITING, SENDING, SENT, GIVEN_UP, DROPPED = "waiting", "sending", "sent", "given_up", "dropped"
STATES = (WAITING, SENDING, SENT, GIVEN_UP, DROPPED)
_OPEN = (WAITING, SENDING)
METADATA = MetaData()
NOTIFICATIONS = Table(
    "notifications",
    METADATA,
    Column("id", Integer, primary_key=True),
    # Whose turn it is: messages of one rule, and pings of one job, go one after another.
    Column("lane", Text, nullable=False),
    # What makes it the same one, met again.
    Column("event_key", Text, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("target", "occasion", "title", "body")),
    Column("job_id", Text),
    Column("state", Text, nullable=False),
    *(Column(name, Float, nullable=False) for name in ("created_at", "due_at")),
    Column("attempts", Integer, nullable=False),
    Column("delivery", Text),
    Column("ended_at", Float),
    Column("reason", Text),
    UniqueConstraint("lane", "event_key", name="one_of_each"),
    Index("notifications_by_state", "state", "lane"),
    sqlite_autoincrement=True,
)
MARKS = Table(
    "notification_marks",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
    sqlite_with_rowid=False,
)
ERROR_MARK = "error_events"
"""The newest event of the error log that was looked at."""
_ROW = NOTIFICATIONS.c


@dataclass(frozen=True)
class Note:
    """One thing to be told to one target."""

    lane: str
    event_key: str
    target: str
    occasion: str
    title: str
    body: str
    job_id: str | None = None


@dataclass(frozen=True)
class Kept(Note):
    """One thing in the outbox; the other facts are its row's."""

    id: int = 0
    state: str = WAITING
    created_at: float = 0.0
    attempts: int = 0
    delivery: str | None = None
    ended_at: float | None = None
    reason: str | None = None


class Lane(NamedTuple):
    """What waits in a lane: since when, and before when nothing is tried again."""

    lane: str
    first_at: float
    due_at: float
    attempts: int


def add(connection: Connection, notes: Iterable[Note], now: float) -> None:
    """Keep what is to be told; what was met before is passed over."""
    common = {"state": WAITING, "created_at": now, "due_at": now, "attempts": 0}
    values = [vars(note) | common for note in notes]
    if values:
        connection.execute(insert(NOTIFICATIONS).on_conflict_do_nothing(), values)


def waiting_lanes(connection: Connection) -> tuple[Lane, ...]:
    """Return what waits, by lane, the oldest first; not where something is being sent."""
    busy = select(_ROW.lane).where(_ROW.state == SENDING)
    first = func.min(_ROW.created_at)
    statement = (
        select(
            _ROW.lane,
            first,
            func.max(_ROW.due_at),
            func.max(_ROW.attempts),
        )
        .where(_ROW.state == WAITING, _ROW.lane.not_in(busy))
        .group_by(_ROW.lane)
        .order_by(func.min(_ROW.id))
    )
    return tuple(Lane(*row) for row in connection.execute(statement))


def begin(connection: Connection, lane: str, delivery: str, most: int) -> tuple[Kept, ...]:
    """Mark the oldest that wait in a lane as being sent, and return them."""
    chosen = select(_ROW.id).where(_ROW.lane == lane, _ROW.state == WAITING)
    ids = list(connection.execute(chosen.order_by(_ROW.id).limit(most)).scalars())
    statement = update(NOTIFICATIONS).where(_ROW.id.in_(ids))
    connection.execute(statement.values(state=SENDING, delivery=delivery))
    return _those_of(connection, delivery)


def under_way(connection: Connection, but: Collection[str]) -> Mapping[str, list[Kept]]:
    """Return what is marked as being sent, by delivery; not in the lanes of which the caller knows
    that it is."""
    lost = (_ROW.state == SENDING, _ROW.lane.not_in(but))
    statement = select(NOTIFICATIONS).where(*lost).order_by(_ROW.id)
    found: dict[str, list[Kept]] = {}
    # In one statement: between two of them one could end.
    for note in [_kept(row._mapping) for row in connection.execute(statement)]:
        if note.delivery is not None:
            found.setdefault(note.delivery, []).append(note)
    return found


def sent(connection: Connection, delivery: str, now: float) -> None:
    """Keep that a delivery arrived."""
    _change(connection, delivery, state=SENT, ended_at=now, reason=None)


def failed(
    connection: Connection,
    delivery: str,
    now: float,
    reason: str,
    *,
    due_at: float,
    too_old: float,
) -> int:
    """Let a delivery wait again after an attempt that failed, but what is from before a time, which
    is given up; returns how much that is."""
    attempts = _ROW.attempts + 1
    statement = update(NOTIFICATIONS).where(
        _ROW.delivery == delivery, _ROW.state == SENDING, _ROW.created_at < too_old
    )
    values = {"state": GIVEN_UP, "ended_at": now, "reason": reason, "attempts": attempts}
    count = connection.execute(statement.values(**values)).rowcount
    _change(connection, delivery, state=WAITING, due_at=due_at, attempts=attempts, reason=reason)
    return count


def postpone(connection: Connection, delivery: str, due_at: float, reason: str) -> None:
    """Let a delivery wait again that was not tried."""
    _change(connection, delivery, state=WAITING, due_at=due_at, reason=reason)


def move(connection: Connection, lane: str, to: str, now: float) -> None:
    """Let what waits in a lane wait in another, but what that one has told already."""
    statement = update(NOTIFICATIONS).where(_ROW.lane == lane, _ROW.state == WAITING)
    connection.execute(statement.prefix_with("OR IGNORE").values(lane=to))
    drop(connection, lane, now, "It was told under another name of the rule.")


def waiting_count(connection: Connection) -> int:
    """Return how much waits."""
    statement = select(func.count()).select_from(NOTIFICATIONS).where(_ROW.state == WAITING)
    return connection.execute(statement).scalar_one()


def drop(connection: Connection, lane: str, now: float, reason: str) -> int:
    """Take what waits in a lane out of it; returns how many."""
    statement = update(NOTIFICATIONS).where(_ROW.lane == lane, _ROW.state == WAITING)
    return connection.execute(statement.values(state=DROPPED, ended_at=now, reason=reason)).rowcount


def hurry(connection: Connection, lane: str) -> None:
    """Have what waits in a lane tried at once."""
    statement = update(NOTIFICATIONS).where(_ROW.lane == lane, _ROW.state == WAITING)
    connection.execute(statement.values(due_at=0.0))


def sent_since(connection: Connection, lane: str, since: float) -> tuple[float, ...]:
    """Return when each delivery of a lane was sent, from a time on, the oldest first."""
    statement = (
        select(func.max(_ROW.ended_at))
        .where(_ROW.lane == lane, _ROW.state == SENT, _ROW.ended_at > since)
        .group_by(_ROW.delivery)
    )
    return tuple(sorted(connection.execute(statement).scalars()))


def page_of(
    connection: Connection, *, lane: str | None, state: str | None, limit: int, before: int | None
) -> tuple[tuple[Kept, ...], int]:
    """Return the newest, and how many there are in all."""
    conditions = []
    if lane is not None:
        conditions.append(_ROW.lane == lane)
    if state is not None:
        conditions.append(_ROW.state == state)
    total = select(func.count()).select_from(NOTIFICATIONS).where(*conditions)
    if before is not None:
        conditions.append(_ROW.id < before)
    statement = select(NOTIFICATIONS).where(*conditions).order_by(_ROW.id.desc()).limit(limit)
    found = tuple(_kept(row._mapping) for row in connection.execute(statement))
    return found, connection.execute(total).scalar_one()


def mark_of(connection: Connection, name: str) -> int:
    """Return how far something was looked at; 0 when it never was."""
    return connection.execute(select(MARKS.c.value).where(MARKS.c.name == name)).scalar() or 0


def set_mark(connection: Connection, name: str, value: int) -> None:
    """Keep how far something was looked at."""
    statement = insert(MARKS).values(name=name, value=value)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )


def prune(
    connection: Connection, *, ended_before: float, most_ended: int, most_open: int, now: float
) -> int:
    """Forget what ended long ago or is too much; what waits beyond a number is dropped, the oldest
    first. Returns how many were dropped."""
    is_over = _ROW.state.not_in(_OPEN)
    connection.execute(delete(NOTIFICATIONS).where(is_over, _ROW.ended_at < ended_before))
    surplus = select(_ROW.id).where(is_over).order_by(_ROW.id.desc()).offset(most_ended).limit(-1)
    connection.execute(delete(NOTIFICATIONS).where(_ROW.id.in_(surplus)))
    waiting = select(_ROW.id).where(_ROW.state == WAITING)
    too_many = waiting.order_by(_ROW.id.desc()).offset(most_open).limit(-1)
    statement = update(NOTIFICATIONS).where(_ROW.id.in_(too_many))
    return connection.execute(
        statement.values(state=DROPPED, ended_at=now, reason="Too many were waiting.")
    ).rowcount


def _those_of(connection: Connection, delivery: str) -> tuple[Kept, ...]:
    statement = select(NOTIFICATIONS).where(_ROW.delivery == delivery, _ROW.state == SENDING)
    found = connection.execute(statement.order_by(_ROW.id))
    return tuple(_kept(row._mapping) for row in found)


def _change(connection: Connection, delivery: str, **values: Any) -> None:
    statement = update(NOTIFICATIONS).where(_ROW.delivery == delivery, _ROW.state == SENDING)
    connection.execute(statement.values(**values))


def _kept(values: Any) -> Kept:
    names: Sequence[str] = tuple(Kept.__dataclass_fields__)
    return Kept(**{name: values[name] for name in names})
