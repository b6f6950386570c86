"""`longshore runs failures` and `runs retry-failed`: the files that a run could not do."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from fastapi_app.commands.client import as_part, call
from fastapi_app.commands.console import complain, out, print_json
from storage.import_report import printable

RunId = Annotated[str, typer.Argument(help="The run's id.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
_PAGE = 500


def list_failures(
    run_id: RunId,
    q: Annotated[str, typer.Option(help="Only files with this in their path or reason.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """List the files that failed in a run, with the tool's reasons."""
    items, found = all_pages(f"/runs/{as_part(run_id)}/failures", q=q)
    if as_json:
        print_json({**found, "items": items, "next_cursor": None})
        return
    table = Table("path", "reason", box=None)
    for file in items:
        table.add_row(plain(file["path"]), plain(file["reason"]))
    out.print(table)
    if found["named"] < found["total"]:
        complain(f"{found['named']:,} of {found['total']:,} are named.")


def retry_failed(run_id: RunId, as_json: JsonFlag = False) -> None:
    """Start a run of the same job over exactly the files that failed in a run."""
    started = call("POST", f"/runs/{as_part(run_id)}/retry-failed")
    if as_json:
        print_json(started)
    else:
        out.print(started["run_id"], markup=False)


def add_to(app: typer.Typer) -> None:
    """Put these commands among those of `longshore runs`."""
    app.command("failures")(list_failures)
    app.command("retry-failed")(retry_failed)


def all_pages(path: str, **wanted: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return every item of a list of the API, and its last page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        found: dict[str, Any] = call(
            "GET", path, params={**wanted, "limit": _PAGE, "cursor": cursor}
        )
        items += found["items"]
        cursor = found["next_cursor"]
        if not cursor:
            return items, found


def plain(text: str) -> str:
    """Return a text so that nothing in it counts as markup of Rich, or as a terminal's command."""
    return printable(text).replace("[", r"\[")
