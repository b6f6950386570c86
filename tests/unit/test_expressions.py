"""Proves that what people type is never compiled as a regular expression: it could run for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support import PROJECT_ROOT

PACKAGES = ("core", "fastapi_app", "models", "storage", "utils")
FILES = sorted(path for name in PACKAGES for path in (PROJECT_ROOT / name).rglob("*.py"))
# Patterns that stand in tables of the program, and what an engine says of its own lines.
OWN = {
    "core/engines/log_levels.py": {"errors", "warnings"},
    "core/engines/rsync_messages.py": {"form"},
    "core/engines/rsync_refusals.py": {"pattern", "saying"},
    "models/extra_args.py": {"allowed"},
}


def taken_from_elsewhere(expression: ast.AST) -> Iterator[str]:
    """The variables that an expression is made of; not what is escaped, and no constants."""
    if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "re.escape":
        return
    if isinstance(expression, ast.Name) and not expression.id.isupper():
        yield expression.id
    for part in ast.iter_child_nodes(expression):
        yield from taken_from_elsewhere(part)


def variables_in_patterns(source: str) -> set[str]:
    """The variables from which patterns of the module `re` are made."""
    return {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr != "escape"
        for name in taken_from_elsewhere(node.args[0])
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_pattern_is_the_programs_own(package: str) -> None:
    for path in FILES:
        where = str(path.relative_to(PROJECT_ROOT))
        if where.startswith(f"{package}/"):
            found = variables_in_patterns(path.read_text(encoding="utf-8"))
            assert found <= OWN.get(where, set()), where


def test_a_pattern_of_somebodys_would_be_found() -> None:
    assert variables_in_patterns("re.search(q, line)") == {"q"}
    assert variables_in_patterns("re.compile(f'({words})')") == {"words"}
    assert variables_in_patterns("re.compile(re.escape(q) + _END); re.sub('a', b, c)") == set()


def test_the_database_knows_no_patterns() -> None:
    assert not [path for path in FILES if "REGEXP" in path.read_text(encoding="utf-8")]
