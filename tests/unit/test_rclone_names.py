"""Proves which file a name of rclone's log stands for, and how names are told to rclone: for any
name there can be, and with a tree on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.engines.rclone_list import LIST_SUFFIX, write_list
from core.engines.rclone_names import SourceNames, from_standard, to_standard
from tests.fakes.builders import a_spec

parts = st.one_of(
    st.binary(min_size=1, max_size=30).map(os.fsdecode),
    st.text(alphabet="\u201b\uff0f\uff0e\u2400\u240a\u2421\n\x7fq.F", min_size=1, max_size=6),
).filter(lambda part: not set(part) & {"/", "\0"} and os.fsdecode(os.fsencode(part)) == part)


@given(st.lists(parts, min_size=1, max_size=3))
@example(["."])
@example([".."])
@example(["\uff0e\uff0e"])
@example(["\u201b\uff0e"])
@example(["\u201bFF"])
def test_every_name_is_told_on_one_line_and_back(name: list[str]) -> None:
    path = "/".join(name)
    told = to_standard(path)
    assert from_standard(told) == path
    assert not set(told) & {chr(code) for code in range(0x20)} | set(told) & {"\x7f"}
    assert told.count("/") == path.count("/")
    assert not {".", ".."} & set(told.split("/"))


@given(st.text(max_size=40))
def test_whatever_rclone_tells_is_a_name(told: str) -> None:
    for source in ("/nowhere", "rclone://remote/x"):
        file = SourceNames(a_spec(source=source)).real(told)
        SourceNames(a_spec(source=source)).real_of_partial(told + ".0123abcd.partial")
        if file.name is not None:
            assert os.fsdecode(os.fsencode(file.name)) == file.name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source with names that the log does not tell as they are."""
    source = tmp_path / "from"
    for folder in ("sub \udcff", "sub \udcfe"):
        (source / folder).mkdir(parents=True)
        (source / folder / "file \udcff").write_text("x")
    (source / "sub \udcff" / "new\nline").write_text("x")
    (source / "sub \udcff" / "link \udcff").symlink_to("nowhere")
    (source / "only \udcff").write_text("x")
    (source / "only \udcff folder").mkdir()
    (source / ("n" * 250)).write_text("x")
    os.mkfifo(source / "pipe")
    return source


@pytest.mark.parametrize(
    ("told", "name", "shown"),
    [
        ("only \ufffd", "only \udcff", b"only \xff"),
        ("sub \ufffd/new\u240aline", "sub \udcff/new\nline", b"sub \xff/new\nline"),
        ("sub \ufffd/link \ufffd.rclonelink", "sub \udcff/link \udcff", b"sub \xff/link \xff"),
        # Two may be meant.
        ("sub \ufffd/file \ufffd", None, b"sub \xef\xbf\xbd/file \xef\xbf\xbd"),
        # A folder cannot be tried again by itself.
        ("only \ufffd folder", None, b"only \xff folder"),
        ("gone \ufffd", None, b"gone \xef\xbf\xbd"),
        ("gone\u240a", "gone\n", b"gone\n"),
        ("../../etc/passwd", "../../etc/passwd", b"../../etc/passwd"),
    ],
)
def test_names_are_taken_from_the_source(
    tree: Path, told: str, name: str | None, shown: bytes
) -> None:
    found = SourceNames(a_spec(source=str(tree), destination=str(tree.parent / "to"))).real(told)
    assert (found.name, found.shown) == (name, shown)


def test_of_two_that_may_be_meant_the_one_that_is_not_copied_has_failed(tree: Path) -> None:
    destination = tree.parent / "to"
    copy = destination / "sub \udcfe" / "file \udcff"
    copy.parent.mkdir(parents=True)
    copy.write_text("x")
    facts = (tree / "sub \udcfe" / "file \udcff").stat()
    os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    names = SourceNames(a_spec(source=str(tree), destination=str(destination)))
    assert names.real("sub \ufffd/file \ufffd").name == "sub \udcff/file \udcff"


def test_the_part_of_a_file_stands_for_the_file(tree: Path) -> None:
    names = SourceNames(a_spec(source=str(tree)))
    part = "n" * 233 + ".0123abcd.partial"
    assert names.real_of_partial(part).name == "n" * 250
    assert names.real_of_partial("only \ufffd.0123abcd.partial").name == "only \udcff"
    assert names.real("pipe").special_kind == "fifo"


def test_the_list_of_files_is_written_as_rclone_reads_it(tree: Path) -> None:
    path = tree.parent / "only-files"
    names = [b"sub \xff/new\nline", b"sub \xff/link \xff", b"\xe2\x80\x9bq", b"#x"]
    path.write_bytes(b"".join(name + b"\0" for name in names))
    spec = a_spec(engine="rclone", source=str(tree), only_files_path=str(path))
    write_list(spec, str(path))
    told = Path(f"{path}{LIST_SUFFIX}")
    assert told.read_bytes().splitlines() == [
        b"sub \xff/new\xe2\x90\x8aline",
        b"sub \xff/link \xff.rclonelink",
        b"\xe2\x80\x9b\xe2\x80\x9bq",
        b"#x",
    ]
    assert told.stat().st_mode & 0o777 == 0o600
