"""Proves what must hold of two folders before a run, and that partial files alone are removed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.partial_files import (
    keep_partial_file,
    remove_all_partial_files,
    remove_partial_files,
)
from core.preflight import destination_fault, files_at_most, location_faults, source_fault

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source with a folder and a file, a destination, and links that lead into them."""
    (tmp_path / "source" / "inner").mkdir(parents=True)
    (tmp_path / "source" / "file").write_bytes(b"x")
    (tmp_path / "destination").mkdir()
    (tmp_path / "into-source").symlink_to("source/inner")
    (tmp_path / "to-source").symlink_to("source")
    (tmp_path / "to-nowhere").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("source", "destination"),
        ("source", "destination/new/deeper"),
        ("source/", "destination/"),
        ("source/file", "destination"),
        ("source", "source-2"),
        ("to-source", "destination"),
    ],
)
def test_good_locations(tree: Path, source: str, destination: str) -> None:
    assert location_faults(f"{tree}/{source}", f"{tree}/{destination}") == ()


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("missing", "destination", [("source", "There is no such file or folder")]),
        ("fifo", "destination", [("source", "neither a folder nor a regular file")]),
        ("source/file/x", "destination", [("source", "It cannot be read: Not a directory.")]),
        ("source", "source", [("destination", "It is the source itself.")]),
        ("source", "source/", [("destination", "It is the source itself.")]),
        ("source", "source/inner", [("destination", "It lies inside the source")]),
        ("source", "source/new", [("destination", "It lies inside the source")]),
        ("source", "destination/../source/x", [("destination", "It lies inside the source")]),
        ("source", "into-source", [("destination", "It lies inside the source")]),
        ("source", "into-source/new", [("destination", "It lies inside the source")]),
        ("source", "to-source", [("destination", "It is the source itself.")]),
        ("to-source", "source/inner", [("destination", "It lies inside the source")]),
        ("source/inner", "source", [("destination", "The source lies inside it")]),
        ("into-source", "source", [("destination", "The source lies inside it")]),
        ("source/file", "source", [("destination", "The source lies inside it")]),
        ("destination", "source/file", [("destination", "It is not a folder.")]),
        ("destination", "source/file/x", [("destination", "/source/file is not a folder.")]),
        ("source", "to-nowhere", [("destination", "It is not a folder.")]),
        (
            "missing",
            "source/file",
            [("source", "There is no such"), ("destination", "It is not a folder.")],
        ),
    ],
)
def test_faults(tree: Path, source: str, destination: str, expected: list[tuple[str, str]]) -> None:
    faults = location_faults(f"{tree}/{source}", f"{tree}/{destination}")
    assert [fault.field for fault in faults] == [field for field, _ in expected]
    for fault, (_, part) in zip(faults, expected, strict=True):
        assert part in fault.message


def test_a_daemon_is_not_looked_at_and_the_other_side_is(tree: Path) -> None:
    daemon = "rsync://nas/backup"
    assert location_faults(daemon, f"{tree}/destination/new") == ()
    assert location_faults(f"{tree}/source", daemon) == ()
    assert [fault.field for fault in location_faults(f"{tree}/missing", daemon)] == ["source"]
    bad = location_faults(daemon, f"{tree}/source/file")
    assert [fault.field for fault in bad] == ["destination"]
    assert source_fault(daemon) is destination_fault(daemon) is None
    assert files_at_most(daemon) == float("inf")


def test_one_location_alone(tree: Path) -> None:
    assert source_fault(f"{tree}/source") is None
    assert destination_fault(f"{tree}/destination/new") is None
    assert source_fault(f"{tree}/missing") is not None
    assert destination_fault(f"{tree}/source/file") is not None


