"""Proves that what is changed in access.yaml past the program is told, each difference once and
without a hash; and what the program itself wrote is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.access.registry import Access
from core.access.sessions import Sessions
from fastapi_app.access_edits import MAX_ENTRIES, AccessEdits, access_edits
from fastapi_app.audit import HandEdits
from models.access import AccessList, AccessToken, Account, Role
from models.audit import Action, NewAuditEntry
from storage.access_file import ACCESS_NAME, WRITTEN_NAME, AccessFile
from storage.session_file import SessionFile

PASSWORD = "a quay with seven cranes"
_TOKEN = AccessToken(Role.VIEWER, "a" * 64, "2026-01-01T00:00:00.000Z", None)


def an_access(directory: Path) -> Access:
    """Return who gets in, as a server or a command has it."""
    sessions = Sessions(SessionFile(directory), idle_seconds=lambda: 1000.0)
    return Access(AccessFile(directory), sessions, "local")


class Told:
    """Collects what is told of edits, as a log that keeps them would."""

    def __init__(self, access: Access | None = None) -> None:
        self.entries: list[NewAuditEntry] = []
        self.edits = AccessEdits(HandEdits(self))  # type: ignore[arg-type]
        if access is not None:
            access.on_hand_edit = self.edits.edited

    def add(self, entry: NewAuditEntry) -> None:
        """Keep an entry."""
        self.entries.append(entry)

    def take(self) -> list[tuple[Action, str]]:
        """Return what was told since."""
        found = [
            (one.action, str(one.details.get("account", one.details.get("name"))))
            for one in self.entries
        ]
        self.entries.clear()
        return found


def test_each_difference_is_one_entry_without_a_hash() -> None:
    before = AccessList(
        {
            "anna": Account(Role.ADMIN, "$argon2id$old"),
            "bo": Account(Role.VIEWER, None),
            "cy": Account(Role.VIEWER, "$argon2id$cy"),
        },
        {"one": _TOKEN, "two": _TOKEN, "three": _TOKEN},
    )
    after = AccessList(
        {
            "anna": Account(Role.OPERATOR, "$argon2id$new"),
            "bo": before.accounts["bo"],
            "eve": Account(Role.ADMIN, "$argon2id$eve"),
        },
        {
            "one": _TOKEN,
            "two": replace(_TOKEN, role=Role.ADMIN, digest="b" * 64),
            "four": replace(_TOKEN, digest="c" * 64),
        },
    )
    found = list(access_edits(before, after))
    assert found == [
        (Action.ACCOUNT_CHANGED, {"account": "anna", "role": _pair("admin", "operator")}),
        (Action.PASSWORD_CHANGED, {"account": "anna", "has_password": True}),
        (Action.ACCOUNT_DELETED, {"account": "cy"}),
        (
            Action.ACCOUNT_CHANGED,
            {"account": "eve", "role": Role.ADMIN, "new_password": True, "is_new": True},
        ),
        (Action.TOKEN_MADE, {"name": "four", "role": Role.VIEWER, "expires_at": None}),
        (Action.TOKEN_REVOKED, {"name": "three"}),
        (
            Action.TOKEN_CHANGED,
            {"name": "two", "is_another": True, "role": _pair(Role.VIEWER, Role.ADMIN)},
        ),
    ]
    told = Told()
    told.edits.edited(before, after)
    text = json.dumps([dict(one.details) for one in told.entries])
    assert not any(secret in text for secret in ("argon2", "a" * 64, "b" * 64, "c" * 64))
    assert {one.account for one in told.entries} == {"system"}


def _pair(before: str, after: str) -> dict[str, str]:
    return {"before": before, "after": after}


def test_a_whole_crowd_is_told_as_a_number() -> None:
    crowd = {f"account-{number}": Account(Role.VIEWER, None) for number in range(200)}
    told = Told()
    told.edits.edited(AccessList(), AccessList(crowd))
    assert len(told.entries) == MAX_ENTRIES + 1
    assert told.entries[-1].details["further_differences"] == 200 - MAX_ENTRIES


async def test_what_the_program_and_its_commands_write_is_no_edit_by_hand(tmp_path: Path) -> None:
    server = an_access(tmp_path)
    await server.open()
    told = Told(server)
    await server.put_account("anna", Role.ADMIN, PASSWORD)
    await server.reload()
    command = an_access(tmp_path)
    await command.read()
    await command.put_account("bo", Role.VIEWER, None)
    await command.make_token("scraper", Role.VIEWER, None)
    await server.put_account("cy", Role.VIEWER, None)
    await command.revoke_token("scraper")
    await server.reload()
    assert set(server.listed.accounts) == {"anna", "bo", "cy"}
    assert told.take() == []
    again = an_access(tmp_path)
    await again.open()
    assert not again.was_edited_away


async def test_an_edit_by_hand_is_told_once_whoever_comes_to_it_first(tmp_path: Path) -> None:
    server = an_access(tmp_path)
    await server.open()
    told = Told(server)
    await server.put_account("anna", Role.ADMIN, PASSWORD)
    path = tmp_path / ACCESS_NAME
    older = path.read_text()
    path.write_text(older + "# a comment\n")
    await server.reload()
    assert told.take() == []
    path.write_text(older.replace("accounts:\n", "accounts:\n  eve: {role: admin}\n"))
    await server.reload()
    assert told.take() == [(Action.ACCOUNT_CHANGED, "eve")]
    # A change by the program, before the watch has come to the edit.
    path.write_text(path.read_text().replace("role: admin}", "role: viewer}"))
    await server.put_account("bo", Role.VIEWER, None)
    assert told.take() == [(Action.ACCOUNT_CHANGED, "eve")]
    await server.reload()
    assert told.take() == []
    # An older version that the program wrote, put back by somebody.
    path.write_text(older)
    await server.reload()
    assert told.take() == [(Action.ACCOUNT_DELETED, "bo"), (Action.ACCOUNT_DELETED, "eve")]
    # A command that comes in between covers nothing up.
    path.write_text(older.replace("accounts:\n", "accounts:\n  eve: {role: admin}\n"))
    command = an_access(tmp_path)
    await command.read()
    await command.put_account("cy", Role.VIEWER, None)
    await server.reload()
    assert (Action.ACCOUNT_CHANGED, "eve") in told.take()


@pytest.mark.parametrize("what", ["written", "removed"])
async def test_an_edit_while_no_server_ran_is_told_at_the_start(tmp_path: Path, what: str) -> None:
    server = an_access(tmp_path)
    await server.open()
    assert not server.was_edited_away
    await server.put_account("anna", Role.ADMIN, PASSWORD)
    path = tmp_path / ACCESS_NAME
    if what == "written":
        path.write_text(
            path.read_text().replace("accounts:\n", "accounts:\n  eve: {role: admin}\n")
        )
    else:
        path.unlink()
    for is_told in (True, False):
        again = an_access(tmp_path)
        await again.open()
        assert again.was_edited_away is is_told
    # Of a data directory of an older version nobody knows.
    (tmp_path / WRITTEN_NAME).unlink()
    again = an_access(tmp_path)
    await again.open()
    assert not again.was_edited_away
    told = Told()
    told.edits.edited_while_away()
    assert told.entries[0].details == {"how": "access.yaml was edited while no server ran"}
