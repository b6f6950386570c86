"""`longshore errors`: what went wrong, and what of it is done with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, ask, call, parts_of
from fastapi_app.commands.console import complain, fail, new_app, out, print_json
from fastapi_app.commands.several import each_of
from fastapi_app.commands.written import time_in, write_parts
from storage.import_report import printable

app = new_app("Errors: what went wrong, newest first.")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
Severity = Annotated[str, typer.Option(help="low, medium, high or critical.")]
Component = Annotated[str, typer.Option(help="Only of this part of Longshore.")]
Job = Annotated[str, typer.Option(help="Only about the job with this id.")]
Kind = Annotated[str, typer.Option("--type", help="Only of this type, such as DiskFull.")]
Words = Annotated[str, typer.Option("--search", help="Words in the message, type or job name.")]
Since = Annotated[
    str,
    typer.Option(help="Only what was seen since a time (UTC, ISO 8601) or within 90m, 24h, 7d."),
]
Unresolved = Annotated[bool, typer.Option("--unresolved", help="Only what is not done with.")]
_SEVERITIES = ("critical", "high", "medium", "low")


@app.command("list")
def list_errors(
    severity: Severity = "",
    component: Component = "",
    job: Job = "",
    kind: Kind = "",
    search: Words = "",
    since: Since = "",
    unresolved: Unresolved = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List what went wrong, newest first."""
    wanted = _wanted(severity, component, job, kind, search, since, unresolved)
    found = call("GET", "/errors", params={**wanted, "limit": limit})
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
            event["message"] + told,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)
    if len(found["items"]) < found["total"]:
        complain(f"{len(found['items']):,} of {found['total']:,} are shown: see --limit.")


@app.command("show")
def show_error(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Id of an error.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one error with its details and its stack trace."""
    event = call("GET", f"/errors/{as_part(event_id)}")
    if as_json:
        print_json(event)
        return
    trace, details = event.pop("stack_trace"), event.pop("details")
    more = {f"details.{name}": value for name, value in details.items()}
    for name, value in (event | more).items():
        if value is not None and value is not False:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            out.print(Text(f"{printable(name)}: {printable(text)}"), soft_wrap=True)
    for line in (trace or "").splitlines():
        out.print(Text(printable(line)), soft_wrap=True)


@app.command("resolve")
def resolve_errors(
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of errors.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that the filters leave, instead of some by id.")
    ] = False,
    severity: Severity = "",
    component: Component = "",
    job: Job = "",
    kind: Kind = "",
    search: Words = "",
    since: Since = "",
    as_json: JsonFlag = False,
) -> None:
    """Take errors for done: their banners go from every page."""
    filters = _wanted(severity, component, job, kind, search, since, False)
    if everything and not event_ids:
        answer = call("POST", "/errors/resolve", json={"filter": filters})
        if as_json:
            print_json(answer)
        else:
            out.print(f"{answer['resolved']:,} resolved.")
        return
    if everything or filters or not event_ids:
        fail("Name the ids of errors, or --all with the filters that leave what is meant.")
    done = each_of(event_ids, lambda one: ask("POST", f"/errors/{as_part(one)}/resolve"))
    if as_json:
        done.print_json()
    done.exit_with_faults()


@app.command("export")
def export_errors(
    form: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    output: Annotated[
        Path | None, typer.Option(help="The file to write, instead of standard output.")
    ] = None,
    severity: Severity = "",
    component: Component = "",
    job: Job = "",
    kind: Kind = "",
    search: Words = "",
    since: Since = "",
    unresolved: Unresolved = False,
) -> None:
    """Write all errors that the filters leave as one file."""
    wanted = _wanted(severity, component, job, kind, search, since, unresolved)
    write_parts(parts_of("/errors/export", params={**wanted, "format": form}), output)


@app.command("statistics")
def show_statistics(as_json: JsonFlag = False) -> None:
    """Count what went wrong, by severity and by component."""
    found = call("GET", "/errors/statistics")
    if as_json:
        print_json(found)
        return
    out.print(
        f"{found['unresolved']:,} unresolved of {found['total']:,} errors, "
        f"{found['last_day']:,} seen in the last 24 hours."
    )
    table = Table("severity", "unresolved", "errors", box=None)
    for name in _SEVERITIES:
        counts = (found["unresolved_by_severity"][name], found["by_severity"][name])
        table.add_row(name, *map(formatting.count, counts))
    out.print(table)
    parts = Table("component", "errors", box=None)
    for name, count in found["by_component"].items():
        if count:
            parts.add_row(name, formatting.count(count))
    if parts.row_count:
        out.print(parts)


def _wanted(
    severity: str,
    component: str,
    job: str,
    kind: str,
    search: str,
    since: str,
    unresolved: bool,
) -> dict[str, Any]:
    """Return the filters that are given, as the API takes them."""
    filters = {
        "severity": severity,
        "component": component,
        "job_id": job,
        "error_type": kind,
        "q": search,
        "since": time_in(since),
        "resolved": "false" if unresolved else "",
    }
    return {name: value for name, value in filters.items() if value}
