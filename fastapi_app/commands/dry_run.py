"""`longshore jobs dry-run` and `longshore runs preview`: what a run would do."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, call
from fastapi_app.commands.console import complain, out, print_json
from fastapi_app.commands.failures import plain
from fastapi_app.commands.jobs import follow_run

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
_FIGURES = ("created", "updated", "deleted", "attributes")
_PAGE = 500


def start_dry_run(
    job_id: Annotated[str, typer.Argument(help="The job's id.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the end and print the numbers.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Start a dry run of a job: it tells what a run would do, and does nothing.

    With --follow: 0 when it told all, 1 failed, 3 stopped or cut off.
    """
    started = call("POST", f"/jobs/{as_part(job_id)}/dry-run")
    run_id = started["run_id"]
    if not follow:
        _print_started(started, as_json=as_json)
        return
    code = follow_run(run_id, shows=not as_json)
    run = call("GET", f"/runs/{as_part(run_id)}")
    if as_json:
        print_json(run)
    else:
        out.print(run_id, markup=False)
        _print_counts(run["preview"])
    raise typer.Exit(code)


def show_preview(
    run_id: Annotated[str, typer.Argument(help="The run's id.")],
    q: Annotated[str, typer.Option(help="Only changes with this in their path.")] = "",
    change: Annotated[str, typer.Option(help="create, update, delete or attributes.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many changes to print.")] = 200,
    as_json: JsonFlag = False,
) -> None:
    """Show what a dry run told: its numbers, and the changes."""
    found = _collect(run_id, {"q": q, "change": change}, limit)
    if as_json:
        print_json(found)
        return
    _print_counts(found["counts"])
    table = Table("change", "size", "path", box=None)
    for item in found["items"]:
        size = formatting.size(item["size"]) if item["size"] is not None else ""
        table.add_row(item["change"], size, plain(item["path"]))
    out.print(table)
    if len(found["items"]) < found["total"]:
        complain(f"{len(found['items']):,} of {found['total']:,} are shown: see --limit.")


def add_to(jobs: typer.Typer, runs: typer.Typer) -> None:
    """Put these commands among those of `longshore jobs` and `longshore runs`."""
    jobs.command("dry-run")(start_dry_run)
    runs.command("preview")(show_preview)


def _collect(run_id: str, wanted: dict[str, str], limit: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = min(_PAGE, limit - len(items))
        parameters = {**wanted, "limit": page, "cursor": cursor}
        found: dict[str, Any] = call("GET", f"/runs/{as_part(run_id)}/preview", params=parameters)
        items += found["items"]
        cursor = found["next_cursor"]
        if not cursor or len(items) >= limit:
            return {**found, "items": items}


def _print_started(started: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json(started)
    else:
        out.print(started["run_id"], markup=False)


def _print_counts(counts: dict[str, int] | None) -> None:
    if counts is None:
        complain("It counted nothing.")
        return
    table = Table(show_header=False, box=None)
    for figure in _FIGURES:
        count, folders = counts[figure], counts[f"{figure}_folders"]
        size = formatting.size(counts[f"{figure}_bytes"])
        told = size if count > folders and figure != "attributes" else ""
        table.add_row(figure, formatting.count(count), told)
    table.add_row("looked at", formatting.count(counts["looked_at"]), "")
    out.print(table)
