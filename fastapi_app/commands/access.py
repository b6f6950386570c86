"""`longshore passwd`, `accounts` and `tokens`: who may get in.

On the file alone, beside a running server or without one: the server takes a change over within two
seconds.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from core.access.registry import Access
from core.access.sessions import Sessions
from fastapi_app.commands.console import fail, new_app, out, print_json, settings
from fastapi_app.commands.noted import note
from models.access import DEFAULT_ACCOUNT, MAX_PASSWORD, AccessList, Role
from models.audit import Action
from models.errors import InvalidDefinition, LongshoreError
from storage.access_file import ACCESS_NAME, AccessFile
from storage.session_file import SessionFile

accounts = new_app("Accounts: who may sign in, and what each may do.")
tokens = new_app("Tokens: what programs show instead of a password.")
Name = Annotated[str, typer.Argument(help="The account's name.")]
TokenName = Annotated[str, typer.Argument(help="The token's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
_ROLES = "viewer reads, operator starts and stops as well, admin does everything."


def passwd(
    name: Annotated[str, typer.Argument(help="The account's name.")] = DEFAULT_ACCOUNT,
) -> None:
    """Set the password of an account: asked for without showing it, or read from standard input.

    The first account is made by that, as an administrator. Whoever is signed in with the account
    has to sign in again.
    """
    password = _asked_password()

    async def work(access: Access) -> None:
        if access.is_open:
            await access.put_account(name, Role.ADMIN, password)
        else:
            await access.put_password(name, password)

    _do(work, Action.PASSWORD_CHANGED, account=name)
    place = settings().data_dir.absolute() / ACCESS_NAME
    out.print(f"The password of {name} is set in {place}.", markup=False, soft_wrap=True)


@accounts.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """List all accounts with their roles."""
    found = _listed().accounts
    rows = [
        {"name": name, "role": one.role.value, "has_password": one.password is not None}
        for name, one in sorted(found.items())
    ]
    if as_json:
        print_json({"items": rows})
        return
    table = Table("name", "role", "password", box=None)
    for row in rows:
        has_password = "set" if row["has_password"] else "none"
        table.add_row(Text(str(row["name"])), str(row["role"]), has_password)
    out.print(table)


@accounts.command("add")
def add_account(
    name: Name,
    role: Annotated[Role, typer.Option(help=_ROLES)],
    without_password: Annotated[
        bool, typer.Option("--no-password", help="For who comes through a trusted proxy alone.")
    ] = False,
) -> None:
    """Add an account; its password is asked for, or read from standard input."""
    password = None if without_password else _asked_password()

    async def work(access: Access) -> None:
        if name in access.listed.accounts:
            fail(f"There is an account {name!r} already.")
        await access.put_account(name, role, password)

    _do(work, Action.ACCOUNT_CHANGED, account=name, role=role)


@accounts.command("role")
def change_role(name: Name, role: Annotated[Role, typer.Argument(help=_ROLES)]) -> None:
    """Give an account another role, from the next request on."""

    async def work(access: Access) -> None:
        if name not in access.listed.accounts:
            fail(f"There is no account {name!r}.")
        await access.put_account(name, role, None)

    _do(work, Action.ACCOUNT_CHANGED, account=name, role=role)


@accounts.command("remove")
def remove_account(name: Name) -> None:
    """Remove an account; whoever is signed in with it is so no more."""
    _do(lambda access: access.remove_account(name), Action.ACCOUNT_DELETED, account=name)


@tokens.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens, never the tokens themselves."""
    found = _listed().tokens
    rows = [
        {
            "name": name,
            "role": one.role.value,
            "created_at": one.created_at,
            "expires_at": one.expires_at,
        }
        for name, one in sorted(found.items())
    ]
    if as_json:
        print_json({"items": rows})
        return
    table = Table("name", "role", "made", "expires", box=None)
    for row in rows:
        texts = (row["name"], row["role"], row["created_at"], row["expires_at"] or "never")
        table.add_row(*(Text(str(text)) for text in texts))
    out.print(table)


@tokens.command("make")
def make_token(
    name: TokenName,
    role: Annotated[Role, typer.Option(help=_ROLES)],
    days: Annotated[
        int | None, typer.Option(help="After how many days it expires; never without it.")
    ] = None,
) -> None:
    """Make a token and print it, this once."""
    made: list[str] = []

    async def work(access: Access) -> None:
        made.append(await access.make_token(name, role, days))

    _do(work, Action.TOKEN_MADE, name=name, role=role, days=days)
    sys.stdout.write(made[0] + "\n")


@tokens.command("revoke")
def revoke_token(name: TokenName) -> None:
    """Let a token be worth nothing from now on."""
    _do(lambda access: access.revoke_token(name), Action.TOKEN_REVOKED, name=name)


def _asked_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    # The line's end is no part of it.
    text = sys.stdin.read(MAX_PASSWORD + 3).removesuffix("\n").removesuffix("\r")
    if "\n" in text or "\r" in text:
        fail("The password must be one line.")
    return text


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _listed() -> AccessList:
    try:
        return AccessFile(settings().data_dir.absolute()).read()
    except LongshoreError as error:
        fail(f"{error}.")


def _do(
    work: Callable[[Access], Coroutine[Any, Any, object]], action: Action, **details: object
) -> None:
    directory = settings().data_dir.absolute()

    async def change() -> None:
        # Sessions are the server's: those of an account whose password changed are worth nothing.
        sessions = Sessions(SessionFile(directory), idle_seconds=lambda: 0.0)
        access = Access(AccessFile(directory), sessions, "")
        await access.read()
        await work(access)

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
        if owner != os.geteuid():
            fail(f"{directory} belongs to the user {_name_of(owner)}: run this as that user.")
        asyncio.run(change())
    except InvalidDefinition as error:
        fail(" ".join(fault.message for fault in error.faults))
    except LongshoreError as error:
        fail(str(error))
    except OSError as error:
        fail(f"The data directory {directory} cannot be made: {error.strerror}.")
    note(directory, action, details)
