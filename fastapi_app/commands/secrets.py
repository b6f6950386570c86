"""`longshore secrets`: the names in secrets.yaml, and their passwords set and removed.

On the file alone, beside a running server or without one: each run reads it when it starts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from core.engines.rsync_remote import is_daemon_user
from fastapi_app.commands.console import fail, new_app, out, print_json, settings
from fastapi_app.commands.noted import note
from models.audit import Action
from models.errors import LongshoreError
from models.job_options import CREDENTIAL_NAME
from storage.import_report import printable
from storage.secrets import SecretsFile, is_fit

_MAX_CHARACTERS = 4096
app = new_app("Secrets: the users and passwords that jobs name as their credentials.")
Name = Annotated[str, typer.Argument(help="The credential's name.")]


@app.command("list")
def list_secrets(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the names and users in secrets.yaml, and no password."""
    with _faults_told():
        found = _file().read()
    if as_json:
        print_json({"items": [{"name": name, "user": one.user} for name, one in found.items()]})
        return
    table = Table("name", "user", box=None)
    for name, one in found.items():
        table.add_row(Text(printable(name)), Text(printable(one.user or "")))
    out.print(table)


@app.command("set")
def set_secret(
    name: Name,
    user: Annotated[
        str | None, typer.Option(help="The user at an rsync daemon; without it the present one.")
    ] = None,
) -> None:
    """Set a password: asked for without showing it, or read from standard input."""
    if not CREDENTIAL_NAME.fullmatch(name):
        fail("The name of a credential has letters, digits and “_.-”, and at most 64 of them.")
    if user is not None and not is_daemon_user(user):
        fail("The user’s name of an rsync daemon has letters, digits and “_.+-”.")
    password = _asked_password()
    with _faults_told():
        _file().put(name, user=user, password=password)
    note(settings().data_dir.absolute(), Action.SECRET_CHANGED, {"secret": name})


@app.command("remove")
def remove_secret(name: Name) -> None:
    """Remove a credential from secrets.yaml."""
    with _faults_told():
        was_there = _file().remove(name)
    if not was_there:
        fail(f"There is no credential {name!r}.")
    note(settings().data_dir.absolute(), Action.SECRET_REMOVED, {"secret": name})


def _asked_password() -> str:
    if sys.stdin.isatty():
        password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        # The line's end is no part of it.
        password = sys.stdin.read(_MAX_CHARACTERS + 2).removesuffix("\n").removesuffix("\r")
    if not is_fit(password) or len(password) > _MAX_CHARACTERS:
        fail(f"The password must be one line of at most {_MAX_CHARACTERS:,} characters.")
    return password


def _file() -> SecretsFile:
    return SecretsFile(settings().data_dir.absolute())


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except LongshoreError as error:
        fail(f"{error}.")
