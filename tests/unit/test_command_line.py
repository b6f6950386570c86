"""Proves that the command line declares every field of a definition, and is described whole."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from fastapi_app.cli import app
from fastapi_app.commands.definition_options import DECLARED, merged
from fastapi_app.commands.log import safe
from models.job import JobDefinition
from models.job_part import Part

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"


def commands(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command by its full name."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(names), command
        return
    for name, one in inner.items():
        yield from commands(one, *names, name)


def sections() -> dict[str, str]:
    """The text under each heading."""
    parts = re.split(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_describes_every_command_with_its_options_and_no_other() -> None:
    known = dict(commands(typer.main.get_command(app), "longshore"))
    described = {name.strip("`"): text for name, text in sections().items() if name[0] == "`"}
    assert sorted(described) == sorted(known)
    for name, command in known.items():
        text = described[name]
        if {"exclude", "tag", "trash_days"} <= {one.name for one in command.params}:
            text += sections()["Options of a definition"]
        options = {
            option
            for one in command.params
            if one.param_type_name == "option"
            for option in (*one.opts, *one.secondary_opts)
        } - {"--help", "-f"}
        described_options = set(re.findall(r"--[a-z-]+", text))
        assert options <= described_options, (name, options - described_options)


def test_a_command_does_not_load_what_only_the_server_needs() -> None:
    looks = "import fastapi_app.cli, sys; print(*{name.split('.')[0] for name in sys.modules})"
    said = subprocess.run(
        [sys.executable, "-c", looks], cwd=PAGE.parents[1], check=True, capture_output=True
    )
    loaded = set(said.stdout.decode().split())
    assert "httpx" in loaded
    assert not loaded & {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "jinja2"}


def leaves(part: type[Part], *path: str) -> Iterator[tuple[str, ...]]:
    for name, field in part.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Part):
            yield from leaves(inner, *path, name)
        else:
            yield (*path, name)


def test_every_field_of_a_definition_has_an_option() -> None:
    assert sorted(option.path for option in DECLARED.values()) == sorted(leaves(JobDefinition))


def test_an_empty_value_takes_away_and_the_rest_stays() -> None:
    before = {"name": "A", "options": {"exclude": ["x"], "max_delete": 3, "acls": True}}
    after = merged(before, {"exclude": [""], "max_delete": "", "tag": ["a"], "max_attempts": "2"})
    assert after == {
        "name": "A",
        "options": {"exclude": [], "acls": True},
        "tags": ["a"],
        "retry": {"max_attempts": "2"},
    }
    assert before["options"] == {"exclude": ["x"], "max_delete": 3, "acls": True}


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066])
def test_a_control_character_is_shown_as_an_escape(code: int) -> None:
    character = chr(code)
    shown = safe(f"a{character}b")
    if character in "\t\n":
        assert shown == f"a{character}b"
    else:
        assert character not in shown
        assert shown.isprintable()
