"""Proves that stored YAML is read as plain data: nothing guessed, nothing that costs much."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from models.errors import InvalidDocument
from storage.yaml_documents import MAX_BYTES, line_of, lines_of, parse, render

PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=120)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**62), max_value=2**62)
    | st.floats(min_value=0.1, max_value=1e6).map(lambda number: round(number, 1))
    | PRINTABLE
)
DOCUMENTS = st.dictionaries(
    PRINTABLE,
    LEAVES | st.lists(LEAVES, max_size=4) | st.dictionaries(PRINTABLE, LEAVES, max_size=3),
    max_size=5,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:30", "22:30"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("True", "True"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("+5", "+5"),
        ("1e3", "1e3"),
        (".inf", ".inf"),
        ("2026-11-23", "2026-11-23"),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
        ("=", "="),
        ("500K", "500K"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ('"22"', "22"),
        ("'true'", "true"),
    ],
)
def test_what_a_plain_value_means(text: str, value: object) -> None:
    found = parse(f"key: {text}\n".encode(), "a.yaml", numbers=True)["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["0", "-12", "1.50", "2024"])
def test_in_what_people_write_a_number_stays_as_it_is_written(text: str) -> None:
    assert parse(f"key: {text}\n".encode(), "a.yaml") == {"key": text}


@given(document=DOCUMENTS)
@example(document={"name": "22:30", "a": "no", "b": "010", "c": "null", "d": "1.5", "e": "~"})
@example(document={"name": "", "a": " x ", "b": "- a", "c": "#", "d": "a: b", "e": "&a", "f": "*a"})
@example(document={"name": "a\u2028b\u2029c\ufeffd\ufffee", "🚢": ["\u202eabc", "\U0010ffff"]})
@example(document={"name": "x" * 300 + "  " + "y " * 100})
def test_what_is_written_comes_back(document: dict[str, Any]) -> None:
    assert parse(render(document), "a.yaml", numbers=True) == document
    assert yaml.safe_load(render(document)) == document, "and for another reader"


def test_emoji_stay_readable() -> None:
    assert "Fotos 🚢" in render({"name": "Fotos 🚢"}).decode()


def test_numbers_that_are_written_with_an_exponent_stay_usable() -> None:
    value = parse(render({"key": 1e-07}), "a.yaml", numbers=True)["key"]
    assert math.isclose(value, 1e-07)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: &x 1\nb: *x\n", "uses an anchor at line 1"),
        (b"a: [1]\nb:\n  <<: *x\n", "uses a merge key at line 3"),
        (b"a: 1\nb: *x\n", "uses an alias at line 2"),
        (b"a: 1\nb: 2\na: 3\n", "has the key 'a' twice at line 3"),
        (b"a: !!python/object/apply:os.system [ls]\n", "uses the tag tag:yaml.org,2002:python"),
        (b"b: 1\na: !custom 1\n", "uses the tag !custom at line 2"),
        (b"a: [1, 2\n", "is not valid YAML at line 2"),
        (b"a: 1\nb: 'x\n", "is not valid YAML"),
        (b"a: 1\x00b\n", "is not valid YAML"),
        (b"\x00" * 4096, "holds nothing but NUL bytes"),
        (b"a: \xff\xfe\n", "is not valid YAML"),
        (b"a: 1\n---\nb: 2\n", "holds a second document at line 2"),
        (b"a: 1\x1b[31m\n", "is not valid YAML"),
        (b"", "is empty"),
        (b"# only a comment\n", "is empty or not a mapping"),
        (b"- 1\n", "is empty or not a mapping"),
        (b"text\n", "is empty or not a mapping"),
        (b"a: " + b"[" * 25 + b"]" * 25, "nested more than 20 deep"),
        (b"? [1, 2]\n: 3\n", "has a key that is not a text at line 1"),
        (b"a: " + b"9" * 5000 + b"\n", "holds a number with too many digits at line 1"),
    ],
)
def test_what_is_refused_and_why(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse(content, "a.yaml", numbers=True)
    assert caught.value.name == "a.yaml"
    assert reason in caught.value.reason


@pytest.mark.parametrize("bracket", [b"[", b"{", b"- ", b"? ", b"a: {"])
def test_a_hundred_thousand_brackets_cost_little(bracket: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidDocument, match=r"nested more than 20 deep|not a text"):
        parse(b"a:\n " + bracket * 100_000, "a.yaml")
    assert time.process_time() - began < 1.0


def test_the_size_is_bounded() -> None:
    assert parse(b"a: b\n" + b"#" * (MAX_BYTES - 5), "a.yaml") == {"a": "b"}
    with pytest.raises(InvalidDocument, match="larger than 1,048,576 bytes"):
        parse(b"a: b\n" + b"#" * (MAX_BYTES - 4), "a.yaml")


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("name",), 2),
        (("options", "exclude", 1), 6),
        (("options", "include"), 7),
        (("options", "unheard of"), 3),
        (("retry", "max_attempts"), 9),
        (("nowhere",), None),
    ],
)
def test_the_line_of_a_value(place: tuple[str | int, ...], line: int | None) -> None:
    content = b"""# A comment
name: Photos
options:
  exclude:
  - a
  - b
  include: [c, d]
retry: {first_delay_seconds: 1,
        max_attempts: 3}
"""
    assert line_of(lines_of(content), place) == line


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_mapping_or_refused(content: bytes) -> None:
    with suppress(InvalidDocument):
        assert isinstance(parse(content, "a.yaml"), dict)
