"""`longshore jobs`: list, show, create, start, stop."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, call
from fastapi_app.commands.console import (
    EXIT_FAILED,
    EXIT_RESUMABLE,
    complain,
    new_app,
    out,
    print_json,
)

app = new_app("Jobs: what to back up.")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
_POLL_SECONDS = 0.2
_EXIT_OF_STATUS = {"completed": 0, "failed": EXIT_FAILED}
_ACTIVE = {"queued", "running", "stopping"}


@app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs with this status.")] = None,
    q: Annotated[str | None, typer.Option(help="Only jobs whose name or path has this.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the jobs."""
    parameters = {"limit": 500, "status": status, "q": q}
    found = call("GET", "/jobs", params={k: v for k, v in parameters.items() if v is not None})
    if as_json:
        print_json(found)
        return
    table = Table("id", "name", "engine", "status", "last good", box=None)
    for job in found["items"]:
        last_good = formatting.ago(job["state"]["last_good_at"])
        table.add_row(job["id"], _plain(job["name"]), job["engine"], _status(job), last_good)
    out.print(table)
    for damaged in found["damaged"]:
        complain(f"damaged: {damaged['id']}: {damaged['reason']}")


@app.command("show")
def show_job(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Show one job."""
    job = call("GET", f"/jobs/{as_part(job_id)}")
    if as_json:
        print_json(job)
        return
    rows = {
        "name": job["name"],
        "engine": job["engine"],
        "source": job["source"],
        "destination": job["destination"],
        "verification": job["verification"],
        "status": _status(job),
        "message": job["state"]["message"] or formatting.UNKNOWN,
        "last good": formatting.exact_time(job["state"]["last_good_at"]),
        "last run": job["state"]["run_id"] or formatting.UNKNOWN,
    }
    table = Table(show_header=False, box=None)
    for label, value in rows.items():
        table.add_row(label, _plain(str(value)))
    out.print(table)


@app.command("create")
def create_job(
    name: Annotated[str, typer.Option(help="What the job is called.")],
    source: Annotated[str, typer.Option(help="An absolute path, or rsync://host/module/path.")],
    destination: Annotated[
        str, typer.Option(help="An absolute path, or rsync://host/module/path.")
    ],
    engine: Annotated[str, typer.Option(help="rsync or rclone.")] = "rsync",
    exclude: Annotated[list[str] | None, typer.Option(help="A pattern; may be repeated.")] = None,
    bandwidth_limit: Annotated[str | None, typer.Option(help="Such as 500K or 10M.")] = None,
    verification: Annotated[str, typer.Option(help="off, fast or checksum.")] = "fast",
    as_json: JsonFlag = False,
) -> None:
    """Create a job."""
    job = call(
        "POST",
        "/jobs",
        json={
            "name": name,
            "engine": engine,
            "source": source,
            "destination": destination,
            "options": {"exclude": exclude or [], "bandwidth_limit": bandwidth_limit},
            "verification": verification,
        },
    )
    if as_json:
        print_json(job)
    else:
        out.print(job["id"], markup=False)


@app.command("start")
def start_job(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the progress and exit with the outcome.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Start a job. With --follow: 0 completed, 1 failed, 3 paused or interrupted."""
    started = call("POST", f"/jobs/{as_part(job_id)}/start")
    if as_json:
        print_json(started)
    else:
        out.print(started["run_id"], markup=False)
    if follow:
        raise typer.Exit(follow_run(started["run_id"]))


@app.command("stop")
def stop_job(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Stop a job's run; it can be resumed with start."""
    stopped = call("POST", f"/jobs/{as_part(job_id)}/stop")
    if as_json:
        print_json(stopped)


def follow_run(run_id: str, *, shows: bool = True) -> int:
    """Follow a run to its end, with a bar; returns the exit code that tells its outcome."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=out, disable=not shows) as bar:
        task = bar.add_task("queued", total=None, figures="")
        while True:
            run = call("GET", f"/runs/{as_part(run_id)}")
            _draw(bar, task, run)
            if run["outcome"] is not None:
                break
            time.sleep(_POLL_SECONDS)
    if run["message"]:
        complain(run["message"])
    return _EXIT_OF_STATUS.get(run["status"], EXIT_RESUMABLE)


def _draw(bar: Progress, task: Any, run: dict[str, Any]) -> None:
    progress = run["progress"] or {}
    percent = progress.get("percent")
    figures = f"{formatting.percent(percent)}  {formatting.rate(progress.get('bytes_per_second'))}"
    bar.update(
        task,
        description=str(run["status"]),
        total=None if percent is None else 100,
        completed=percent or 0,
        figures=figures,
    )


def _status(job: dict[str, Any]) -> str:
    status = str(job["state"]["status"])
    percent = (job["state"]["progress"] or {}).get("percent")
    if status not in _ACTIVE:
        return status
    shown = f"{status} {formatting.percent(percent)}"
    return f"dry run {shown}" if job["state"]["run_kind"] == "dry_run" else shown


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
