"""Proves that a check finds each kind of damage in a data directory, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.job_state import JobState
from models.job_status import JobStatus
from storage import database_check
from storage.directory_check import Mark, check_directory
from storage.job_documents import job_content, state_content
from tests.fakes.builders import a_job, a_spec
from tests.support import tree_of


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A data directory with everything in it, made without a server."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    spec = json.dumps(a_spec().to_document()).encode()
    files = {
        "jobs/a.yaml": job_content(a_job("a")),
        "jobs/a.yaml.bak": job_content(a_job("a")),
        "state/a.yaml": state_content(JobState("a", status=JobStatus.FAILED)),
        "state/a.yaml.bak": state_content(JobState("a")),
        "runs/run-1/spec.json": spec,
        "settings.yaml": b"a: 1\n",
    }
    for name, content in files.items():
        path = data / name
        path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        path.write_bytes(content)
        path.chmod(0o600)
    for directory in (data / "runs", data / "runs/run-1"):
        directory.chmod(0o700)
    database = sqlite3.connect(data / "longshore.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE notes (text)")
    database.execute("CREATE INDEX by_text ON notes (text)")
    database.executemany("INSERT INTO notes VALUES (?)", [(f"{n:0100d}",) for n in range(500)])
    database.commit()
    database.close()
    (data / "longshore.db").chmod(0o600)
    return data


def put(name: str, content: bytes) -> Callable[[Path], None]:
    """Return a damage: a private file with this content."""

    def damage(data: Path) -> None:
        (data / name).parent.mkdir(mode=0o700, exist_ok=True)
        (data / name).write_bytes(content)
        (data / name).chmod(0o600)

    return damage


def scribble(data: Path) -> None:
    """Overwrite the middle of the database."""
    with (data / "longshore.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 8192)


ASLEEP = state_content(JobState("a")).replace(b"pending", b"asleep")
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "definition": (
        put("jobs/a.yaml", b"name: A\nengine: rsync\nsource: nas:/a\ndestination: /b\n"),
        "fault jobs/a.yaml: line 3: source: This looks like a remote location.",
    ),
    "yaml": (put("jobs/b.yaml", b"a: [\n"), "fault jobs/b.yaml: is not valid YAML at line 2"),
    "secrets": (
        put("secrets.yaml", b"format: 1\ncredentials:\n  nas: {password: !hush x}\n"),
        "fault secrets.yaml: cannot be read at line 3: a password with special characters",
    ),
    "name": (put("jobs/Big.yaml", b"a: 1\n"), "fault jobs/Big.yaml: its name is not a job id"),
    "power cut": (put("jobs/a.yaml", b"\0" * 99), "fault jobs/a.yaml: holds nothing but NUL"),
    "directory": (lambda data: (data / "jobs/d.yaml").mkdir(0o700), "fault jobs/d.yaml: cannot be"),
    "state": (
        put("state/a.yaml", state_content(JobState("a")).replace(b"pending", b"asleep")),
        "fault state/a.yaml: 'asleep' is not",
    ),
    "backup": (put("jobs/a.yaml.bak", b""), "warn jobs/a.yaml.bak: is empty"),
    "state's backup": (put("state/a.yaml.bak", b"x: ["), "warn state/a.yaml.bak: is not valid"),
    "orphan": (
        put("state/z.yaml", state_content(JobState("z"))),
        "warn state/z.yaml: is the state of no job",
    ),
    "leftover": (put("jobs/.new-a.yaml.1f", b"x"), "warn jobs/.new-a.yaml.1f: is a file that was"),
    "run's leftover": (put("runs/run-1/.new-spec.json.1", b""), "warn runs/run-1/.new-spec.json.1"),
    "aside": (put("state/a.yaml.damaged-2026", b"x"), "warn state/a.yaml.damaged-2026: was dam"),
    "file mode": (
        lambda data: (data / "jobs/a.yaml").chmod(0o640),
        "warn jobs/a.yaml: can be used",
    ),
    "directory mode": (lambda data: (data / "state").chmod(0o755), "warn state: can be used"),
    "top mode": (lambda data: data.chmod(0o750), "warn .: can be used by others: chmod 700"),
    "run's mode": (
        lambda data: (data / "runs/run-1/spec.json").chmod(0o604),
        "warn runs/run-1/spec.json: can be used by others: chmod 600",
    ),
    "settings": (put("settings.yaml", b"- a\n"), "fault settings.yaml: is empty or not a mapping"),
    "setting": (
        put("settings.yaml", b"a: 1\nkept_run_days: 0\n"),
        "fault settings.yaml: line 2: kept_run_days: Write a number above 0",
    ),
    "settings cut": (
        put("settings.yaml", b"format: 1\nkept_run_days: 9\n"),
        "fault settings.yaml: is cut off",
    ),
    "settings before": (put("settings.yaml.bak", b""), "warn settings.yaml.bak: is empty"),
    "settings aside": (
        put("settings.yaml.damaged-2026", b"x"),
        "warn settings.yaml.damaged-2026: was damaged",
    ),
    "settings' leftover": (
        put(".new-settings.yaml.1f", b"x"),
        "warn .new-settings.yaml.1f: is a file that was",
    ),
    "scribbled": (scribble, "fault longshore.db: "),
    "no database": (put("longshore.db", b"text" * 999), "fault longshore.db: file is not a data"),
    "history gone": (
        lambda data: (data / "longshore.db").unlink(),
        "warn longshore.db: is missing",
    ),
    "spec": (put("runs/run-1/spec.json", b"{"), "fault runs/run-1/spec.json: is not JSON"),
    "spec's keys": (put("runs/run-1/spec.json", b"{}"), "fault runs/run-1/spec.json: RunSpec"),
    "no spec": (lambda data: (data / "runs/x").mkdir(0o700), "warn runs/x: has no spec.json"),
}


def found_in(data: Path, *, is_served: bool = False) -> list[str]:
    """Check a directory and see that nothing is changed; returns mark, place and message."""
    before = tree_of(data)
    result = check_directory(data, is_served=is_served)
    assert tree_of(data) == before
    found = [f"{f.mark} {f.place}: {f.message}" for f in result.findings if f.mark is not Mark.OK]
    assert len(found) == result.of(Mark.FAULT) + result.of(Mark.WARNING)
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_is_found_and_nothing_is_changed(kept: Path, damage: str) -> None:
    assert found_in(kept) == []
    inflict, expected = DAMAGES[damage]
    inflict(kept)
    found = found_in(kept)
    assert found[0].startswith(expected)
    if damage != "scribbled":
        assert len(found) == 1


def test_everything_is_counted(kept: Path) -> None:
    counts = {"definitions": 1, "states": 1, "backups": 2, "runs": 1}
    assert check_directory(kept, is_served=False).counts == counts


def test_files_that_others_can_use_are_told_once_for_a_directory(kept: Path) -> None:
    for name in ("b", "c"):
        put(f"jobs/{name}.yaml", job_content(a_job(name)))(kept)
        (kept / "jobs" / f"{name}.yaml").chmod(0o644)
    (kept / "README.md").write_text("not ours")
    (kept / "jobs" / "notes.txt").symlink_to(kept / "README.md")
    assert found_in(kept) == [
        "warn jobs/b.yaml: can be used by others, as can 1 more: chmod 600",
    ]


def test_what_is_on_its_way_under_a_server_is_no_finding(kept: Path) -> None:
    put("jobs/.new-a.yaml.1f", b"x")(kept)
    (kept / "runs/x").mkdir(mode=0o700)
    assert found_in(kept, is_served=True) == []
    assert len(found_in(kept)) == 2


def test_what_is_deleted_while_it_looks_is_no_finding(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*os.listdir(kept / "jobs"), "gone.yaml", "gone.yaml.bak", ".new-gone.yaml"]
    listed = os.listdir
    monkeypatch.setattr(
        os, "listdir", lambda path: names if Path(path).name == "jobs" else listed(path)
    )
    assert found_in(kept) == []


def test_a_directory_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    result = check_directory(tmp_path / "none", is_served=False)
    assert [str(finding) for finding in result.findings] == [
        f"there is no data directory {tmp_path / 'none'}"
    ]
    assert result.of(Mark.FAULT) == 1
    assert not (tmp_path / "none").exists()


OTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
for line in sys.stdin:
    connection.execute(line)
    print(flush=True)
"""


