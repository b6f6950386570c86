"""The history of runs in SQLite, and in memory the runs that are under way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    case,
    delete,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from models.errors import RunNotFound
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import MAX_DRY_RUNS, DayTotal, Phase, Run, RunOutline, RunPage, outline_of
from models.run_spec import RunKind
from storage.database import Database
from storage.job_successes import forget_jobs_without_runs, note_success, successes
from storage.run_days import count_end, totals_since
from storage.untold_runs import note_step

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
    Column("kind", Text, nullable=False),
    Column("files_special", Integer, nullable=False),
    Column("sources_deleted", Integer, nullable=False),
    Column("notices", JSON, nullable=False),
    Column("preview", JSON(none_as_null=True)),
    Column("only_failed_of", Text),
    Column("only_files", Integer),
    Column("leaves_job", Text),
    Column("attempt_times", JSON, nullable=False),
)
_COLUMNS = [field.name for field in fields(Run)]
MAX_PAGE = 200
_CURSOR = re.compile(r"\d{1,18}")
_place: ColumnElement[int] = literal_column("runs.rowid", Integer)
"""What is the newest: the row that was added last, which no change of the clock upsets. Every new
row gets a number above all others (sqlite.org, ROWIDs)."""
_IDS_A_STATEMENT = 500
_OUTLINES = """
SELECT id, job_id, status, outcome, started_at, ended_at, notices, (
  SELECT CASE WHEN count(*) = count(json_extract(value, '$.duration_seconds'))
    THEN sum(json_extract(value, '$.duration_seconds')) END
  FROM json_each(phases)
) FROM (
  SELECT id, job_id, status, outcome, started_at, ended_at, notices, phases, rowid AS place,
    row_number() OVER (PARTITION BY job_id ORDER BY rowid DESC) AS rank
  FROM runs WHERE job_id IN (SELECT value FROM json_each(?)) AND kind = ?
) WHERE rank <= ? ORDER BY place
"""


def _no_listener(_run: Run) -> None:
    """Nobody wants to know."""


class RunRepository:
    """Runs by id and by job, newest first. `on_over` is called with each run whose end is kept,
    `on_step` with each that has begun or ended."""

    def __init__(
        self,
        database: Database,
        *,
        on_over: Callable[[Run], None] = _no_listener,
        on_step: Callable[[Run], None] = _no_listener,
    ) -> None:
        self._database = database
        self._on_over = on_over
        self._on_step = on_step
        self._under_way: dict[str, Run] = {}

    async def add(self, run: Run) -> None:
        """Keep a new run."""
        await self.save(run)

    async def save(self, run: Run) -> None:
        """Keep the run as it is now. Raises StorageFailed."""
        self.publish(run)
        if await self._database.write(lambda connection: _keep(connection, run)):
            self._on_step(run)
        if run.is_over:
            self._under_way.pop(run.id, None)
            self._on_over(run)

    def publish(self, run: Run) -> None:
        """Show a run under way to readers without keeping it."""
        before = self._under_way.get(run.id)
        self._under_way[run.id] = run
        if before and before.status is JobStatus.QUEUED and run.status is JobStatus.RUNNING:
            self._on_step(run)

    @property
    def under_way(self) -> tuple[Run, ...]:
        """The runs that are queued or live, as they are shown."""
        return tuple(self._under_way.values())

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
        run = await self._database.read(lambda connection: _find(connection, run_id))
        if run is None:
            raise RunNotFound(run_id)
        return run

    async def prune(
        self, job_id: str | None, *, keep: int, ended_before: str | None = None
    ) -> tuple[str, ...]:
        """Forget ended runs of a job, or of each, and return their ids: all but so many of the
        newest, and those that ended before a time, unless they are their job's last.

        Dry runs are counted apart, and no more than MAX_DRY_RUNS of a job are kept.
        """
        kinds = (RUNS.c.job_id, RUNS.c.kind)
        rank = func.row_number().over(partition_by=kinds, order_by=_place.desc())
        ended = select(RUNS.c.id, RUNS.c.kind, RUNS.c.ended_at, rank.label("rank"))
        ended = ended.where(RUNS.c.outcome.is_not(None))
        if job_id is not None:
            ended = ended.where(RUNS.c.job_id == job_id)
        ranked = ended.subquery()
        is_dry_run = ranked.c.kind == RunKind.DRY_RUN
        is_old = ranked.c.rank > case((is_dry_run, min(keep, MAX_DRY_RUNS)), else_=keep)
        if ended_before is not None:
            is_old = is_old | ((ranked.c.rank > 1) & (ranked.c.ended_at < ended_before))

        def work(connection: Connection) -> tuple[str, ...]:
            old = tuple(connection.execute(select(ranked.c.id).where(is_old)).scalars())
            for some in _batches(old):
                connection.execute(delete(RUNS).where(RUNS.c.id.in_(some)))
            if job_id is None:
                forget_jobs_without_runs(connection)
            return old

        return await self._database.write(work)

    async def known(self, run_ids: Collection[str]) -> frozenset[str]:
        """Return which of these runs there are."""

        def work(connection: Connection) -> frozenset[str]:
            found: set[str] = set()
            for some in _batches(tuple(run_ids)):
                found.update(
                    connection.execute(select(RUNS.c.id).where(RUNS.c.id.in_(some))).scalars()
                )
            return frozenset(found)

        return await self._database.read(work)

    async def unfinished(self) -> tuple[str, ...]:
        """Return the runs that are kept without an end."""
        statement = select(RUNS.c.id).where(RUNS.c.outcome.is_(None))
        return await self._database.read(
            lambda connection: tuple(connection.execute(statement).scalars())
        )

    async def oldest_first(self, run_ids: Collection[str]) -> tuple[str, ...]:
        """Return those of these runs that there are, in the order in which they were added."""

        def work(connection: Connection) -> tuple[str, ...]:
            found: list[tuple[int, str]] = []
            for some in _batches(tuple(run_ids)):
                placed = select(_place, RUNS.c.id).where(RUNS.c.id.in_(some))
                found += [(place, run_id) for place, run_id in connection.execute(placed)]
            return tuple(run_id for _, run_id in sorted(found))

        return await self._database.read(work)

    async def list_runs(
        self,
        *,
        job_id: str | None = None,
        kind: RunKind | None = None,
        outcome: RunOutcome | None = None,
        q: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return a page of the history, newest first; of one kind of runs, of an outcome, of jobs
        with a text in their name (in any case of ASCII letters), or of all. `limit` is at most
        200."""
        limit = max(1, min(limit, MAX_PAGE))
        matching: Select[Any] = select(RUNS, _place.label("place"))
        if job_id is not None:
            matching = matching.where(RUNS.c.job_id == job_id)
        if kind is not None:
            matching = matching.where(RUNS.c.kind == kind)
        if outcome is not None:
            matching = matching.where(RUNS.c.outcome == outcome)
        if q:
            matching = matching.where(func.instr(func.lower(RUNS.c.job_name), func.lower(q)) > 0)
        total = select(func.count()).select_from(matching.subquery())
        page = matching.order_by(_place.desc()).limit(limit + 1)
        if cursor and _CURSOR.fullmatch(cursor):
            page = page.where(_place < int(cursor))

        def work(connection: Connection) -> tuple[list[Row[Any]], int]:
            rows = list(connection.execute(page))
            return rows, connection.execute(total).scalar_one()

        rows, count = await self._database.read(work)
        items = [self._newest(_run(row)) for row in rows[:limit]]
        next_cursor = str(rows[limit - 1].place) if len(rows) > limit else None
        return RunPage(tuple(items), count, next_cursor)

    async def recent_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[Run, ...]]:
        """Return the newest transfers of some jobs, oldest first within a job."""
        rank = func.row_number().over(partition_by=RUNS.c.job_id, order_by=_place.desc())
        ranked = (
            select(RUNS, _place.label("place"), rank.label("rank"))
            .where(RUNS.c.job_id.in_(list(job_ids)), RUNS.c.kind == RunKind.TRANSFER)
            .subquery()
        )
        statement = select(ranked).where(ranked.c.rank <= limit).order_by(ranked.c.place)
        rows = await self._database.read(lambda connection: list(connection.execute(statement)))
        by_job: dict[str, tuple[Run, ...]] = {}
        for row in rows:
            run = self._newest(_run(row))
            by_job[run.job_id] = (*by_job.get(run.job_id, ()), run)
        return by_job

    async def outlines_by_job(
        self, job_ids: Iterable[str], limit: int
    ) -> Mapping[str, tuple[RunOutline, ...]]:
        """Return outlines of the newest transfers of some jobs, oldest first within a job."""
        wanted = json.dumps(list(job_ids))

        def work(connection: Connection) -> list[Any]:
            # By hand and without the rest of the rows: every list of jobs waits for this.
            found = connection.exec_driver_sql(_OUTLINES, (wanted, RunKind.TRANSFER, limit))
            return list(found)

        by_job: dict[str, list[RunOutline]] = {}
        for run_id, job_id, *rest in await self._database.read(work):
            under_way = self._under_way.get(run_id)
            outline = outline_of(under_way) if under_way else _outline(run_id, job_id, *rest)
            by_job.setdefault(job_id, []).append(outline)
        return {job_id: tuple(outlines) for job_id, outlines in by_job.items()}

    async def totals_by_day(self, since: str) -> tuple[DayTotal, ...]:
        """Return what ended on each day of UTC from one on, by outcome, the oldest first."""
        return await self._database.read(lambda connection: totals_since(connection, since))

    async def last_successes(self) -> Mapping[str, str]:
        """Return when the last success of each job ended that has had one."""
        return await self._database.read(successes)

    def _newest(self, run: Run) -> Run:
        return self._under_way.get(run.id, run)


