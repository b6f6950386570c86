"""`longshore runs`: list and show."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, call
from fastapi_app.commands.console import new_app, out, print_json
from fastapi_app.commands.failures import plain

app = new_app("Runs: what has been done.")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command("list")
def list_runs(
    job: Annotated[str | None, typer.Option(help="Only runs of this job.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List the runs, newest first."""
    path = f"/jobs/{as_part(job)}/runs" if job else "/runs"
    found = call("GET", path, params={"limit": limit})
    if as_json:
        print_json(found)
        return
    table = Table("id", "job", "outcome", "started", "duration", "done", "sent", box=None)
    for run in found["items"]:
        table.add_row(
            run["id"],
            plain(run["job_id"]),
            run["outcome"] or run["status"],
            formatting.ago(run["started_at"]),
            formatting.duration(run["duration_seconds"]),
            formatting.size(run["bytes_done"]),
            formatting.size(run["bytes_sent"]),
        )
    out.print(table)


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(help="The run's id.")], as_json: JsonFlag = False
) -> None:
    """Show one run with its phases."""
    run = call("GET", f"/runs/{as_part(run_id)}")
    if as_json:
        print_json(run)
        return
    table = Table(show_header=False, box=None)
    table.add_row("job", plain(run["job_id"]))
    table.add_row("outcome", run["outcome"] or run["status"])
    table.add_row("message", plain(run["message"] or formatting.UNKNOWN))
    table.add_row("started", formatting.exact_time(run["started_at"]))
    table.add_row("duration", formatting.duration(run["duration_seconds"]))
    table.add_row("done", formatting.size(run["bytes_done"]))
    table.add_row("sent", formatting.size(run["bytes_sent"]))
    table.add_row("files", formatting.count(run["files_done"]))
    for phase in run["phases"]:
        lasted = formatting.duration(phase["duration_seconds"])
        table.add_row(f"phase {phase['name']}", f"{phase['outcome'] or 'running'}, {lasted}")
    out.print(table)
