"""Proves that entries of the audit log are kept as they are, for as long as is promised, and hold
no secret."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from starlette.requests import HTTPConnection

from fastapi_app import refused_sign_ins as refused_module
from fastapi_app.audit import Audit, HandEdits, who_asks
from fastapi_app.refused_sign_ins import RefusedSignIns
from models.access import Identity, Role, Way
from models.audit import (
    MAX_DETAILS,
    MAX_ENTRIES,
    PROTECTED_DAYS,
    Action,
    AuditEntry,
    AuditFilter,
    NewAuditEntry,
    changes,
)
from models.errors import StorageFailed
from models.settings import SavedSettings
from storage import batch_writer as writer_module
from storage.audit_append import append
from storage.audit_repository import AuditRepository
from storage.database import Database
from storage.layout import DATABASE_NAME
from tests.fakes.builders import a_job
from tests.support import wait_until_async
from utils.timestamps import utc_timestamp

_DAY = 24 * 60 * 60
_ALL = AuditFilter()
OWNER = Identity("owner", Role.ADMIN, Way.OPEN, "192.0.2.1")


def an_entry(**given: Any) -> NewAuditEntry:
    """Return an entry, of now unless it says otherwise."""
    values = {
        "time": utc_timestamp(),
        "account": "ada",
        "role": Role.ADMIN,
        "way": Way.SESSION,
        "address": "192.0.2.7",
        "action": Action.JOB_STARTED,
    }
    return NewAuditEntry(**values | given)


@dataclass
class Scene:
    """An audit log in a database, and the file of that."""

    directory: Path
    database: Database
    log: AuditRepository
    lost: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log.on_loss = self.lost.append

    async def entries(self, wanted: AuditFilter = _ALL) -> tuple[AuditEntry, ...]:
        """Return what is kept, newest first."""
        await self.log.flush()
        return (await self.log.find(wanted, limit=500)).items

    def sql(self) -> sqlite3.Connection:
        """Return a connection that is not the program's, as anybody may open one."""
        return sqlite3.connect(self.directory / DATABASE_NAME, isolation_level=None)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty audit log."""
    database = await Database.open(tmp_path)
    log = AuditRepository(database)
    yield Scene(tmp_path, database, log)
    await log.close()
    await database.close()


@pytest.fixture
def raw(scene: Scene) -> Iterator[sqlite3.Connection]:
    """A connection beside the program's."""
    with closing(scene.sql()) as connection:
        yield connection


async def test_an_entry_is_kept_with_all_that_it_says(scene: Scene) -> None:
    scene.log.add(
        an_entry(
            action=Action.JOB_EDITED,
            job_id="photos-1",
            job_name="Photos",
            run_id="run-1",
            details={"name": {"before": "a", "after": "b"}},
        )
    )
    (entry,) = await scene.entries()
    assert (entry.id, entry.account, entry.role, entry.way) == ("1", "ada", "admin", "session")
    assert (entry.address, entry.action) == ("192.0.2.7", Action.JOB_EDITED)
    assert (entry.job_id, entry.job_name, entry.run_id) == ("photos-1", "Photos", "run-1")
    assert entry.details == {"name": {"before": "a", "after": "b"}}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET account = 'eve'",
        "UPDATE OR REPLACE audit_entries SET id = 2 WHERE id = 1",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE id = 1",
        "INSERT OR REPLACE INTO audit_entries (id, time, account, address, action, details)"
        " VALUES (1, '2026', 'eve', '', 'job_started', '{}')",
        "REPLACE INTO audit_entries SELECT id, time, 'eve', role, way, address, action, job_id,"
        " job_name, run_id, details FROM audit_entries WHERE id = 1",
        "INSERT INTO audit_entries SELECT id, time, 'eve', role, way, address, action, job_id,"
        " job_name, run_id, details FROM audit_entries WHERE true"
        " ON CONFLICT (id) DO UPDATE SET account = 'eve'",
    ],
)
async def test_the_database_refuses_to_change_or_remove_an_entry(
    scene: Scene, raw: sqlite3.Connection, statement: str
) -> None:
    scene.log.add(an_entry(account="first"))
    scene.log.add(an_entry(account="second"))
    before = await scene.entries()
    with pytest.raises(sqlite3.IntegrityError, match="an entry of the audit log"):
        raw.execute(statement)
    assert await scene.entries() == before


