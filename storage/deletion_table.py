"""The tables of deleted sources, and what is done to them within one transaction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import dialect, insert

from models.deleted_sources import DeletingRun, DeletionPage
from models.source_deletions import Deletion, DeletionOutcome
from storage.deletion_records import Told
from utils.shown_names import shown_name

METADATA = MetaData()
_COUNTS = ("deleted", "trashed", "kept", "restored", "cut_off")
DELETING_RUNS = Table(
    "deleting_runs",
    METADATA,
    Column("run_id", Text, primary_key=True),
    *(
        Column(name, Text, nullable=False)
        for name in ("job_id", "job_name", "source", "destination", "ended_at")
    ),
    Column("trash_until", Text),
    Column("purged_at", Text),
    *(Column(name, Integer, nullable=False) for name in (*_COUNTS, "unproven")),
)
DELETIONS = Table(
    "deletions",
    METADATA,
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", LargeBinary, nullable=False),
    Column("path", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("time", Text, nullable=False),
    Column("size", Integer),
    Column("mtime_ns", Integer),
    Column("hash", Text),
    Column("reason", Text),
    sqlite_with_rowid=False,
)
_RUN = DELETING_RUNS.c
_ONE = DELETIONS.c
_COLUMNS = tuple(DELETIONS.c.keys())
_INSERT = str(insert(DELETIONS).prefix_with("OR REPLACE").compile(dialect=dialect()))
"""As SQLite wants it: a run may leave millions of rows, and this takes half the time."""
_ROWS: ColumnElement[int] = _RUN.deleted + _RUN.trashed + _RUN.kept + _RUN.restored + _RUN.cut_off
_RUN_COLUMNS = [field.name for field in fields(DeletingRun)]
_OUTCOME_OF_COUNT = {
    "deleted": DeletionOutcome.DELETED,
    "trashed": DeletionOutcome.TRASHED,
    "kept": DeletionOutcome.KEPT,
    "restored": DeletionOutcome.RESTORED,
    "cut_off": DeletionOutcome.INTENDED,
}
_WHAT_BECAME: dict[str, BindParameter[Any]] = {
    "outcome": bindparam("the_outcome"),
    "time": bindparam("the_time"),
    "reason": bindparam("the_reason"),
}
_IN_TRASH = or_(
    _ONE.outcome == str(DeletionOutcome.TRASHED), _ONE.outcome == str(DeletionOutcome.INTENDED)
)


def write_part(connection: Connection, run_id: str, told: Told) -> None:
    """Write a part of a run's record; again changes nothing."""
    if told.named:
        rows = [_row(run_id, deletion) for deletion in told.named]
        connection.exec_driver_sql(_INSERT, rows)
    if told.later:
        statement = (
            update(DELETIONS)
            .where(_ONE.run_id == run_id, _ONE.number == bindparam("the_number"))
            .values(**_WHAT_BECAME)
        )
        connection.execute(
            statement,
            [
                {
                    "the_number": deletion.number,
                    "the_outcome": deletion.outcome,
                    "the_time": deletion.time,
                    "the_reason": deletion.reason,
                }
                for deletion in told.later
            ],
        )


def write_run(connection: Connection, run: DeletingRun) -> None:
    """Write a run with the counts of its rows."""
    values = {name: getattr(run, name) for name in _RUN_COLUMNS}
    values |= _counted(connection, run.run_id)
    values["unproven"] = values["cut_off"] + _unproven_in_trash(connection, run.run_id)
    connection.execute(insert(DELETING_RUNS).prefix_with("OR REPLACE"), values)


def note_put_back(
    connection: Connection,
    run_id: str,
    results: Sequence[tuple[bytes, str | None]],
    *,
    now: str,
    is_all: bool,
) -> None:
    """Write what came of putting files back: the reason why one stays, None where it is back."""
    if results:
        # Its number first: SQLite would look at every row of the run, and not at the index.
        named = DELETIONS.alias()
        number = select(named.c.number).where(
            named.c.run_id == run_id, named.c.name == bindparam("the_name")
        )
        statement = (
            update(DELETIONS)
            .where(_ONE.run_id == run_id, _ONE.number.in_(number.scalar_subquery()), _IN_TRASH)
            .values(**_WHAT_BECAME)
        )
        connection.execute(
            statement,
            [
                {
                    "the_name": name,
                    "the_outcome": DeletionOutcome.TRASHED if why else DeletionOutcome.RESTORED,
                    "the_time": now,
                    "the_reason": why,
                }
                for name, why in results
            ],
        )
    if is_all:
        counts = _counted(connection, run_id)
        connection.execute(update(DELETING_RUNS).where(_RUN.run_id == run_id).values(**counts))


