"""Proves that the database of any earlier version becomes the one that the code is written for."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, inspect

from models.deleted_sources import DeletingRun
from storage import database as database_module
from storage.database import Database
from storage.deletion_repository import DeletionRepository
from storage.deletion_table import METADATA as DELETIONS
from storage.error_table import METADATA as ERRORS
from storage.layout import DATABASE_NAME
from storage.run_repository import METADATA as RUNS


def configured() -> Config:
    """Return what alembic needs to know."""
    config = Config()
    migrations = Path(database_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(migrations))
    return config


REVISIONS = [one.revision for one in ScriptDirectory.from_config(configured()).walk_revisions()]


def make(directory: Path, revision: str) -> None:
    """Make a database as an earlier version left it."""
    engine, config = create_engine(f"sqlite:///{directory / DATABASE_NAME}"), configured()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def columns_of(metadata: MetaData) -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Return by table and column the type, whether it may be empty, and whether it is a key."""
    return {
        table.name: {
            column.name: (str(column.type), bool(column.nullable), column.primary_key)
            for column in table.columns
        }
        for table in metadata.tables.values()
    }


def columns_in(directory: Path) -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Return the same of the tables that are there."""
    engine = create_engine(f"sqlite:///{directory / DATABASE_NAME}")
    looked = inspect(engine)
    found = {}
    for table in looked.get_table_names():
        keys = looked.get_pk_constraint(table)["constrained_columns"]
        found[table] = {
            column["name"]: (str(column["type"]), column["nullable"], column["name"] in keys)
            for column in looked.get_columns(table)
        }
    engine.dispose()
    found.pop("alembic_version")
    return found


@pytest.mark.parametrize("revision", REVISIONS)
async def test_each_version_becomes_what_the_code_is_written_for(
    tmp_path: Path, revision: str
) -> None:
    make(tmp_path, revision)
    database = await Database.open(tmp_path)
    await database.close()
    wanted = columns_of(RUNS) | columns_of(ERRORS) | columns_of(DELETIONS)
    assert columns_in(tmp_path) == wanted


async def test_deletions_are_taken_into_a_database_of_before_there_were_any(tmp_path: Path) -> None:
    make(tmp_path, "0003")
    directory = tmp_path / "runs" / "run-1"
    directory.mkdir(parents=True)
    (directory / "deletions.jsonl").write_text(
        '{"format":1}\n{"n":1,"outcome":"kept","path":"a","reason":"b","t":"2026-11-26"}\n'
    )
    database = await Database.open(tmp_path)
    deletions = DeletionRepository(database, tmp_path)
    run = DeletingRun("run-1", "job", "Job", "/from", "/to", "2026-11-26T10:00:00.000Z")
    await deletions.take(run)
    known = await deletions.run("run-1")
    await database.close()
    assert known is not None
    assert (known.kept, known.deleted) == (1, 0)