async def test_an_entry_is_removed_when_it_is_old_and_not_before(
    scene: Scene, raw: sqlite3.Connection
) -> None:
    now = time.time()
    for days in (400, PROTECTED_DAYS + 0.01, PROTECTED_DAYS - 0.01, 0):
        scene.log.add(an_entry(time=utc_timestamp(now - days * _DAY), account=f"{days}"))
    await scene.log.flush()

    await scene.log.forget_old()
    assert [one.account for one in await scene.entries()] == ["0", "29.99", "30.01"]

    early: list[bool] = []
    scene.log.on_early = early.append
    scene.log.kept_days = PROTECTED_DAYS
    await scene.log.forget_old()
    assert early == [False], "they had their time"
    assert [one.account for one in await scene.entries()] == ["0", "29.99"]
    with pytest.raises(sqlite3.IntegrityError, match="kept for thirty days"):
        raw.execute("DELETE FROM audit_entries WHERE account = '29.99'")

    scene.log.kept_days = 1
    with pytest.raises(StorageFailed, match="thirty days"):
        await scene.log.forget_old()


async def test_of_too_many_the_oldest_go_and_no_other(
    scene: Scene, raw: sqlite3.Connection
) -> None:
    raw.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO"
        " audit_entries (time, account, address, action, details)"
        " SELECT ?, 'a', '', 'job_started', '{}' FROM n",
        (MAX_ENTRIES + 10, utc_timestamp()),
    )
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute("DELETE FROM audit_entries WHERE id = 11")
    early: list[bool] = []
    scene.log.on_early = early.append
    assert await scene.log.cut_short_at() is None
    await scene.log.forget_old()
    assert early == [True]
    assert await scene.log.cut_short_at() == (await scene.log.find(_ALL, limit=1)).items[0].time
    await scene.log.forget_old()
    assert early == [True], "nothing more went"
    assert raw.execute("SELECT min(id), count(*) FROM audit_entries").fetchone() == (
        11,
        MAX_ENTRIES,
    )
    # One number far ahead would make all others too many.
    with pytest.raises(sqlite3.IntegrityError, match="right after the newest"):
        raw.execute(
            "INSERT INTO audit_entries (id, time, account, address, action, details)"
            " VALUES (10000000, ?, 'eve', '', 'job_started', '{}')",
            (utc_timestamp(),),
        )
    began = time.monotonic()
    page = await scene.log.find(AuditFilter(account="nobody", q="nothing"), limit=50)
    assert page.total == 0
    assert time.monotonic() - began < 5


async def test_ids_have_no_gaps_and_the_newest_entry_always_stays(
    scene: Scene, raw: sqlite3.Connection
) -> None:
    for _ in range(3):
        scene.log.add(an_entry(time=utc_timestamp(time.time() - 400 * _DAY)))
    await scene.log.flush()
    await scene.log.forget_old()
    assert [one.id for one in await scene.entries()] == ["3"]
    with pytest.raises(sqlite3.IntegrityError, match="kept"):
        raw.execute("DELETE FROM audit_entries")
    scene.log.add(an_entry())
    assert [one.id for one in await scene.entries()] == ["4", "3"]
    for wrong in (2, 3, 6):
        with pytest.raises(sqlite3.IntegrityError, match="an entry of the audit log comes"):
            raw.execute(
                "INSERT INTO audit_entries (id, time, account, address, action, details)"
                " VALUES (?, '2026', 'eve', '', 'job_started', '{}')",
                (wrong,),
            )
    raw.execute("DELETE FROM audit_entries WHERE id = 3")


async def test_entries_are_found_by_what_they_say_and_paged(scene: Scene) -> None:
    scene.log.add(an_entry(time="2026-11-01T00:00:00.000Z", job_id="a", job_name="Alpha"))
    scene.log.add(an_entry(time="2026-11-02T00:00:00.000Z", account="bob", job_id="a"))
    scene.log.add(
        an_entry(
            time="2026-11-03T00:00:00.000Z",
            action=Action.SETTINGS_CHANGED,
            address="192.0.2.9",
            details={"kept_runs": {"before": 1, "after": 2}},
        )
    )

    async def ids(**wanted: Any) -> list[str]:
        return [one.id for one in await scene.entries(AuditFilter(**wanted))]

    assert await ids() == ["3", "2", "1"]
    assert await ids(account="bob") == ["2"]
    assert await ids(action=Action.SETTINGS_CHANGED) == ["3"]
    assert await ids(job_id="a") == ["2", "1"]
    assert await ids(since="2026-11-02T00:00:00.000Z") == ["3", "2"]
    assert await ids(until="2026-11-02T00:00:00.000Z") == ["1"]
    for q, found in (("ALPHA", "1"), ("BOB", "2"), ("192.0.2.9", "3"), ("kept_runs", "3")):
        assert await ids(q=q) == [found], q
    assert await scene.log.accounts() == ("ada", "bob")
    page = await scene.log.find(_ALL, limit=2)
    assert ([one.id for one in page.items], page.total, page.next_cursor) == (["3", "2"], 3, "2")
    page = await scene.log.find(_ALL, limit=2, cursor=page.next_cursor)
    assert ([one.id for one in page.items], page.total, page.next_cursor) == (["1"], 3, None)


