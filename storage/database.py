"""The SQLite database: opened, migrated, and used from threads of its own.

WAL with synchronous=FULL: with NORMAL acknowledged commits were lost in power cuts
(sqlite.org/pragma.html, synchronous).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from models.errors import StorageBusy, StorageFailed
from storage.layout import DATABASE_NAME

Result = TypeVar("Result")
_BUSY_MILLISECONDS = 5000
_READERS = 2
_PRIMARY_CODE = 0xFF
_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Database:
    """One writing thread and a few reading ones over a SQLite file."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-reader")
        self.failed_writes = 0
        """How many writes failed since one was last done."""
        self._under_way = 0

    @classmethod
    async def open(cls, directory: Path) -> Database:
        """Open the database of a data directory and bring its schema up to date.

        Raises StorageFailed.
        """
        path = directory / DATABASE_NAME
        database = cls(_make_engine(path))
        try:
            await asyncio.get_running_loop().run_in_executor(
                database._writer, _migrate, database._engine, path
            )
        except (SQLAlchemyError, OSError) as error:
            await database.close()
            raise StorageFailed("Opening the database", str(error)) from error
        return database

    @property
    def is_writing(self) -> bool:
        """Whether a write is under way, or waits for another program to let go of the file."""
        return self._under_way > 0

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do `work` in one transaction; durable when this returns. Raises StorageFailed,
        StorageBusy when another program held the database for too long."""
        self._under_way += 1
        try:
            result = await self._run(self._writer, work)
        except StorageFailed:
            self.failed_writes += 1
            raise
        finally:
            self._under_way -= 1
        self.failed_writes = 0
        return result

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do reading `work`; whatever it asks for, it sees of one moment. Raises StorageFailed."""

        def read_of_one_moment(connection: Connection) -> Result:
            # Python's sqlite3 begins no transaction before a SELECT (docs.python.org, sqlite3,
            # isolation_level), and a page and its count would differ by what ends between them.
            connection.exec_driver_sql("BEGIN")
            return work(connection)

        return await self._run(self._readers, read_of_one_moment)

    async def close(self) -> None:
        """Finish what is under way and close; may be called twice."""
        for pool in (self._writer, self._readers):
            await asyncio.to_thread(pool.shutdown)
        self._engine.dispose()

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[Connection], Result]) -> Result:
        def transact() -> Result:
            with self._engine.begin() as connection:
                return work(connection)

        def transact_anew() -> Result:
            try:
                return transact()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # Not in the handler: the error's frames keep what failed from being closed.
            return self._with_none_open(transact) if pool is self._writer else transact()

        try:
            return await asyncio.get_running_loop().run_in_executor(pool, transact_anew)
        except SQLAlchemyError as error:
            kind = StorageBusy if _code_of(error.__cause__) in _BUSY_CODES else StorageFailed
            raise kind("The database", str(error.__cause__ or error)) from error

    def _with_none_open(self, work: Callable[[], Result]) -> Result:
        """Do it in the writing thread while no reading one is at work, with all connections anew.

        Each that is opened shares the WAL-index of those that are open (sqlite.org/walformat.html),
        and where that was opened while the disk was read-only none may write before all are closed.
        Raises StorageBusy where a reader does not come to an end.
        """
        all_here, goes_on = Barrier(_READERS + 1), Event()

        def stand_still() -> None:
            with suppress(BrokenBarrierError):
                all_here.wait()
                goes_on.wait()

        for _ in range(_READERS):
            self._readers.submit(stand_still)
        try:
            all_here.wait(_BUSY_MILLISECONDS / 1000)
            self._engine.pool.dispose()
            return work()
        except BrokenBarrierError as error:
            raise StorageBusy("The database", "it is read from without an end") from error
        finally:
            goes_on.set()


def _code_of(error: BaseException | None) -> int:
    """Return SQLite's primary result code (sqlite.org/rescode.html); 0 where there is none."""
    code = getattr(error, "sqlite_errorcode", 0) if isinstance(error, sqlite3.Error) else 0
    return int(code) & _PRIMARY_CODE


def _make_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={_BUSY_MILLISECONDS}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "handle_error")
    def _reopen(context: ExceptionContext) -> None:
        # What was opened while the disk was read-only stays so when the disk is not any more
        # (sqlite.org/c3ref/open.html, SQLITE_OPEN_READWRITE).
        if isinstance(context.original_exception, sqlite3.Error):
            code = _code_of(context.original_exception)
            context.is_disconnect = code == sqlite3.SQLITE_READONLY
            if context.is_disconnect and context.execution_context is not None:
                # Its statement would keep the connection open for as long as the error is known.
                context.execution_context.cursor.close()

    return engine


def _migrate(engine: Engine, path: Path) -> None:
    # SQLite gives its -wal and -shm files the mode of the database file.
    path.touch(mode=0o600, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        # Python's sqlite3 begins no transaction before what changes the schema (docs.python.org,
        # sqlite3, isolation_level): a kill between would leave a table that the next start makes
        # again. Not IMMEDIATE, which waits for the lock though there may be nothing to write.
        connection.exec_driver_sql("BEGIN")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
