"""`longshore audit`: who did what to which job, when and from where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app import formatting
from fastapi_app.commands.client import call, parts_of
from fastapi_app.commands.console import complain, new_app, out, print_json
from fastapi_app.commands.written import time_in, write_parts
from storage.import_report import printable

app = new_app("The audit log: who did what, newest first.")
Account = Annotated[str, typer.Option(help="Only what this account did.")]
ActionName = Annotated[str, typer.Option("--action", help="Only this, such as job_deleted.")]
Job = Annotated[str, typer.Option(help="Only about the job with this id.")]
Words = Annotated[str, typer.Option("--search", help="Words in name, address, job or details.")]
Since = Annotated[
    str, typer.Option(help="Only from a time on (UTC, ISO 8601) or within 90m, 24h, 7d.")
]
Until = Annotated[str, typer.Option(help="Only before a time, written in the same way.")]


@app.command("list")
def list_entries(
    account: Account = "",
    action: ActionName = "",
    job: Job = "",
    search: Words = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's JSON.")] = False,
) -> None:
    """List who did what, newest first."""
    wanted = _wanted(account, action, job, search, since, until)
    found = call("GET", "/audit", params={**wanted, "limit": limit})
    if as_json:
        print_json(found)
        return
    table = Table("id", "time", "account", "way", "address", "action", "job", "details", box=None)
    for entry in found["items"]:
        cells = (
            entry["id"],
            entry["time"],
            entry["account"] or formatting.UNKNOWN,
            entry["way"] or formatting.UNKNOWN,
            entry["address"] or formatting.UNKNOWN,
            entry["action"],
            entry["job_name"] or entry["job_id"] or formatting.UNKNOWN,
            json.dumps(entry["details"], ensure_ascii=False) if entry["details"] else "",
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)
    if len(found["items"]) < found["total"]:
        complain(f"{len(found['items']):,} of {found['total']:,} are shown: see --limit.")


@app.command("export")
def export_entries(
    form: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    output: Annotated[
        Path | None, typer.Option(help="The file to write, instead of standard output.")
    ] = None,
    account: Account = "",
    action: ActionName = "",
    job: Job = "",
    search: Words = "",
    since: Since = "",
    until: Until = "",
) -> None:
    """Write all entries that the filters leave as one file."""
    wanted = _wanted(account, action, job, search, since, until)
    write_parts(parts_of("/audit/export", params={**wanted, "format": form}), output)


def _wanted(
    account: str, action: str, job: str, search: str, since: str, until: str
) -> dict[str, Any]:
    """Return the filters that are given, as the API takes them."""
    filters = {
        "account": account,
        "action": action,
        "job_id": job,
        "q": search,
        "since": time_in(since),
        "until": time_in(until),
    }
    return {name: value for name, value in filters.items() if value}
