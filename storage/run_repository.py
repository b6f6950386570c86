"""The history of runs in SQLite, and in memory the runs that are under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.sqlite import insert

from models.errors import RunNotFound
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import Phase, Run, RunPage
from storage.database import Database

METADATA = MetaData()
RUNS = Table(
    "runs",
    METADATA,
    Column("id", Text, primary_key=True),
    *(
        Column(name, Text, nullable=False)
        for name in ("job_id", "job_name", "engine", "source", "destination", "status")
    ),
    Column("outcome", Text),
    Column("queued_at", Text, nullable=False),
    Column("started_at", Text),
    Column("ended_at", Text),
    Column("phases", JSON, nullable=False),
    *(
        Column(name, Integer, nullable=False)
        for name in (
            "attempts",
            "bytes_done",
            "bytes_sent",
            "files_done",
            "files_skipped",
            "files_failed",
            "files_deleted",
        )
    ),
    Column("exit_code", Integer),
    Column("message", Text),
    Column("progress", JSON(none_as_null=True)),
)
_COLUMNS = [field.name for field in fields(Run)]
MAX_PAGE = 200
_CURSOR_SEPARATOR = "~"


class RunRepository:
    """Runs by id and by job, newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._under_way: dict[str, Run] = {}

    async def add(self, run: Run) -> None:
        """Keep a new run."""
        await self.save(run)

    async def save(self, run: Run) -> None:
        """Keep the run as it is now. Raises StorageFailed."""
        self.publish(run)
        await self._database.write(lambda connection: _upsert(connection, run))
        if run.is_over:
            self._under_way.pop(run.id, None)

    def publish(self, run: Run) -> None:
        """Show a run under way to readers without keeping it."""
        self._under_way[run.id] = run

    async def remove(self, run_id: str) -> None:
        """Forget a run that never began. Raises StorageFailed."""
        self._under_way.pop(run_id, None)
        await self._database.write(
            lambda connection: connection.execute(delete(RUNS).where(RUNS.c.id == run_id))
        )

    async def get(self, run_id: str) -> Run:
        """Return one run. Raises RunNotFound."""
        if run_id in self._under_way:
            return self._under_way[run_id]
        statement = select(RUNS).where(RUNS.c.id == run_id)
        row = await self._database.read(lambda connection: connection.execute(statement).first())
        if row is None:
            raise RunNotFound(run_id)
        return _run(row)

    async def prune(self, job_id: str, *, keep: int) -> tuple[str, ...]:
        """Forget all but the newest ended runs of a job; returns the ids of those forgotten."""
        newest_first = (
            select(RUNS.c.id)
            .where(RUNS.c.job_id == job_id, RUNS.c.outcome.is_not(None))
            .order_by(RUNS.c.queued_at.desc(), RUNS.c.id.desc())
        )

        def work(connection: Connection) -> tuple[str, ...]:
            old = tuple(connection.execute(newest_first.offset(keep)).scalars())
            if old:
                connection.execute(delete(RUNS).where(RUNS.c.id.in_(old)))
            return old

        return await self._database.write(work)

    async def list_runs(
        self, *, job_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> RunPage:
        """Return a page of the history, newest first; `limit` is at most 200."""
        limit = max(1, min(limit, MAX_PAGE))
        matching: Select[Any] = select(RUNS)
        if job_id is not None:
            matching = matching.where(RUNS.c.job_id == job_id)
        total = select(func.count()).select_from(matching.subquery())
        page = matching.order_by(RUNS.c.queued_at.desc(), RUNS.c.id.desc()).limit(limit + 1)
        if cursor and _CURSOR_SEPARATOR in cursor:
            queued_at, _, run_id = cursor.partition(_CURSOR_SEPARATOR)
            page = page.where(tuple_(RUNS.c.queued_at, RUNS.c.id) < (queued_at, run_id))

        def work(connection: Connection) -> tuple[list[Row[Any]], int]:
            rows = list(connection.execute(page))
            return rows, connection.execute(total).scalar_one()

        rows, count = await self._database.read(work)
        items = [self._newest(_run(row)) for row in rows[:limit]]
        last = items[-1] if len(rows) > limit else None
        next_cursor = f"{last.queued_at}{_CURSOR_SEPARATOR}{last.id}" if last else None
        return RunPage(tuple(items), count, next_cursor)

    async def recent_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest runs of some jobs, oldest first within a job."""
        place = (
            func.row_number()
            .over(
                partition_by=RUNS.c.job_id,
                order_by=(RUNS.c.queued_at.desc(), RUNS.c.id.desc()),
            )
            .label("place")
        )
        ranked = select(RUNS, place).where(RUNS.c.job_id.in_(list(job_ids))).subquery()
        statement = (
            select(ranked).where(ranked.c.place <= limit).order_by(ranked.c.queued_at, ranked.c.id)
        )
        rows = await self._database.read(lambda connection: list(connection.execute(statement)))
        by_job: dict[str, tuple[Run, ...]] = {}
        for row in rows:
            run = self._newest(_run(row))
            by_job[run.job_id] = (*by_job.get(run.job_id, ()), run)
        return by_job

    def _newest(self, run: Run) -> Run:
        return self._under_way.get(run.id, run)


def _upsert(connection: Connection, run: Run) -> None:
    values = {
        **asdict(run),
        "phases": [asdict(phase) for phase in run.phases],
        "progress": run.progress._asdict() if run.progress else None,
    }
    statement = insert(RUNS).values(values)
    changed = {name: statement.excluded[name] for name in _COLUMNS if name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))


def _run(row: Row[Any]) -> Run:
    values = {name: row._mapping[name] for name in _COLUMNS}
    values["status"] = JobStatus(values["status"])
    values["outcome"] = RunOutcome(values["outcome"]) if values["outcome"] else None
    values["phases"] = tuple(Phase(**phase) for phase in values["phases"])
    values["progress"] = Progress(**values["progress"]) if values["progress"] else None
    return Run(**values)
