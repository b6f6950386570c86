"""`longshore remotes`: list the remotes of rclone's configuration, and test one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from fastapi_app import formatting
from fastapi_app.commands.client import as_part, call
from fastapi_app.commands.console import new_app, out, print_json
from storage.import_report import printable

app = new_app("Remotes: where rclone can copy to and from.")
CredentialFlag = Annotated[
    str, typer.Option(help="The credential that holds the configuration's password.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command("list")
def list_remotes(credential: CredentialFlag = "", as_json: JsonFlag = False) -> None:
    """List the remotes of rclone's configuration."""
    found = call("GET", "/remotes", params={"credential": credential})
    if as_json:
        print_json(found)
        return
    table = Table("name", "type", "location", box=None)
    for remote in found["items"]:
        cells = (remote["name"], remote["type"], f"rclone://{remote['name']}/")
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)


@app.command("test")
def check_remote(
    name: Annotated[str, typer.Argument(help="The remote's name.")],
    credential: CredentialFlag = "",
    as_json: JsonFlag = False,
) -> None:
    """See whether a remote answers; exits with 1 when it does not."""
    parameters = {"credential": credential}
    result = call("POST", f"/remotes/{as_part(name)}/test", params=parameters)
    if as_json:
        print_json(result)
    else:
        out.print(Text(printable(result["message"])))
        if result["free_bytes"] is not None:
            free, total = (formatting.size(result[key]) for key in ("free_bytes", "total_bytes"))
            out.print(f"{free} free of {total}")
    if not result["ok"]:
        raise typer.Exit(1)
