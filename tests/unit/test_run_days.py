"""Proves that the table of days stays small, and that the pages read it without a look at runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from models.progress import RunOutcome
from models.run_history import close_run
from storage.database import Database
from storage.run_days import MAX_DAYS
from storage.run_repository import RunRepository
from tests.fakes.builders import a_run

FIRST = datetime(2025, 1, 1, 12, tzinfo=UTC)


async def test_the_oldest_days_go_and_a_clock_set_to_the_future_takes_none_with_it(
    tmp_path: Path,
) -> None:
    database = await Database.open(tmp_path)
    runs = RunRepository(database)
    days = [FIRST + timedelta(days=number) for number in range(MAX_DAYS + 5)]
    for number, moment in enumerate([*days, FIRST.replace(year=2099)]):
        ended_at = moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        run = replace(a_run(f"run-{number}"), bytes_sent=1)
        await runs.save(close_run(run, RunOutcome.COMPLETED, ended_at=ended_at, message=None))
    totals = await runs.totals_by_day("2000-01-01")
    await database.close()
    assert len(totals) == MAX_DAYS
    assert totals[-1].day == "2099-01-01"
    assert date.fromisoformat(totals[0].day) == days[6].date()


async def test_days_are_found_by_their_key(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    plan = await database.read(
        lambda connection: connection.execute(
            text("EXPLAIN QUERY PLAN SELECT * FROM run_days WHERE day >= 'x' AND runs > 0")
        ).all()
    )
    await database.close()
    assert [row.detail for row in plan] == ["SEARCH run_days USING PRIMARY KEY (day>?)"]