@pytest.fixture
def execute(kept: Path) -> Iterator[Callable[[str], None]]:
    """Execute SQL in another process, which has the database open as a server has.

    SQLite shares what it knows of a -shm within a process, so that a check here would not be alone.
    """
    command = [sys.executable, "-c", OTHER_PROCESS, str(kept / "longshore.db")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        talk, listen = process.stdin, process.stdout

        def execute(statement: str) -> None:
            print(statement, file=talk, flush=True)
            assert listen.readline() == "\n"

        execute("INSERT INTO notes VALUES ('new')")
        yield execute
        process.kill()


def test_a_database_in_use_is_checked_with_what_is_in_its_log(
    kept: Path, execute: Callable[[str], None]
) -> None:
    log = kept / "longshore.db-wal"
    assert log.stat().st_size > 0
    assert found_in(kept, is_served=True) == []
    execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert log.stat().st_size == 0
    assert found_in(kept, is_served=True) == []
    # A fault that stands in the log alone: the table's root becomes the index's.
    execute("PRAGMA writable_schema=ON")
    execute("UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'notes'")
    assert found_in(kept, is_served=True)[0].startswith("fault longshore.db: ")


@pytest.mark.usefixtures("execute")
def test_a_log_without_its_index_is_not_checked(kept: Path) -> None:
    killed = kept.parent / "killed"
    shutil.copytree(kept, killed)
    assert found_in(killed) == []
    (killed / "longshore.db-shm").unlink()
    assert found_in(killed) == [
        "warn longshore.db: was not checked: its -shm file is missing; a start makes it"
    ]


def test_a_server_that_begins_meanwhile_does_not_look_like_a_fault(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = iter(["mode=ro&immutable=1", "mode=ro&readonly_shm=1", "mode=ro&immutable=1"])
    answers = iter([("torn page",), ()])
    monkeypatch.setattr(database_check, "_way_to_open", lambda *_, **__: next(ways))
    monkeypatch.setattr(database_check, "_check", lambda *_: next(answers))
    assert database_check.database_faults(kept / "longshore.db", is_served=False) == ()
