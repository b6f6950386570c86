"""`longshore notifications`: who is told of what, a test of it, and what became of messages."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app import formatting
from fastapi_app.commands.client import Refusal, as_part, ask, call
from fastapi_app.commands.console import complain, new_app, out, print_json
from models.notifications import DERIVED_OF_RULE
from storage.import_report import printable

_RULES = "/notifications/rules"
_NOT_FOUND = 404
_MAX_CHARACTERS = 4096
_TEST_SECONDS = 60.0
app = new_app("Notifications: who is told of failed runs, overdue jobs and errors.")
Name = Annotated[str, typer.Argument(help="The rule's name.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command("list")
def list_rules(as_json: JsonFlag = False) -> None:
    """List the rules."""
    found = call("GET", _RULES)
    if as_json:
        print_json(found)
        return
    table = Table("name", "target", "events", "jobs and tags", box=None)
    for rule in found["items"]:
        chosen = [*rule["jobs"], *(f"tag {tag}" for tag in rule["tags"])]
        name = rule["name"] if rule["enabled"] else f"{rule['name']} (off)"
        cells = (name, _target(rule), ", ".join(rule["events"]), ", ".join(chosen) or "every job")
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)
    if found["damage"]:
        complain(f"notifications.yaml cannot be used: {found['damage']}")


@app.command("show")
def show_rule(name: Name, as_json: JsonFlag = False) -> None:
    """Show one rule; of the address only its scheme."""
    rule = call("GET", f"{_RULES}/{as_part(name)}")
    if as_json:
        print_json(rule)
        return
    table = Table(show_header=False, box=None)
    for key, value in rule.items():
        if key not in DERIVED_OF_RULE:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            table.add_row(key, Text(printable(_target(rule) if key == "target" else text)))
    out.print(table)


@app.command("set")
def set_rule(
    name: Name,
    target: Annotated[
        str | None,
        typer.Option(help="The secret that holds the address; without it the rule's own name."),
    ] = None,
    address: Annotated[
        bool,
        typer.Option("--address", help="Ask for the address, or read it from standard input."),
    ] = False,
    event: Annotated[list[str] | None, typer.Option(help="What is told; may be repeated.")] = None,
    minimum_severity: Annotated[
        str | None, typer.Option(help="From which severity on errors are told.")
    ] = None,
    job: Annotated[
        list[str] | None, typer.Option(help="The id of a job; may be repeated. Empty: every job.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Jobs with this tag; may be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The title, with names in braces.")] = None,
    body: Annotated[str | None, typer.Option(help="The text, with names in braces.")] = None,
    digest_seconds: Annotated[
        int | None, typer.Option(help="How long is gathered into one message.")
    ] = None,
    at_most_per_hour: Annotated[int | None, typer.Option(help="Messages an hour at most.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether it is in force.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create a rule, or change what is named of one."""
    given: dict[str, Any] = {
        "target": target,
        "events": event,
        "minimum_severity": minimum_severity,
        "jobs": None if job is None else [one for one in job if one],
        "tags": None if tag is None else [one for one in tag if one],
        "title": title,
        "body": body,
        "digest_seconds": digest_seconds,
        "at_most_per_hour": at_most_per_hour,
        "enabled": enabled,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if address:
        changes["address"] = _asked_address()
    present = _present(name)
    if present is None:
        rule = call("POST", _RULES, json={"name": name, "target": name, **changes})
    else:
        kept = {key: value for key, value in present.items() if key not in DERIVED_OF_RULE}
        rule = call(
            "PUT",
            f"{_RULES}/{as_part(name)}",
            json={**kept, **changes},
            headers={"If-Match": f'"{present["version"]}"'},
        )
    if as_json:
        print_json(rule)
    else:
        out.print(Text(printable(f"{rule['name']}: {_target(rule)}")))


@app.command("delete")
def delete_rule(name: Name) -> None:
    """Delete a rule; its address stays in secrets.yaml."""
    call("DELETE", f"{_RULES}/{as_part(name)}")


@app.command("test")
def send_test(name: Name, as_json: JsonFlag = False) -> None:
    """Send a message in a rule's words; exits with 1 when it does not arrive."""
    result = call("POST", f"{_RULES}/{as_part(name)}/test", timeout=_TEST_SECONDS)
    if as_json:
        print_json(result)
    else:
        out.print(Text(printable(result["message"])))
    if not result["ok"]:
        raise typer.Exit(1)


@app.command("deliveries")
def list_deliveries(
    rule: Annotated[str, typer.Option(help="Only of this rule.")] = "",
    state: Annotated[str, typer.Option(help="waiting, sending, sent, given_up, dropped.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List what was to be told and what became of it, newest first; pings too."""
    parameters = {"rule": rule, "state": state, "limit": limit}
    found = call("GET", "/notifications/deliveries", params=parameters)
    if as_json:
        print_json(found)
        return
    table = Table("state", "when", "rule", "target", "title", "reason", box=None)
    for one in found["items"]:
        cells = (
            one["state"],
            formatting.ago(one["ended_at"] or one["created_at"]),
            one["rule"] or "ping",
            one["target"],
            one["title"],
            one["reason"] or "",
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)
    if len(found["items"]) < found["total"]:
        complain(f"{len(found['items']):,} of {found['total']:,} are shown: see --limit.")


def _present(name: str) -> dict[str, Any] | None:
    try:
        rule: dict[str, Any] = ask("GET", f"{_RULES}/{as_part(name)}")
    except Refusal as refusal:
        if refusal.status == _NOT_FOUND:
            return None
        refusal.tell()
        raise typer.Exit(1) from None
    return rule


def _target(rule: dict[str, Any]) -> str:
    if rule["target_fault"]:
        return f"{rule['target']} ({rule['target_fault']})"
    return f"{rule['target']} ({rule['target_scheme']}://…)"


def _asked_address() -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt("Address", hide_input=True)
        return typed
    return sys.stdin.read(_MAX_CHARACTERS + 2).strip()