def _keep(connection: Connection, run: Run) -> bool:
    """Keep a run; returns whether it begins or ends with that."""
    before = _find(connection, run.id)
    _upsert(connection, run)
    count_end(connection, before, run)
    note_success(connection, run)
    return note_step(connection, before, run)


def _find(connection: Connection, run_id: str) -> Run | None:
    row = connection.execute(select(RUNS).where(RUNS.c.id == run_id)).first()
    return _run(row) if row is not None else None


def row_of(run: Run) -> dict[str, Any]:
    """Return a run as a row of its table."""
    return {
        **asdict(run),
        "phases": [asdict(phase) for phase in run.phases],
        "progress": run.progress._asdict() if run.progress else None,
    }


def _upsert(connection: Connection, run: Run) -> None:
    statement = insert(RUNS).values(row_of(run))
    changed = {name: statement.excluded[name] for name in _COLUMNS if name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))


def _run(row: Row[Any]) -> Run:
    values = {name: row._mapping[name] for name in _COLUMNS}
    values["status"] = JobStatus(values["status"])
    values["outcome"] = RunOutcome(values["outcome"]) if values["outcome"] else None
    values["phases"] = tuple(Phase(**phase) for phase in values["phases"])
    values["progress"] = Progress(**values["progress"]) if values["progress"] else None
    for name in ("notices", "attempt_times"):
        values[name] = tuple(values[name])
    values["leaves_job"] = JobStatus(values["leaves_job"]) if values["leaves_job"] else None
    return Run(**values)


def _outline(run_id: str, job_id: str, status: str, outcome: str | None, *rest: Any) -> RunOutline:
    started_at, ended_at, notices, measured = rest
    return RunOutline(
        run_id,
        job_id,
        JobStatus(status),
        RunOutcome(outcome) if outcome else None,
        started_at,
        ended_at,
        measured if outcome else None,
        () if notices == "[]" else tuple(json.loads(notices)),
    )


def _batches(ids: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a list in parts that one statement can carry."""
    for start in range(0, len(ids), _IDS_A_STATEMENT):
        yield ids[start : start + _IDS_A_STATEMENT]
