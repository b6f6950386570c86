"""Proves that the queries of the error log find an index among 10,000 events."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event

from models.error_event import Component, Severity
from models.error_query import ErrorFilter
from storage.database import Database
from storage.error_counts import unresolved
from storage.error_reading import (
    read_event,
    read_groups,
    read_jobs,
    read_page,
    read_statistics,
)
from storage.error_table import ERROR_EVENTS, Settlement, prune, resolve_events, write_batch
from storage.layout import DATABASE_NAME

_EVENTS = 10_000
_MOST_SECONDS, _TRIES = 0.25, 3
_COLUMNS = [column.name for column in ERROR_EVENTS.columns]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with so many events, each with a long stack trace."""
    folder = tmp_path_factory.mktemp("indexes")
    asyncio.run(_make(folder))
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as connection, connection:
        connection.executemany(
            f"INSERT INTO error_events ({', '.join(_COLUMNS)})"
            f" VALUES ({', '.join('?' * len(_COLUMNS))})",
            _rows(),
        )
    return folder / DATABASE_NAME


async def _make(folder: Path) -> None:
    await (await Database.open(folder)).close()


def _rows() -> Iterator[tuple[Any, ...]]:
    severities, components = list(Severity), list(Component)
    for number in range(1, _EVENTS + 1):
        seen = f"2026-11-{number % 28 + 1:02d}T{number % 24:02d}:00:00.000Z"
        values = {
            "id": number,
            "fingerprint": str(number),
            "timestamp": seen,
            "last_seen": seen,
            "count": number % 5 + 1,
            "severity": severities[number % 4],
            "component": components[number % 9],
            "error_type": f"Type{number % 50}",
            "message": f"Message {number}",
            "details": "{}",
            "job_id": f"job-{number % 200}",
            "job_name": f"Job {number % 200}",
            "stack_trace": "x" * 5_000,
            "resolved_at": None if number % 10 == 0 else seen,
        }
        yield tuple(values.get(name) for name in _COLUMNS)


def plans_of(path: Path, work: Any) -> tuple[str, float]:
    """Return how each statement of some work finds its rows, and how many seconds it took at best:
    whatever else this machine does makes none of them quicker."""
    engine = create_engine(f"sqlite:///{path}")
    said: list[tuple[str, Any]] = []
    took: list[float] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        said.append((statement, values))

    for _ in range(_TRIES):
        with engine.connect() as connection:
            began = time.perf_counter()
            work(connection)
            took.append(time.perf_counter() - began)
            connection.rollback()
    engine.dispose()
    with closing(sqlite3.connect(path)) as plain:
        plans = [
            " ".join(row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {text}", values))
            for text, values in said
        ]
    return "\n".join(plans), min(took)


def page(**wanted: Any) -> Any:
    """Read a page of what is wanted."""
    return lambda connection: read_page(connection, ErrorFilter(**wanted), limit=50, cursor=None)


def counted(connection: Connection) -> None:
    """Read the figures."""
    read_statistics(connection, time.time())


def settled(connection: Connection) -> None:
    """Settle a job's events."""
    write_batch(connection, [Settlement("Type1", "job-1", "2026")])


CASES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "unresolved": (page(resolved=False), ("error_events_resolved",)),
    "urgent": (page(severity=Severity.HIGH, resolved=False), ("error_events_of_severity",)),
    "severity": (page(severity=Severity.HIGH), ("error_events_of_severity",)),
    "component": (page(component=Component.API), ("error_events_of_component",)),
    "type": (page(error_type="Type3"), ("error_events_of_type",)),
    "job": (page(job_id="job-1"), ("error_events_of_job",)),
    "one": (lambda connection: read_event(connection, "7"), ("PRIMARY KEY",)),
    "ids": (lambda connection: resolve_events(connection, ["1", "2"], "x"), ("PRIMARY KEY",)),
    "groups": (
        lambda connection: read_groups(connection, ErrorFilter(), 50),
        ("COVERING INDEX error_events_counts",),
    ),
    "jobs": (lambda connection: read_jobs(connection, 50), ("INDEX error_events_of_job",)),
    "figures": (
        counted,
        ("COVERING INDEX error_events_counts", "COVERING INDEX error_events_seen"),
    ),
    "unresolved figures": (unresolved, ("error_events_resolved",)),
    "old": (
        lambda connection: prune(connection, resolved_before="2020", max_rows=_EVENTS),
        ("error_events_resolved",),
    ),
    "settled": (settled, ("error_events_unsettled",)),
}
_SORTED = {"groups", "jobs", "figures", "unresolved figures"}
"""A few rows that were counted are put in order; the others come in theirs."""


@pytest.mark.parametrize("case", CASES)
def test_a_query_finds_its_index(path: Path, case: str) -> None:
    work, indexes = CASES[case]
    plan, took = plans_of(path, work)
    for index in indexes:
        assert index in plan
    assert "SCAN error_events\n" not in f"{plan}\n", plan
    if case not in _SORTED:
        assert "TEMP B-TREE" not in plan
    assert took < _MOST_SECONDS, f"{took:.3f} s"


def test_a_text_is_looked_for_within_the_same_time(path: Path) -> None:
    _, took = plans_of(path, page(q="message 99", since="2026-11-02"))
    assert took < _MOST_SECONDS, f"{took:.3f} s"
