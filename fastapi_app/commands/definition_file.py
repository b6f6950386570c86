"""A definition as a file: read from one, and opened in the person's own editor until it is right.

The editor is $VISUAL or $EDITOR, called as a list of arguments, never through a shell. What was
typed is not lost: a file that was not saved is kept, and its place is told.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer

from fastapi_app.commands.client import Refusal
from fastapi_app.commands.console import EXIT_FAILED, complain, fail
from models.errors import InvalidDocument
from storage import yaml_documents
from storage.import_report import printable

_CONFLICT = 412
_INVALID = 422
_USUAL_EDITOR = "vi"


class _Wrong(NamedTuple):
    """What keeps an edited file from being saved."""

    lines: tuple[str, ...]
    can_be_mended: bool


class _Saved(NamedTuple):
    """What the server made of an edited file; None when the definition is as it was."""

    document: Any | None


def definition_from(name: str) -> dict[str, Any]:
    """Return the definition in a YAML or JSON file, `-` for standard input."""
    try:
        if name == "-":
            content = sys.stdin.buffer.read(yaml_documents.MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(yaml_documents.MAX_BYTES + 1)
        return _parsed(content, "standard input" if name == "-" else name)
    except OSError as error:
        fail(f"{name} cannot be read: {error.strerror}")
    except InvalidDocument as error:
        fail(printable(f"{error.name} {error.reason}"))


def edit_definition(
    definition: Mapping[str, Any], *, title: str, save: Callable[[dict[str, Any]], Any]
) -> Any | None:
    """Open a definition in the editor and save it; returns what `save` did, None when nothing was
    changed. What is wrong is told, all of it; on a terminal the file is offered again."""
    editor = _editor()
    directory = Path(tempfile.mkdtemp(prefix="longshore-"))
    path = directory / "job.yaml"
    head = (
        f"# {printable(title)}\n# Saved when the editor ends; an unchanged file changes nothing.\n"
    )
    before = head.encode("utf-8") + yaml_documents.render(dict(definition))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(before)
    is_done = False
    try:
        while True:
            _run(editor, path)
            content = path.read_bytes()
            outcome = _Saved(None) if content == before else _saved(content, definition, save)
            is_done = isinstance(outcome, _Saved)
            if isinstance(outcome, _Saved):
                return outcome.document
            for line in outcome.lines:
                complain(line)
            if not outcome.can_be_mended or not _wants_again():
                raise typer.Exit(EXIT_FAILED)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}. Nothing was changed.")
    finally:
        if is_done or not _differs(path, before):
            shutil.rmtree(directory, ignore_errors=True)
        else:
            complain(f"What you wrote is in {path}")


def _saved(
    content: bytes, before: Mapping[str, Any], save: Callable[[dict[str, Any]], Any]
) -> _Saved | _Wrong:
    try:
        edited = _parsed(content, "The file")
        if edited == _parsed(yaml_documents.render(dict(before)), "The definition"):
            return _Saved(None)
        return _Saved(save(edited))
    except InvalidDocument as error:
        return _Wrong((printable(f"{error.name} {error.reason}"),), can_be_mended=True)
    except Refusal as refusal:
        if refusal.status == _CONFLICT:
            return _Wrong((conflict(refusal),), can_be_mended=False)
        lines = yaml_documents.lines_of(content)
        told = [_with_line(lines, *fault) for fault in refusal.faults] or [refusal.detail]
        return _Wrong(tuple(told), can_be_mended=refusal.status == _INVALID)


def conflict(refusal: Refusal) -> str:
    """Return what is said when somebody else saved the job meanwhile."""
    return f"Somebody changed the job meanwhile, and nothing was overwritten. {refusal.detail}"


def _with_line(lines: Mapping[Any, int], field: str, message: str) -> str:
    steps = tuple(int(step) if step.isdecimal() else step for step in field.split("."))
    line = yaml_documents.line_of(lines, steps)
    return printable(f"{f'line {line}: ' if line else ''}{field}: {message}")


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    if not content.lstrip().startswith(b"{"):
        return yaml_documents.parse(content, name)
    if len(content) > yaml_documents.MAX_BYTES:
        raise InvalidDocument(name, f"is larger than {yaml_documents.MAX_BYTES:,} bytes")
    try:
        document: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError):
        # YAML may begin like that as well.
        return yaml_documents.parse(content, name)
    return document


def _editor() -> list[str]:
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        fail(f"The editor {chosen!r} cannot be understood: {error}.")
    if not words and sys.stdin.isatty() and shutil.which(_USUAL_EDITOR):
        words = [_USUAL_EDITOR]
    if not words:
        fail("Set VISUAL or EDITOR to the editor to use, or give the options to change.")
    if shutil.which(words[0]) is None:
        fail(f"There is no editor {words[0]!r}: set VISUAL or EDITOR.")
    return words


def _run(editor: list[str], path: Path) -> None:
    code = subprocess.run([*editor, str(path)], check=False).returncode
    if code != 0:
        fail(f"The editor ended with {code}. Nothing was changed.")


def _differs(path: Path, before: bytes) -> bool:
    try:
        return path.read_bytes() != before
    except OSError:
        return False


def _wants_again() -> bool:
    return sys.stdin.isatty() and typer.confirm("Edit the file again?", default=True, err=True)
