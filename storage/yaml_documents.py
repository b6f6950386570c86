"""Reading and writing the YAML of jobs and states: plain data, nothing guessed.

Only `null`, `true` and `false` have a meaning of their own, and in the program's files plain
decimal numbers; `22:30`, `no`, `010` and dates stay the text that a person wrote. No aliases, no
merge keys, no tags, at most 1 MB. The document is built from libyaml's events in one pass, so that
every rule is checked before anything is composed; PyYAML's own composer recurses, and 100,000
brackets crash it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from models.errors import InvalidDocument

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:e[-+][0-9]+)?")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_WIDTH = 10**9
"""Nothing is folded: a value stays on one line, however long."""
_LINE_BREAK = re.compile("[\\n\\r\\x85\\u2028\\u2029]")
_MAX_DIGITS = 4000
"""Python converts no longer numbers (sys.set_int_max_str_digits)."""
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_START_OF_NUMBER = frozenset("-0123456789")

Place = tuple[str | int | None, ...]
"""Where something stands in a document: keys and places in lists."""


def parse(content: bytes, name: str, *, numbers: bool = False) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises InvalidDocument with the reason and the line.

    Without `numbers` they stay text, and whoever validates decides: a job may be called 2024.
    """
    return _build(content, name, _Builder(name, numbers=numbers))


def parse_with_lines(
    content: bytes, name: str, *, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], dict[Place, int]]:
    """Return the mapping in a YAML file, and the line, from 1, of every key and place in it.

    Numbers stay text. Raises InvalidDocument with the reason and the line.
    """
    lines: dict[Place, int] = {}
    return _build(content, name, _Builder(name, lines=lines), max_bytes), lines


def lines_of(content: bytes) -> dict[Place, int]:
    """Return the line, from 1, of every key and place, as far as the document can be read."""
    lines: dict[Place, int] = {}
    try:
        _build(content, "", _Builder("", lines=lines))
    except InvalidDocument:
        pass  # What was read before the fault still has its lines.
    return lines


