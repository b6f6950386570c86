"""`longshore check`: whether a data directory is whole, on the files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fastapi_app.commands.console import EXIT_FAILED, out, print_json, settings
from fastapi_app.data_directory import url_of_running_server
from storage.directory_check import DirectoryCheck, Mark, check_directory
from storage.import_report import printable


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Check every file of the data directory and change none, also beside a running server.

    Exits 1 when there is a fault; warnings alone are none.
    """
    data_dir = settings().data_dir.absolute()
    running = url_of_running_server(data_dir)
    result = check_directory(data_dir, is_served=running is not None)
    if as_json:
        print_json(_document(data_dir, running, result))
    else:
        for finding in result.findings:
            out.print(printable(f"{finding.mark:>5}  {finding}"), markup=False, soft_wrap=True)
        out.print(_summary(result), soft_wrap=True)
    if result.of(Mark.FAULT):
        raise typer.Exit(EXIT_FAILED)


def _summary(result: DirectoryCheck) -> str:
    looked_at = ", ".join(f"{count} {name}" for name, count in result.counts.items())
    faults, warnings = result.of(Mark.FAULT), result.of(Mark.WARNING)
    return f"{looked_at}: {faults} faults, {warnings} warnings"


def _document(data_dir: Path, running: str | None, result: DirectoryCheck) -> dict[str, Any]:
    return {
        "data_dir": str(data_dir),
        "server": running,
        "counts": result.counts,
        "faults": result.of(Mark.FAULT),
        "warnings": result.of(Mark.WARNING),
        "findings": [
            {"mark": finding.mark, "place": finding.place, "message": finding.message}
            for finding in result.findings
        ],
    }
