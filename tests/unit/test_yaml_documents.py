"""Proves that stored YAML is read as plain data: nothing guessed, nothing that costs much."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.errors import InvalidDocument
from storage.yaml_documents import MAX_BYTES, parse, read, render

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
    found = parse(f"key: {text}\n".encode(), "a.yaml")["key"]
    assert found == value
    assert type(found) is type(value)


@given(document=DOCUMENTS)
@example(document={"name": "22:30", "a": "no", "b": "010", "c": "null", "d": "1.5", "e": "~"})
@example(document={"name": "", "a": " x ", "b": "- a", "c": "#", "d": "a: b", "e": "&a", "f": "*a"})
@example(document={"name": "a\u2028b\u2029c\ufeffd\ufffee", "🚢": ["\u202eabc", "\U0010ffff"]})
@example(document={"name": "x" * 300 + "  " + "y " * 100})
def test_what_is_written_comes_back(document: dict[str, Any]) -> None:
    assert parse(render(document), "a.yaml") == document


def test_numbers_that_are_written_with_an_exponent_stay_usable() -> None:
    value = parse(render({"key": 1e-07}), "a.yaml")["key"]
    assert math.isclose(float(value), 1e-07)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: &x 1\nb: *x\n", "uses an alias at line 2"),
        (b"a: &x [1]\nb:\n  <<: *x\n", "uses an alias at line 3"),
        (b"a: !!python/object/apply:os.system [ls]\n", "is not valid YAML at line 1"),
        (b"a: !custom 1\n", "is not valid YAML at line 1"),
        (b"a: [1, 2\n", "is not valid YAML at line 2"),
        (b"a: 1\nb: 'x\n", "is not valid YAML"),
        (b"a: 1\x00b\n", "is not valid YAML"),
        (b"\x00" * 4096, "is not valid YAML"),
        (b"a: \xff\xfe\n", "is not valid YAML"),
        (b"a: 1\n---\nb: 2\n", "is not valid YAML"),
        (b"a: 1\x1b[31m\n", "is not valid YAML"),
        (b"", "is empty or not a mapping"),
        (b"# only a comment\n", "is empty or not a mapping"),
        (b"- 1\n", "is empty or not a mapping"),
        (b"text\n", "is empty or not a mapping"),
        (b"a: " + b"[" * 25 + b"]" * 25, "nested more than 20 deep"),
        (b"? [1, 2]\n: 3\n", "is not valid YAML"),
        (b"a: " + b"9" * 5000 + b"\n", "is not valid YAML"),
    ],
)
def test_what_is_refused_and_why(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse(content, "a.yaml")
    assert caught.value.name == "a.yaml"
    assert reason in caught.value.reason


@pytest.mark.parametrize("bracket", [b"[", b"{", b"- ", b"? "])
def test_a_hundred_thousand_brackets_cost_little(bracket: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidDocument, match="nested more than 20 deep"):
        parse(b"a:\n " + bracket * 100_000, "a.yaml")
    assert time.process_time() - began < 1.0


def test_the_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\n" + b"#" * (MAX_BYTES - 5))
    assert read(path) == {"a": 1}
    path.write_bytes(b"a: 1\n" + b"#" * (MAX_BYTES - 4))
    with pytest.raises(InvalidDocument, match="larger than 1,048,576 bytes"):
        read(path)


@pytest.mark.parametrize(
    "make", [Path.mkdir, lambda path: path.symlink_to("nowhere"), lambda _: None]
)
def test_a_file_that_cannot_be_read_is_a_damaged_document(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.yaml")
    with pytest.raises(InvalidDocument, match=r"a\.yaml: cannot be read: "):
        read(tmp_path / "a.yaml")


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_mapping_or_refused(content: bytes) -> None:
    with suppress(InvalidDocument):
        assert isinstance(parse(content, "a.yaml"), dict)
