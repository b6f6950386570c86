"""What every command shares: settings, output and the way to say that something is wrong."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from models.settings import Settings
from storage.import_report import printable
from utils.shown_names import safe_text

EXIT_FAILED = 1
EXIT_RESUMABLE = 3
_KEPT = "\t\n"


class _SafeConsole(Console):
    """Writes nothing that a terminal takes for a command, but what Rich itself has for it.

    The last place that everything passes: tables escape their cells before, so that they fit.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is written, made safe."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(safe_text(segment.text, keep=_KEPT), segment.style)


# Into a pipe the ids are written whole, however long the lines become.
out = _SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 240)
_errors = _SafeConsole(stderr=True, highlight=False)


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
    """Print the API's JSON; what could command a terminal is an escape of JSON, and so the same."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not text.isascii() or "\x7f" in text:
        text = "".join(
            one if safe_text(one, keep=_KEPT) == one else f"\\u{ord(one):04x}" for one in text
        )
    sys.stdout.write(text + "\n")


def is_terminal() -> bool:
    """Whether somebody looks at standard output."""
    return sys.stdout.isatty()


def write_file(parts: Iterable[bytes]) -> None:
    """Write a file to standard output: as it is, but made safe at a terminal."""
    if not is_terminal():
        for part in parts:
            sys.stdout.buffer.write(part)
        return
    decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
    held = ""  # The first half of a line's end.
    for part in parts:
        text = held + decoder.decode(part)
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(held).replace("\r\n", "\n")
        sys.stdout.write(safe_text(text, keep=_KEPT))
    sys.stdout.write(safe_text(held + decoder.decode(b"", True), keep=_KEPT))
