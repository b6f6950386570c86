"""What every command shares: settings, output and the way to say that something is wrong."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from models.settings import Settings
from storage.import_report import printable

EXIT_FAILED = 1
EXIT_RESUMABLE = 3
# Into a pipe the ids are written whole, however long the lines become.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
_errors = Console(stderr=True, highlight=False)


def new_app(summary: str) -> typer.Typer:
    """Return a Typer application with the settings that all of ours share."""
    return typer.Typer(
        help=summary, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )


def settings() -> Settings:
    """Return the settings of the environment; says what is wrong with them and exits."""
    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = "LONGSHORE_" + "_".join(str(part) for part in fault["loc"]).upper()
            complain(f"{name}: {fault['msg']}")
        raise typer.Exit(EXIT_FAILED) from None


def complain(text: str) -> None:
    """Print one line to standard error; nothing in it is taken for markup, or for more than text by
    the terminal."""
    _errors.print(printable(text), markup=False, soft_wrap=True)


def fail(text: str, code: int = EXIT_FAILED) -> NoReturn:
    """Print one line to standard error and exit."""
    complain(text)
    raise typer.Exit(code)


def print_json(document: Any) -> None:
    """Print the API's JSON."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