def note_purged(connection: Connection, run_id: str, *, now: str) -> None:
    """Write that the trash folder of a run was emptied."""
    connection.execute(update(DELETING_RUNS).where(_RUN.run_id == run_id).values(purged_at=now))


def run_ids(connection: Connection) -> frozenset[str]:
    """Return every run that is on record."""
    return frozenset(connection.execute(select(_RUN.run_id)).scalars())


def run_of(connection: Connection, run_id: str) -> DeletingRun | None:
    """Return a run that deleted, or None."""
    row = connection.execute(select(DELETING_RUNS).where(_RUN.run_id == run_id)).first()
    return None if row is None else _run(row)


def trash_due(connection: Connection, *, now: str) -> tuple[DeletingRun, ...]:
    """Return the runs whose trash folder is kept no longer and was not emptied yet, but for those
    with something in it that has no proven copy."""
    statement = select(DELETING_RUNS).where(
        _RUN.trash_until <= now, _RUN.purged_at.is_(None), _RUN.trashed > 0, _RUN.unproven == 0
    )
    return tuple(_run(row) for row in connection.execute(statement))


def in_trash(
    connection: Connection, run_id: str, *, after: int, limit: int
) -> tuple[Deletion, ...]:
    """Return what lies in a run's trash folder, or may, from behind a number on; names as on
    disk."""
    statement = select(DELETIONS).where(_ONE.run_id == run_id, _ONE.number > after, _IN_TRASH)
    rows = connection.execute(statement.order_by(_ONE.number).limit(limit))
    return tuple(_deletion(row)._replace(path=os.fsdecode(row.name)) for row in rows)


def page_of(
    connection: Connection, run_id: str, *, q: str, outcome: str | None, limit: int, after: int
) -> DeletionPage:
    """Return a page of a run's deletions, those after a number."""
    matching: list[ColumnElement[bool]] = [_ONE.run_id == run_id]
    if outcome is not None:
        matching.append(_ONE.outcome == outcome)
    if q:
        matching.append(
            or_(_ONE.path.icontains(q, autoescape=True), _ONE.reason.icontains(q, autoescape=True))
        )
    total = connection.execute(select(func.count()).where(*matching)).scalar_one()
    statement = select(DELETIONS).where(*matching, _ONE.number > after)
    rows = list(connection.execute(statement.order_by(_ONE.number).limit(limit + 1)))
    next_cursor = str(rows[limit - 1].number) if len(rows) > limit else None
    return DeletionPage(tuple(_deletion(row) for row in rows[:limit]), total, next_cursor)


def prune(connection: Connection, *, ended_before: str, most_rows: int) -> int:
    """Forget the oldest runs: those of before a time, and more until no more than so many rows are
    left; never the newest, nor one whose trash folder is yet to be emptied. Returns how many
    went."""
    rows = connection.execute(
        select(_RUN.run_id, _RUN.ended_at, _ROWS.label("rows"))
        .where(or_(_RUN.trash_until.is_(None), _RUN.trashed == 0, _RUN.purged_at.is_not(None)))
        .order_by(_RUN.ended_at)
    ).all()
    left = connection.execute(select(func.sum(_ROWS))).scalar() or 0
    gone = 0
    for run_id, ended_at, count in rows[:-1]:
        if ended_at >= ended_before and left <= most_rows:
            break
        connection.execute(delete(DELETIONS).where(_ONE.run_id == run_id))
        connection.execute(delete(DELETING_RUNS).where(_RUN.run_id == run_id))
        left -= count
        gone += 1
    return gone


def _counted(connection: Connection, run_id: str) -> dict[str, int]:
    statement = select(_ONE.outcome, func.count().label("number")).where(_ONE.run_id == run_id)
    found = {
        row.outcome: row.number for row in connection.execute(statement.group_by(_ONE.outcome))
    }
    return {name: found.get(outcome, 0) for name, outcome in _OUTCOME_OF_COUNT.items()}


def _unproven_in_trash(connection: Connection, run_id: str) -> int:
    """Count what lies there only because it could not be put back (core/runner/deleting.py)."""
    statement = select(func.count()).where(
        _ONE.run_id == run_id,
        _ONE.outcome == str(DeletionOutcome.TRASHED),
        _ONE.reason.is_not(None),
    )
    return connection.execute(statement).scalar_one()


def _row(run_id: str, deletion: Deletion) -> tuple[Any, ...]:
    name = os.fsencode(deletion.path)
    known = deletion._asdict() | {"run_id": run_id, "name": name, "path": shown_name(name)}
    return tuple(known[column] for column in _COLUMNS)


def _deletion(row: Row[Any]) -> Deletion:
    return Deletion(*(row._mapping[name] for name in Deletion._fields))


def _run(row: Row[Any]) -> DeletingRun:
    return DeletingRun(**{name: row._mapping[name] for name in _RUN_COLUMNS})
