"""What a database promises whoever reads from it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import Connection

from storage.database import Database
from storage.run_repository import RunRepository
from tests.fakes.builders import a_run


async def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    database = await Database.open(tmp_path)
    loop = asyncio.get_running_loop()

    def count_twice(connection: Connection) -> tuple[int, int]:
        def count() -> int:
            return int(connection.exec_driver_sql("SELECT count(*) FROM runs").scalar_one())

        before = count()
        added = RunRepository(database).add(a_run("run-1"))
        asyncio.run_coroutine_threadsafe(added, loop).result(timeout=30)
        return before, count()

    assert await database.read(count_twice) == (0, 0)
    assert (await RunRepository(database).list_runs()).total == 1
    await database.close()
