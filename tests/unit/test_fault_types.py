"""Holds the table of faults in the documentation to the types that the code reports."""

from __future__ import annotations

import ast
import importlib
import re
from typing import Any

import pytest

from fastapi_app import recovery_events
from tests.support import PROJECT_ROOT

TYPE = re.compile(r"([A-Z][a-z]+(?:[A-Z][a-z]+)+):?\s*")
"""Such a word is a type, and in a message no text is."""


def types_in(source: str) -> set[str] | None:
    """Return the types that a module names; None for one that makes no fault."""
    nodes = list(ast.walk(ast.parse(source)))
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    if not any(isinstance(name, ast.Name) and name.id == "Fault" for name in called):
        return None
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    texts += _imported(nodes)
    words = (TYPE.fullmatch(text) for text in texts if isinstance(text, str))
    return {word[1] for word in words if word}


def _imported(nodes: list[ast.AST]) -> list[Any]:
    """Return the constants of other modules that a module uses."""
    return [
        getattr(importlib.import_module(node.module), name.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
        if name.name.isupper()
    ]


def test_the_documentation_has_every_type_of_fault_that_the_code_reports() -> None:
    found = set(recovery_events._TYPES.values())
    for floor in ("core", "storage", "fastapi_app"):
        for path in (PROJECT_ROOT / floor).rglob("*.py"):
            types = types_in(path.read_text(encoding="utf-8"))
            assert types is None or types, f"{path} makes faults: of which type?"
            found |= types or set()
    table = (PROJECT_ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    firsts = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = [word for first in firsts for word in re.findall(r"`(\w+)", first)]
    assert set(told) == found
    assert len(told) - told.count("ToolMissing") == len(found) - 1, "a type that has two rows"


@pytest.mark.parametrize(
    ("source", "types"),
    [
        ("report(Fault(error_type='DiskGone'))", {"DiskGone"}),
        ("report(Fault(error_type=f'DiskGone: {name}'))", {"DiskGone"}),
        ("GONE = 'DiskGone'\ndef fault(kind): return Fault(error_type=kind)", {"DiskGone"}),
        ("GONE = 'DiskGone'", None),
    ],
)
def test_a_type_is_found_however_it_is_written(source: str, types: set[str] | None) -> None:
    assert types_in(source) == types
