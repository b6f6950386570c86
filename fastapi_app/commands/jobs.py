"""`longshore jobs`: list, show, start, stop; what changes a job stands in job_changes.py."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, ask, call
from fastapi_app.commands.console import (
    EXIT_FAILED,
    EXIT_RESUMABLE,
    complain,
    new_app,
    out,
    print_json,
)
from fastapi_app.commands.several import each_of
from storage.import_report import printable

app = new_app("Jobs: what to back up.")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="Ids of jobs.")]
_PAGE = 500
_POLL_SECONDS = 0.2
_EXIT_OF_STATUS = {"completed": 0, "failed": EXIT_FAILED}
_ACTIVE = {"queued", "running", "stopping"}


@app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs with this status.")] = None,
    engine: Annotated[str | None, typer.Option(help="Only jobs of this engine.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    q: Annotated[str | None, typer.Option(help="Only jobs whose name or path has this.")] = None,
    overdue: Annotated[
        bool, typer.Option("--overdue", help="Only jobs without a success for too long.")
    ] = False,
    all_pages: Annotated[
        bool, typer.Option("--all", help="All of them, not the first 500 alone.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the jobs."""
    wanted = {
        "status": status,
        "engine": engine,
        "tag": tag,
        "q": q,
        "overdue": "true" if overdue else None,
    }
    found = _pages({k: v for k, v in wanted.items() if v is not None}, all_pages=all_pages)
    if as_json:
        print_json(found)
        return
    table = Table("id", "name", "engine", "status", "last good", box=None)
    for job in found["items"]:
        last_good = formatting.ago(job["last_success_at"])
        if job["overdue"]:
            last_good = f"{last_good}, overdue"
        table.add_row(job["id"], _plain(job["name"]), job["engine"], _status(job), last_good)
    out.print(table)
    if found["next_cursor"] is not None:
        complain(f"{len(found['items']):,} of {found['total']:,} are shown: --all shows the rest.")
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
        "tags": ", ".join(job["tags"]) or formatting.UNKNOWN,
        "status": _status(job),
        "message": job["state"]["message"] or formatting.UNKNOWN,
        "last good": formatting.exact_time(job["last_success_at"]),
        "overdue": "yes" if job["overdue"] else "no",
        "last run": job["state"]["run_id"] or formatting.UNKNOWN,
    }
    table = Table(show_header=False, box=None)
    for label, value in rows.items():
        table.add_row(label, _plain(str(value)))
    out.print(table)


@app.command("start")
def start_jobs(
    job_ids: JobIds,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the progress and exit with the outcome.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Start jobs. With --follow: 0 completed, 1 failed, 3 paused or interrupted."""
    started = each_of(job_ids, lambda job_id: ask("POST", f"/jobs/{as_part(job_id)}/start"))
    run_ids = [item["run_id"] for item in started.items]
    if as_json:
        started.print_json()
    else:
        for run_id in run_ids:
            out.print(run_id, markup=False)
    codes = {follow_run(run_id) for run_id in run_ids} if follow else set()
    if EXIT_FAILED in codes:
        raise typer.Exit(EXIT_FAILED)
    started.exit_with_faults()
    raise typer.Exit(max(codes, default=0))


@app.command("stop")
def stop_jobs(job_ids: JobIds, as_json: JsonFlag = False) -> None:
    """Stop the runs of jobs; they can be resumed with start."""
    stopped = each_of(job_ids, lambda job_id: ask("POST", f"/jobs/{as_part(job_id)}/stop"))
    if as_json:
        stopped.print_json()
    stopped.exit_with_faults()


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
    return exit_code_of(run)


def exit_code_of(run: dict[str, Any]) -> int:
    """Return the exit code that tells a run's outcome, having said its message."""
    if run["message"]:
        complain(run["message"])
    return _EXIT_OF_STATUS.get(run["status"], EXIT_RESUMABLE)


def _pages(wanted: dict[str, str], *, all_pages: bool) -> dict[str, Any]:
    found: dict[str, Any] = call("GET", "/jobs", params={**wanted, "limit": _PAGE})
    items = found["items"]
    while all_pages and found["next_cursor"] is not None:
        more = {**wanted, "limit": _PAGE, "cursor": found["next_cursor"]}
        found = call("GET", "/jobs", params=more)
        items += found["items"]
    return {**found, "items": items}


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
    return printable(text).replace("[", r"\[")