def as_nobody(source: str, destination: str) -> str:
    """Return the faults that a user without rights is told; permission bits do not stop root."""
    program = (
        "import os, sys; from core.preflight import location_faults\n"
        f"if os.geteuid() == 0: os.setgroups([]); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})\n"
        "for fault in location_faults(*sys.argv[1:]): print(fault.field, fault.message)"
    )
    argv = [sys.executable, "-c", program, source, destination]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """A source and a destination that everybody can reach, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "source").mkdir()
        (root / "source" / "file").write_bytes(b"x")
        (root / "destination").mkdir()
        yield root


def test_what_cannot_be_read_or_written(open_tree: Path) -> None:
    os.chmod(open_tree / "destination", 0o777)
    good = as_nobody(f"{open_tree}/source", f"{open_tree}/destination")
    assert good == ""
    for locked, mode in (("source", 0o000), ("source", 0o444), ("source/file", 0o000)):
        path = open_tree / locked
        before = path.stat().st_mode
        path.chmod(mode)
        told = as_nobody(str(path), f"{open_tree}/destination")
        path.chmod(before)
        assert told == "source It cannot be read: permission denied.\n", locked
    os.chmod(open_tree / "destination", 0o555)
    told = as_nobody(f"{open_tree}/source", f"{open_tree}/destination/new")
    assert told == f"destination Nothing can be written to {open_tree}/destination.\n"


def test_only_the_partial_directory_is_removed(tmp_path: Path) -> None:
    for path in (".longshore-partial/part", ".longshore-partial/other", "a/kept", "kept"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "a" / ".longshore-partial").mkdir()
    assert remove_partial_files(str(tmp_path)) is True
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"a", "a/.longshore-partial", "a/kept", "kept"}
    assert remove_partial_files(str(tmp_path)) is False
    assert remove_partial_files(str(tmp_path / "missing")) is False


def test_no_link_is_followed_to_remove_partial_files(tmp_path: Path) -> None:
    outside, destination = tmp_path / "outside", tmp_path / "destination"
    outside.mkdir()
    destination.mkdir()
    (outside / "kept").write_bytes(b"x")
    (destination / ".longshore-partial").symlink_to(outside)
    assert remove_partial_files(str(destination)) is False
    assert (outside / "kept").exists()
    (destination / ".longshore-partial").unlink()
    (destination / ".longshore-partial").write_bytes(b"a file of that name")
    assert remove_partial_files(str(destination)) is False
    assert (destination / ".longshore-partial").exists()


def test_what_a_killed_rsync_wrote_becomes_a_partial_file(tmp_path: Path) -> None:
    source, destination = tmp_path / "from", tmp_path / "to"
    for folder in (source / "a", destination / "a"):
        folder.mkdir(parents=True)
    (source / "a" / "big.iso").write_bytes(b"whole")
    for name in (".big.iso.x7Yz09", ".big.iso.2026", ".other.x7Yz09", ".big.iso.backup"):
        (destination / "a" / name).write_bytes(name.encode())
        (destination / "a" / name).chmod(0o600)
    # rsync's own has mode 0600 until it is whole: this is somebody's file.
    (destination / "a" / ".big.iso.backup").chmod(0o644)
    assert keep_partial_file(str(source), str(destination), b"a/big.iso")
    kept = destination / "a" / ".longshore-partial" / "big.iso"
    assert kept.read_bytes() == b".big.iso.x7Yz09"
    left = {path.name for path in (destination / "a").iterdir()}
    assert left == {".big.iso.2026", ".other.x7Yz09", ".big.iso.backup", ".longshore-partial"}


@pytest.mark.parametrize("name", ["big.iso", "a/b/big.iso"])
def test_a_partial_file_at_the_top_is_brought_to_its_folder(tmp_path: Path, name: str) -> None:
    destination = tmp_path / "to"
    for tree in (tmp_path / "from", destination):
        (tree / name).parent.mkdir(parents=True)
    (tmp_path / "from" / name).write_bytes(b"whole")
    (destination / ".longshore-partial").mkdir()
    (destination / ".longshore-partial" / "big.iso").write_bytes(b"half")
    keep_partial_file(str(tmp_path / "from"), str(destination), name.encode())
    kept = (destination / name).parent / ".longshore-partial" / "big.iso"
    assert kept.read_bytes() == b"half"
    folders = {kept.parent, destination / ".longshore-partial"}
    assert remove_all_partial_files(str(destination)) == len(folders)
    assert not kept.parent.exists()


def test_a_copy_that_only_looks_like_a_temporary_file_is_left_alone(tmp_path: Path) -> None:
    source, destination = tmp_path / "from", tmp_path / "to"
    for folder in (source, destination):
        folder.mkdir()
        (folder / ".big.iso.backup").write_bytes(b"a copy")
        (folder / ".big.iso.backup").chmod(0o600)
    (source / "big.iso").write_bytes(b"whole")
    keep_partial_file(str(source), str(destination), b"big.iso")
    assert (destination / ".big.iso.backup").read_bytes() == b"a copy"
    # A name that the source does not have, as a wrong guess would be, makes nothing anywhere.
    for name in (b"", b"/etc/passwd", b"gone/big.iso"):
        assert not keep_partial_file(str(source), str(destination), name)