async def test_what_the_database_does_not_take_is_in_the_services_log_and_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", (0.01,))

    async def refuse(_work: object) -> None:
        raise StorageFailed("The database", "disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(scene.database, "write", refuse)
        scene.log.add(an_entry(account="unwritten"))
        await scene.log.flush()
    assert scene.lost == [1]
    assert "not in the audit log" in caplog.text
    assert "unwritten" in caplog.text
    scene.log.add(an_entry(account="written"))
    assert [one.account for one in await scene.entries()] == ["written"]


async def test_an_entry_is_written_within_a_second(scene: Scene, raw: sqlite3.Connection) -> None:
    scene.log.add(an_entry())
    await scene.log.flush()
    # Now it pauses, which is the longest that an entry waits on a machine at rest.
    assert writer_module.PAUSE_SECONDS < 1
    scene.log.add(an_entry())

    async def is_there() -> bool:
        return bool(raw.execute("SELECT count(*) FROM audit_entries").fetchone() == (2,))

    await wait_until_async(is_there, seconds=5)


def test_a_change_is_told_by_field_without_names_and_passwords_of_urls() -> None:
    before = {"name": "a", "source": "ssh://ada:secret@host/x", "options": {"acls": False, "x": 1}}
    after = {"name": "b", "source": "ssh://bob:geheim@host/x", "options": {"acls": True, "x": 1}}
    found = changes(before, after | {"tags": ["x", "y"]})
    assert found == {
        "name": {"before": "a", "after": "b"},
        "source": {"before": "ssh://…@host/x", "after": "ssh://…@host/x"},
        "options.acls": {"before": False, "after": True},
        "tags": {"before": None, "after": "x, y"},
    }


def test_an_entry_is_bounded_and_printable() -> None:
    entry = an_entry(
        account="\x1b[31m" + "a" * 1000,
        job_name="\udc80",
        details={"exclude": {"before": "x" * 100_000, "after": "\x00\ud800"}},
    )
    assert entry.account.startswith("\\x1b[31m")
    assert len(entry.account) == 200
    assert entry.job_name == "\\udc80"
    text = json.dumps(entry.details)
    assert len(text) < 1_000
    assert "\\\\x00" in text
    many = an_entry(details={f"field-{number}": "x" * 300 for number in range(10_000)})
    assert len(json.dumps(many.details)) <= MAX_DETAILS
    assert many.details["left_out"] == "the values of 10000 names"


def a_request(address: str = "192.0.2.1", **state: object) -> HTTPConnection:
    """Return a request from an address."""
    return HTTPConnection({"type": "http", "client": (address, 1), "state": state, "headers": []})


async def test_whoever_stands_behind_a_request_is_noted(scene: Scene) -> None:
    audit = Audit(scene.log, {"a": "Alpha"}.get)
    audit.note(a_request(identity=OWNER), Action.JOB_STARTED, job_id="a", run_id="run-1")
    ada = Identity("ada", Role.OPERATOR, Way.SESSION, "198.51.100.1")
    audit.note(a_request(identity=ada), Action.JOB_STOPPED, job_id="gone", job_name="Gone")
    audit.note(a_request(), Action.SIGNED_IN, who=replace(ada, way=Way.PROXY))
    audit.note(a_request(identity=None), Action.SIGNED_OUT)
    stranger, signed_in, stopped, started = await scene.entries()
    assert (stranger.account, stranger.role, stranger.way) == ("", None, None)
    assert stranger.address == "192.0.2.1"
    assert (started.account, started.role, started.way) == ("owner", "admin", "open")
    assert (started.address, started.job_name, started.run_id) == ("192.0.2.1", "Alpha", "run-1")
    assert (stopped.account, stopped.role, stopped.way) == ("ada", "operator", "session")
    assert (stopped.address, stopped.job_name) == ("198.51.100.1", "Gone")
    assert (signed_in.account, signed_in.way) == ("ada", "proxy")
    assert who_asks(HTTPConnection({"type": "http", "headers": []})) is None


async def test_refused_sign_ins_are_counted_and_take_one_entry_a_minute(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_module, "GATHER_SECONDS", 0.2)
    audit = Audit(scene.log, lambda _: None)
    for _ in range(500):
        audit.note_refused_sign_in(a_request("192.0.2.1"))
    audit.note_refused_sign_in(a_request("192.0.2.1"), "ada")
    audit.note_refused_sign_in(a_request("192.0.2.2"))
    first = await scene.entries()
    assert [(one.address, one.details) for one in reversed(first)] == [
        ("192.0.2.1", {"attempts": 1}),
        ("192.0.2.2", {"attempts": 1}),
    ]

    async def is_gathered() -> bool:
        return len(await scene.entries()) > len(first)

    await wait_until_async(is_gathered, seconds=10)
    newest = (await scene.entries())[0]
    assert (newest.address, newest.account, newest.action) == (
        "192.0.2.1",
        "ada",
        Action.SIGN_IN_FAILED,
    )
    assert newest.details["attempts"] == 500
    # Afterwards nothing is kept of an address, and nothing wakes.

    async def is_forgotten() -> bool:
        return not audit.refused._attempts

    await wait_until_async(is_forgotten, seconds=10)


async def test_many_addresses_take_no_more_room_than_some(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_module, "MAX_ADDRESSES", 10)
    audit = Audit(scene.log, lambda _: None)
    for number in range(200):
        audit.note_refused_sign_in(a_request(f"192.0.2.{number}"))
    audit.refused.tell_all()
    entries = await scene.entries()
    counted = sum(int(str(one.details["attempts"])) for one in entries)
    assert (len(entries), counted) == (11, 200)
    (rest,) = (one for one in entries if one.details["attempts"] != 1)
    assert (rest.address, rest.details["addresses"]) == ("", 190)


async def test_strangers_have_a_share_of_the_log_and_push_out_nothing(scene: Scene) -> None:
    now = 1_000.0
    refused = RefusedSignIns(scene.log, clock=lambda: now)
    pace = scene.log.kept_days * _DAY / refused_module.SHARE
    for number in range(3_000):  # From another address each time.
        refused.note(f"10.{number // 256}.{number % 256}.1", "ada" if number % 2 else "")
    await scene.log.flush()
    assert (await scene.log.find(_ALL)).total == refused_module.AT_ONCE
    for turn in range(1, 6):
        now += pace * 1.1
        refused.note(f"192.0.2.{turn}", "ada")
        refused._tell_rest()
    await scene.log.flush()
    assert (await scene.log.find(_ALL)).total == refused_module.AT_ONCE + 5
    refused.tell_all()
    entries = await scene.entries()
    counted = sum(int(str(one.details["attempts"])) for one in entries[:5])
    assert counted == 3_005 - refused_module.AT_ONCE, "none is lost"
    rest = next(one for one in entries if one.details.get("addresses", 0) != 0)
    assert (rest.address, rest.details["accounts"]) == ("", ["ada"])

    # What was taken stays taken over a restart, and comes back in time.
    again = RefusedSignIns(scene.log, clock=lambda: now)
    await again.open()
    assert not again._take_room()
    now += pace * 1.1
    assert again._take_room()
    assert not again._take_room()


async def test_edits_by_hand_are_noted_as_nobodys(scene: Scene) -> None:
    by_hand = HandEdits(scene.log)
    job = a_job(name="Alpha")
    by_hand.job_edited(None, job)
    by_hand.job_edited(job, job.model_copy(update={"name": "Beta"}))
    by_hand.job_edited(job, None)
    by_hand.settings_edited(SavedSettings(), SavedSettings(kept_runs_per_job=7))
    by_hand.settings_edited(SavedSettings(), SavedSettings())
    entries = await scene.entries()
    assert [one.action for one in reversed(entries)] == [
        Action.JOB_CREATED,
        Action.JOB_EDITED,
        Action.JOB_DELETED,
        Action.SETTINGS_CHANGED,
    ]
    assert {(one.account, one.role, one.way, one.address) for one in entries} == {
        ("system", None, None, "")
    }
    assert entries[2].details["name"] == {"before": "Alpha", "after": "Beta"}
    assert entries[0].details["kept_runs_per_job"] == {"before": 50, "after": 7}


async def test_a_command_adds_an_entry_beside_the_server(scene: Scene, tmp_path: Path) -> None:
    details = {"secret": "nas"}
    entry = an_entry(action=Action.SECRET_CHANGED, way=Way.LOCAL, details=details)
    assert append(scene.directory, entry)
    (kept,) = await scene.entries()
    assert (kept.action, kept.way, kept.details) == (Action.SECRET_CHANGED, "local", details)
    assert kept.time == entry.time

    nowhere = tmp_path / "nowhere"
    assert not append(nowhere, entry)
    nowhere.mkdir()
    assert not append(nowhere, entry)
    assert list(nowhere.iterdir()) == []
    with closing(sqlite3.connect(nowhere / DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE runs (id)")
    assert not append(nowhere, entry), "an older version made it"
    (nowhere / DATABASE_NAME).write_bytes(b"no database" * 100)
    with pytest.raises(StorageFailed):
        append(nowhere, entry)


async def test_adding_never_waits_for_the_database(scene: Scene) -> None:
    gate = asyncio.Event()
    real = scene.database.write

    async def held(work: Any) -> Any:
        await gate.wait()
        return await real(work)

    scene.database.write = held  # type: ignore[method-assign]
    scene.log.add(an_entry(account="a"))
    await asyncio.sleep(0)
    scene.log.add(an_entry(account="b"))
    gate.set()
    assert [one.account for one in await scene.entries()] == ["b", "a"]
