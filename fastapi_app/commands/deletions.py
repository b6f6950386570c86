"""`longshore runs deletions` and `runs put-back`: the sources that a run deleted."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from fastapi_app.commands.client import as_part, call
from fastapi_app.commands.console import out, print_json
from fastapi_app.commands.failures import JsonFlag, RunId, all_pages, plain


def list_deletions(
    run_id: RunId,
    q: Annotated[str, typer.Option(help="Only sources with this in their path or reason.")] = "",
    outcome: Annotated[
        str, typer.Option(help="Only deleted, trashed, kept, restored or intended ones.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """List what a run deleted, moved into the trash folder or kept at its source."""
    items, found = all_pages(f"/runs/{as_part(run_id)}/deletions", q=q, outcome=outcome)
    if as_json:
        print_json({**found, "items": items, "next_cursor": None})
        return
    table = Table("path", "outcome", "reason", box=None)
    for source in items:
        table.add_row(plain(source["path"]), source["outcome"], plain(source["reason"] or ""))
    out.print(table)


def put_back(run_id: RunId, as_json: JsonFlag = False) -> None:
    """Put everything back that a run moved into the trash folder of its source."""
    done: dict[str, Any] = call("POST", f"/runs/{as_part(run_id)}/put-back", timeout=None)
    if as_json:
        print_json(done)
        return
    out.print(f"{done['restored']:,} put back, {done['stayed']:,} stayed.", markup=False)


def add_to(app: typer.Typer) -> None:
    """Put these commands among those of `longshore runs`."""
    app.command("deletions")(list_deletions)
    app.command("put-back")(put_back)
