"""`longshore settings`: show, set and unset what can be changed while the dashboard runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app.commands.client import call
from fastapi_app.commands.console import complain, fail, new_app, out, print_json
from models.setting_facts import SAVED, shown
from storage.import_report import printable

app = new_app("Settings: what they are, who decides them, and what can be changed at once.")
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command("show")
def show_settings(as_json: JsonFlag = False) -> None:
    """Show every setting with its value, its default and who decides it."""
    found = call("GET", "/settings")
    if as_json:
        print_json(found)
        return
    table = Table("name", "value", "default", "decided by", "meaning", box=None)
    for one in found["settings"]:
        unit = one["unit"] or ""
        decided_by = one["variable"] if one["source"] == "environment" else one["source"]
        value = f"{shown(one['value'])} {unit}".strip()
        cells = (one["name"], value, shown(one["default"]), decided_by, one["description"])
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)
    if found["damage"]:
        complain(f"settings.yaml cannot be used: {found['damage']}")
    if found["unknown_keys"]:
        complain(f"settings.yaml has keys without a meaning: {', '.join(found['unknown_keys'])}")


@app.command("set")
def set_settings(
    changes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Such as max_concurrent_runs=8.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Change settings; they are in effect at once or from the next run on."""
    wanted = {}
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign:
            fail(f"Write NAME=VALUE, such as max_concurrent_runs=8, and not {change!r}.")
        wanted[name] = value
    found = call("GET", "/settings")
    _save(found, {**found["values"], **wanted}, as_json=as_json)


@app.command("unset")
def unset_settings(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="What is to be reset.")],
    as_json: JsonFlag = False,
) -> None:
    """Give settings their default again."""
    found = call("GET", "/settings")
    decided = {
        one["name"]: one["variable"] for one in found["settings"] if one["source"] == "environment"
    }
    for name in names:
        if name not in SAVED:
            fail(f"There is no setting {name!r} that can be changed.")
        if name in decided:
            fail(f"{name}: {decided[name]} decides this: change it there.")
    values = {name: value for name, value in found["values"].items() if name not in names}
    _save(found, values, as_json=as_json)


def _save(found: Mapping[str, Any], values: Mapping[str, Any], *, as_json: bool) -> None:
    headers = {"If-Match": f'"{found["version"]}"'}
    saved = call("PUT", "/settings", json={"values": values}, headers=headers)
    if as_json:
        print_json(saved)
        return
    for name, value in saved["values"].items():
        if value != found["values"].get(name):
            facts = SAVED.get(name)
            effect = f" (in effect {facts.effect})" if facts else ""
            told = printable(f"{name}: {shown(value) or 'none'}{effect}")
            out.print(told, markup=False, soft_wrap=True)
