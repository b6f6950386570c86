"""Reading and writing the YAML of jobs and states: plain data, nothing guessed.

Only `null`, `true`, `false` and plain decimal numbers have a meaning of their own; `22:30`, `no`,
`010` and dates stay the text that a person wrote. No aliases, no tags, at most 1 MB.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from models.errors import InvalidDocument

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 20


class _Loader(yaml.CSafeLoader):
    """The C loader with the type guessing of YAML 1.1 taken out."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", "tf"),
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("tag:yaml.org,2002:int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
    ("tag:yaml.org,2002:float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$", "-0123456789"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


class _Dumper(yaml.SafeDumper):
    """Indents lists beneath their key and quotes what other readers would guess at."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def parse(content: bytes, name: str) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises InvalidDocument with the reason and the line."""
    if len(content) > MAX_BYTES:
        raise InvalidDocument(name, f"is larger than {MAX_BYTES:,} bytes")
    try:
        _check_events(content, name)
        document = yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader, restricted
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise InvalidDocument(name, f"is not valid YAML{place}: {problem}") from error
    if not isinstance(document, dict):
        raise InvalidDocument(name, "is empty or not a mapping of keys to values")
    return document


def render(document: dict[str, Any]) -> bytes:
    """Return a mapping as YAML for people, keys in the given order."""
    return _render(document, _Dumper)


def render_quickly(document: dict[str, Any]) -> bytes:
    """Return a mapping as YAML by libyaml: ten times quicker, with emoji as escapes."""
    return _render(document, yaml.CSafeDumper)


def _render(document: dict[str, Any], dumper: Any) -> bytes:
    text: str = yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.encode("utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a file. Raises InvalidDocument; a file that cannot be read is one."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidDocument(path.name, f"cannot be read: {error.strerror}") from error
    return parse(content, path.name)


def _check_events(content: bytes, name: str) -> None:
    # On the stream of events, before anything is composed: nesting can crash the C composer.
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise InvalidDocument(name, f"uses an alias at line {line}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise InvalidDocument(name, f"is nested more than {_MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
