"""The table of the audit log, and what is done with it within one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
)

from models.audit import Action, AuditEntry, AuditFilter, NewAuditEntry, printable
from storage.error_table import row_id

METADATA = MetaData()
AUDIT_ENTRIES = Table(
    "audit_entries",
    METADATA,
    # Counts up and is never given again, so that a gap within shows where one was taken out.
    Column("id", Integer, primary_key=True),
    Column("time", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("role", Text),
    Column("way", Text),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    *(Column(name, Text) for name in ("job_id", "job_name", "run_id")),
    Column("details", JSON, nullable=False),
    sqlite_autoincrement=True,
)
_ENTRY = AUDIT_ENTRIES.c
_SEARCHED = (_ENTRY.account, _ENTRY.address, _ENTRY.job_name, cast(_ENTRY.details, Text))
_OLD_AT_A_TIME = 5_000


def add(connection: Connection, entries: Iterable[NewAuditEntry]) -> None:
    """Add these in their order."""
    connection.execute(insert(AUDIT_ENTRIES), [row_of(entry) for entry in entries])


def row_of(entry: NewAuditEntry) -> dict[str, Any]:
    """Return an entry as the columns have it."""
    return {
        "time": entry.time,
        "account": entry.account,
        "role": entry.role,
        "way": entry.way,
        "address": entry.address,
        "action": entry.action,
        "job_id": entry.job_id,
        "job_name": entry.job_name,
        "run_id": entry.run_id,
        "details": dict(entry.details),
    }


def forget(connection: Connection, *, before: str, max_entries: int) -> int:
    """Forget what is older than a time, but for the newest, and the oldest beyond so many, some
    thousands at a time; returns how many."""
    newest = connection.execute(select(func.max(_ENTRY.id))).scalar_one() or 0
    old = or_(_ENTRY.time < before, _ENTRY.id <= newest - max_entries)
    # Always the oldest, so that no gap is ever among what stays.
    kept = select(_ENTRY.id).where(~old).order_by(_ENTRY.id).limit(1)
    first_kept = connection.execute(kept).scalar_one_or_none()
    gone = select(_ENTRY.id).order_by(_ENTRY.id).limit(_OLD_AT_A_TIME)
    gone = gone.where(_ENTRY.id < (newest if first_kept is None else first_kept))
    statement = delete(AUDIT_ENTRIES).where(_ENTRY.id.in_(gone.scalar_subquery()))
    return connection.execute(statement).rowcount


def cut_short_at(connection: Connection, *, before: str, max_entries: int) -> str | None:
    """Return from when the oldest entry is, where those before it went for being too many and not
    for being older than a time; else None."""
    oldest = select(_ENTRY.id, _ENTRY.time).order_by(_ENTRY.id).limit(1)
    found = connection.execute(oldest).one_or_none()
    newest = connection.execute(select(func.max(_ENTRY.id))).scalar_one()
    if found is None or found.id == 1 or found.time < before:
        return None
    return str(found.time) if newest - found.id + 1 >= max_entries else None


def count_since(connection: Connection, action: Action, since: str) -> int:
    """Return how many entries of an action there are from a time on."""
    statement = select(func.count()).select_from(AUDIT_ENTRIES)
    meant = (_ENTRY.action == action, _ENTRY.time >= since)
    return connection.execute(statement.where(*meant)).scalar_one()


def read_page(
    connection: Connection, wanted: AuditFilter, *, limit: int, cursor: str | None
) -> tuple[tuple[AuditEntry, ...], int]:
    """Return as many entries as `limit` says, newest first, and how many there are in all."""
    meant = conditions(wanted)
    page = select(AUDIT_ENTRIES).where(*meant).order_by(_ENTRY.id.desc()).limit(limit)
    before = row_id(cursor)
    if before is not None:
        page = page.where(_ENTRY.id < before)
    entries = tuple(_entry(row) for row in connection.execute(page))
    total = select(func.count()).select_from(AUDIT_ENTRIES).where(*meant)
    return entries, connection.execute(total).scalar_one()


def read_accounts(connection: Connection, limit: int) -> tuple[str, ...]:
    """Return the names in the log, by name."""
    statement = select(_ENTRY.account).distinct().order_by(_ENTRY.account).limit(limit)
    return tuple(connection.execute(statement).scalars())


def conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """Return what holds for each entry that is wanted."""
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (_ENTRY.account, wanted.account),
        (_ENTRY.action, wanted.action),
        (_ENTRY.job_id, wanted.job_id),
    ):
        if value:
            found.append(column == printable(value))
    if wanted.q:
        text = func.lower(printable(wanted.q))
        found.append(or_(*(func.instr(func.lower(column), text) > 0 for column in _SEARCHED)))
    if wanted.since is not None:
        found.append(_ENTRY.time >= wanted.since)
    if wanted.until is not None:
        found.append(_ENTRY.time < wanted.until)
    return found


def _entry(row: Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    return AuditEntry(**values | {"id": str(values["id"]), "action": Action(values["action"])})
