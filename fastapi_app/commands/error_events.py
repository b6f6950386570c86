"""`longshore errors`: what went wrong, and what of it is done with."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, ask, call
from fastapi_app.commands.console import complain, new_app, out, print_json
from fastapi_app.commands.several import each_of
from storage.import_report import printable

app = new_app("Errors: what went wrong, newest first.")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command("list")
def list_errors(
    severity: Annotated[str, typer.Option(help="low, medium, high or critical.")] = "",
    component: Annotated[str, typer.Option(help="Only of this part of Longshore.")] = "",
    job: Annotated[str, typer.Option(help="Only about this job.")] = "",
    unresolved: Annotated[
        bool, typer.Option("--unresolved", help="Only what is not done with.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List what went wrong, newest first."""
    parameters: dict[str, Any] = {"severity": severity, "component": component, "job_id": job}
    if unresolved:
        parameters["resolved"] = "false"
    found = call("GET", "/errors", params={**parameters, "limit": limit})
    if as_json:
        print_json(found)
        return
    table = Table("id", "severity", "component", "job", "last seen", "count", "message", box=None)
    for event in found["items"]:
        told = " (resolved)" if event["resolved"] else ""
        cells = (
            event["id"],
            event["severity"],
            event["component"],
            event["job_id"] or formatting.UNKNOWN,
            formatting.ago(event["last_seen"]),
            formatting.count(event["count"]),
            printable(event["message"]) + told,
        )
        table.add_row(*map(Text, cells))
    out.print(table)
    if len(found["items"]) < found["total"]:
        complain(f"{len(found['items']):,} of {found['total']:,} are shown: see --limit.")


@app.command("resolve")
def resolve_errors(
    event_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of errors.")],
    as_json: JsonFlag = False,
) -> None:
    """Take errors for done: their banners go from every page."""
    done = each_of(event_ids, lambda one: ask("POST", f"/errors/{as_part(one)}/resolve"))
    if as_json:
        done.print_json()
    done.exit_with_faults()
