"""When each job last did what it should: noted when a run ends, and kept when the run is forgotten.

A job that has failed ever since keeps none of the runs in which it did not.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, select, text
from sqlalchemy.dialects.sqlite import insert

from models.run import Run

METADATA = MetaData()
JOB_SUCCESSES = Table(
    "job_successes",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("ended_at", Text, nullable=False),
    sqlite_with_rowid=False,
)
_WITHOUT_A_RUN = text("job_id NOT IN (SELECT job_id FROM runs)")


def note_success(connection: Connection, run: Run) -> None:
    """Note when a run ended, if it was a success of its job."""
    if not run.is_success or run.ended_at is None:
        return
    # The run that was kept last, whatever the clock said meanwhile.
    statement = insert(JOB_SUCCESSES).values(job_id=run.job_id, ended_at=run.ended_at)
    newest = {"ended_at": statement.excluded["ended_at"]}
    connection.execute(statement.on_conflict_do_update(index_elements=["job_id"], set_=newest))


def successes(connection: Connection) -> Mapping[str, str]:
    """Return when the last success of each job ended that has had one."""
    rows = connection.execute(select(JOB_SUCCESSES.c.job_id, JOB_SUCCESSES.c.ended_at))
    return {row.job_id: row.ended_at for row in rows}


def forget_jobs_without_runs(connection: Connection) -> None:
    """Forget jobs that are gone: of every other one a run at least is kept."""
    connection.execute(delete(JOB_SUCCESSES).where(_WITHOUT_A_RUN))