def line_of(lines: Mapping[Place, int], path: Place) -> int | None:
    """Return the line at which a value stands, or the nearest one around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def render(document: dict[str, Any]) -> bytes:
    """Return a mapping as YAML for people, keys in the given order, each value on one line.

    How a text is written, plain or quoted, libyaml decides and a cache remembers; the lines around
    it are made here: PyYAML's representer would cost a save more time than the disk does.
    """
    lines: list[str] = [] if document else ["{}"]
    for key, value in document.items():
        _add_value(lines, f"{_text(str(key))}:", value, "")
    lines.append("")
    return "\n".join(lines).encode("utf-8")


def _add_value(lines: list[str], head: str, value: Any, indent: str) -> None:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        lines.append(head)
        for key, item in value.items():
            _add_value(lines, f"{inner}{_text(str(key))}:", item, inner)
    elif isinstance(value, (list, tuple)) and value:
        lines.append(head)
        for item in value:
            _add_item(lines, item, inner)
    else:
        lines.append(f"{head} {_scalar(value)}")


def _add_item(lines: list[str], item: Any, indent: str) -> None:
    inner = indent + "  "
    if isinstance(item, dict) and item:
        mark = f"{indent}- "
        for key, value in item.items():
            _add_value(lines, f"{mark}{_text(str(key))}:", value, inner)
            mark = inner
    elif isinstance(item, (list, tuple)) and item:
        lines.append(f"{indent}-")
        for value in item:
            _add_item(lines, value, inner)
    else:
        lines.append(f"{indent}- {_scalar(item)}")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(str(value))
    if isinstance(value, dict):
        return "{}"
    return "[]" if isinstance(value, (list, tuple)) else _plain_text(value)


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    """Return a text as it stands behind a key."""
    # Other readers guess more than ours: what they would take for a date or a number is quoted.
    guesses = yaml.SafeDumper.yaml_implicit_resolvers.get(text[:1], ())
    means_more = any(pattern.match(text) for _, pattern in guesses)
    style = '"' if _LINE_BREAK.search(text) else None
    events = [
        yaml.StreamStartEvent(),
        yaml.DocumentStartEvent(explicit=False),
        yaml.MappingStartEvent(None, None, True, flow_style=False),
        yaml.ScalarEvent(None, None, (True, True), "k"),
        yaml.ScalarEvent(None, None, (not means_more, True), text, style=style),
        yaml.MappingEndEvent(),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    ]
    emitted: str = yaml.emit(events, Dumper=yaml.CSafeDumper, allow_unicode=True, width=_WIDTH)
    if "\\U" in emitted:
        # libyaml escapes emoji; PyYAML's own emitter leaves them readable.
        emitted = yaml.emit(events, Dumper=yaml.SafeDumper, allow_unicode=True, width=_WIDTH)
    return emitted.removeprefix("k: ").removesuffix("\n")


def _plain_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value)
        # YAML wants a point before an exponent.
        return text if "." in text else text.replace("e", ".0e")
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not plain data")


def _build(
    content: bytes, name: str, builder: _Builder, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    _check_bytes(content, name, max_bytes)
    try:
        for event in _events(content):
            builder.take(event)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None)
        raise InvalidDocument(name, f"is not valid YAML{place}: {problem or error}") from error
    if not isinstance(builder.document, dict):
        raise InvalidDocument(name, "is empty or not a mapping of keys to values")
    return builder.document


def _check_bytes(content: bytes, name: str, max_bytes: int) -> None:
    if len(content) > max_bytes:
        raise InvalidDocument(name, f"is larger than {max_bytes:,} bytes")
    if not content.strip(b"\0 \t\r\n"):
        what = "holds nothing but NUL bytes, as after a power cut" if content else "is empty"
        raise InvalidDocument(name, what)


def _events(content: bytes) -> Iterator[Any]:
    loader = yaml.CSafeLoader(content)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Builder:
    """Composes plain Python values out of events, and refuses what the format does not allow."""

    def __init__(
        self, name: str, *, numbers: bool = False, lines: dict[Place, int] | None = None
    ) -> None:
        self.document: Any = None
        self._name = name
        self._numbers = numbers
        self._lines = lines
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | int | None] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take the next event. Raises InvalidDocument."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._check(event)
            self._scalar(event)
        elif kind is yaml.MappingStartEvent:
            self._check(event)
            self._begin({}, event)
        elif kind is yaml.SequenceStartEvent:
            self._check(event)
            self._begin([], event)
        elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            self._end()
        elif kind is yaml.AliasEvent:
            raise self._fault(event, "uses an alias")
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise self._fault(event, "holds a second document")

    def _check(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._fault(event, "uses an anchor")
        if event.tag is not None:
            raise self._fault(event, f"uses the tag {event.tag}")

    def _scalar(self, event: Any) -> None:
        text = event.value
        inside = self._open[-1] if self._open else None
        if isinstance(inside, dict) and self._keys[-1] is None:
            if text == "<<" and event.implicit[0]:
                raise self._fault(event, "uses a merge key")
            if text in inside:
                raise self._fault(event, f"has the key {text!r} twice")
            self._keys[-1] = text
            if self._lines is not None:
                self._lines[tuple(self._keys)] = event.start_mark.line + 1
            return
        self._put(self._value(text, event) if event.implicit[0] else text, event)

    def _value(self, text: str, event: Any) -> Any:
        # YAML 1.2's core schema without its other spellings.
        if text in _WORDS:
            return _WORDS[text]
        if not self._numbers or text[0] not in _START_OF_NUMBER:
            return text
        if _INTEGER.fullmatch(text):
            if len(text) > _MAX_DIGITS:
                raise self._fault(event, "holds a number with too many digits")
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _begin(self, collection: dict[str, Any] | list[Any], event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._fault(event, f"is nested more than {MAX_DEPTH} deep")
        if self._open and isinstance(self._open[-1], dict) and self._keys[-1] is None:
            raise self._fault(event, "has a key that is not a text")
        self._put(collection, event, stays_open=True)
        self._open.append(collection)
        self._keys.append(None)

    def _end(self) -> None:
        self._open.pop()
        self._keys.pop()
        if self._open and isinstance(self._open[-1], dict):
            self._keys[-1] = None

    def _put(self, value: Any, event: Any, *, stays_open: bool = False) -> None:
        if not self._open:
            self.document = value
            return
        inside = self._open[-1]
        if isinstance(inside, list):
            self._keys[-1] = len(inside)
            inside.append(value)
            if self._lines is not None:
                self._lines[tuple(self._keys)] = event.start_mark.line + 1
            return
        key = self._keys[-1]
        assert isinstance(key, str)
        inside[key] = value
        if not stays_open:
            self._keys[-1] = None

    def _fault(self, event: Any, what: str) -> InvalidDocument:
        line = event.start_mark.line + 1 if event.start_mark else 0
        return InvalidDocument(self._name, f"{what} at line {line}")
