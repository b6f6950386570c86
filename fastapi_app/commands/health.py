"""`longshore health`: how the running server and its parts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app.commands.client import send
from fastapi_app.commands.console import EXIT_FAILED, fail, out, print_json
from models.health import HealthStatus
from storage.import_report import printable

_ASIDE = frozenset({"status", "reasons", "detail", "hung_seconds"})
_STYLES = {HealthStatus.HEALTHY: "green", HealthStatus.DEGRADED: "yellow"}


def health(
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer of /health.")] = False,
) -> None:
    """Show how every part of the running server is. Exits 1 when it is unhealthy."""
    response = send("GET", "/health")
    try:
        found = response.json()
        status = HealthStatus(found["status"])
    except (ValueError, KeyError, TypeError):
        fail(f"The server answered {response.status_code}, and not how it is.")
    if as_json:
        print_json(found)
    else:
        _show(found)
    if status is HealthStatus.UNHEALTHY:
        raise typer.Exit(EXIT_FAILED)


def _show(found: Mapping[str, Any]) -> None:
    table = Table("part", "status", "why", "figures", box=None)
    for name, part in found["components"].items():
        figures = ", ".join(
            f"{key} {_text(value)}"
            for key, value in part.items()
            if key not in _ASIDE and value not in (None, [], {})
        )
        table.add_row(name, _status(part["status"]), Text(_why(part)), Text(printable(figures)))
    for condition in found["conditions"]:
        figure = f"count {condition['count']}"
        table.add_row(condition["name"], _status(condition["status"]), "", figure)
    out.print(table)
    out.print(Text.assemble("Longshore is ", _status(found["status"]), "."))


def _status(status: str) -> Text:
    return Text(status, style=_STYLES.get(HealthStatus(status), "bold red"))


def _why(part: Mapping[str, Any]) -> str:
    words = list(part["reasons"])
    if part["hung_seconds"] is not None:
        words.append(f"for {part['hung_seconds']:.1f} s")
    if part["detail"]:
        words.append(f"({part['detail']})")
    return printable(" ".join(words))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(
            f"{key}={inner if inner is not None else '?'}" for key, inner in value.items()
        )
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
