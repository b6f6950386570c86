"""Proves what must hold of the disks and the tool before a run, all of it said at once."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import ScannedTotals
from core.engines.registry import ENGINES
from core.preflight import run_faults, told_at_once
from core.preflight_mounts import has_any_file, is_mount_point, marker_fault, mount_fault
from core.preflight_space import Finding, Present, SpaceCheck, full_disk, present, room_of, size
from models.run_spec import TRASH_FOLDER, RunSpec
from tests.conftest import need
from tests.fakes.builders import a_spec

MEBIBYTE = 1024 * 1024


@contextmanager
def mounted(point: Path, options: str) -> Iterator[Path]:
    """Mount a small file system in memory."""
    need("root, who may mount file systems,", os.geteuid() == 0)
    point.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
    tried = subprocess.run(command, capture_output=True)
    need("a mount of a tmpfs", tried.returncode == 0)
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A source with one file, and a destination."""
    (tmp_path / "source" / "inner").mkdir(parents=True)
    (tmp_path / "source" / "inner" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "destination").mkdir()
    return tmp_path


def spec(place: Path, **fields: Any) -> RunSpec:
    """Return a run between the two."""
    values = {
        "source": f"{place}/source",
        "destination": f"{place}/destination",
        "tool_path": "/bin/sh",
    }
    return a_spec(**(values | fields))


def told(place: Path, **fields: Any) -> str:
    """Return what a run is told before it begins."""
    engine = ENGINES[fields.get("engine", "rsync")]
    return told_at_once(run_faults(spec(place, **fields), engine))


def test_a_good_run_is_told_nothing(place: Path) -> None:
    assert told(place, tool_version="3.2.7", delete_extraneous=True) == ""


@pytest.mark.parametrize(
    ("engine", "version", "fault"),
    [
        ("rsync", "3.2.2", "rsync 3.2.2 is too old: at least 3.2.3 is needed. Install rsync"),
        ("rsync", "3.2.3", ""),
        ("rsync", "3.10", ""),
        ("rsync", None, ""),
        ("rclone", "1.60.1", "rclone 1.60.1 is too old: at least 1.75.1 is needed. Run `make"),
        ("rclone", "1.75.1", ""),
    ],
)
def test_the_version_of_the_tool(place: Path, engine: str, version: str, fault: str) -> None:
    found = told(place, engine=engine, tool_version=version)
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_a_tool_that_is_missing(place: Path) -> None:
    for path in (None, f"{place}/no such tool"):
        assert told(place, tool_path=path).startswith("rsync is not installed.")


def test_all_faults_are_told_at_once(place: Path) -> None:
    (place / "destination").rmdir()
    (place / "destination").write_bytes(b"a file")
    found = told(
        place, tool_path=None, source_marker="gone", source_mount=str(place), tool_version="1"
    )
    for part in (
        "rsync is not installed.",
        "Destination: It is not a folder.",
        f"Source: There is no gone in {place}/source",
        f"Source: Nothing is mounted at {place} now.",
        "Nothing was copied and nothing was deleted.",
    ):
        assert part in found, found


def test_an_empty_source_stops_a_run_that_deletes_and_no_other(place: Path) -> None:
    (place / "source" / "inner" / "file").unlink()
    assert told(place) == ""
    assert "This job deletes what its source does not have" in told(place, delete_extraneous=True)
    assert "This job deletes its sources" in told(place, source_deletion="per_file")
    # Over failed files alone nothing is deleted.
    assert told(place, delete_extraneous=True, only_failed_of="run-0") == ""
    assert told(place, delete_extraneous=True, source="rsync://nas/backup") == ""


def test_what_counts_as_a_file(place: Path) -> None:
    source = place / "source"
    (source / "inner" / "file").unlink()
    (source / TRASH_FOLDER).mkdir()
    (source / TRASH_FOLDER / "deleted").write_bytes(b"x")
    assert not has_any_file(str(source))
    assert has_any_file(str(source / TRASH_FOLDER / "deleted")), "one file as the source"
    (source / "inner" / "dangling").symlink_to("nowhere")
    assert has_any_file(str(source))
    (source / "inner" / "dangling").unlink()
    os.mkfifo(source / "inner" / "fifo")
    assert has_any_file(str(source))


def test_the_look_for_a_file_is_bounded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "source" / "inner" / "file").unlink()
    for number in range(30):
        (place / "source" / f"folder-{number}").mkdir()
    assert not has_any_file(str(place / "source"))
    monkeypatch.setattr("core.preflight_mounts._MOST_ENTRIES", 10)
    assert has_any_file(str(place / "source")), "nobody knows, so nothing is claimed"


def test_a_marker_lies_within_the_source(place: Path) -> None:
    source = f"{place}/source"
    (place / "outside").mkdir()
    (place / "outside" / "marker").touch()
    (place / "source" / "way-out").symlink_to(place / "outside")
    (place / "source" / "dangling").symlink_to("nowhere")
    (place / "source" / "within").symlink_to("inner")
    for marker in ("inner/file", "inner", "dangling", "within/file", "inner/"):
        assert marker_fault(source, marker) is None, marker
    for marker, part in (
        ("way-out/marker", "leads out of the source"),
        ("gone", "is this the right disk"),
        ("inner/file/x", "is this the right disk"),
    ):
        fault = marker_fault(source, marker)
        assert fault is not None
        assert part in fault.message, marker
    fault = marker_fault(f"{source}/inner/file", "x")
    assert fault is not None
    assert "one file" in fault.message


def test_mount_points(place: Path) -> None:
    point = place / "point with a blank"
    assert not is_mount_point(str(place))
    assert not is_mount_point(f"{place}/missing")
    with mounted(point, "size=1m"):
        (place / "link").symlink_to(point)
        assert is_mount_point(str(point))
        assert is_mount_point(f"{place}/link")
        assert mount_fault("source_mount", str(point), f"{point}/new") is None
        (point / "leads-out").symlink_to(place)
        fault = mount_fault("source_mount", str(point), f"{point}/leads-out/source")
        assert fault is not None
        assert "does not lie on" in fault.message
    assert not is_mount_point(str(point))
    fault = mount_fault("destination_mount", str(point), str(point))
    assert fault is not None
    assert fault.field == "options.destination_mount"


def test_a_bind_mount_is_one(place: Path) -> None:
    need("root, who may mount file systems,", os.geteuid() == 0)
    point = place / "bind"
    point.mkdir()
    subprocess.run(["mount", "--bind", place / "source", point], check=True)
    try:
        assert not os.path.ismount(point), "Python alone does not see it"
        assert is_mount_point(str(point))
    finally:
        subprocess.run(["umount", point], check=True)
    assert not is_mount_point(str(point))


def test_a_destination_that_is_read_only(place: Path) -> None:
    with mounted(place / "ro", "size=1m,ro"):
        found = told(place, destination=f"{place}/ro/new")
        assert found == f"Destination: {place}/ro lies on a disk that is mounted read-only."


def test_a_destination_without_inodes(place: Path) -> None:
    with mounted(place / "few", "size=1m,nr_inodes=4") as point:
        assert told(place, destination=str(point)) == ""
        for number in range(3):
            (point / str(number)).touch()
        found = told(place, destination=str(point))
        assert found.startswith("Destination: No file can be created there: the file system has no")
        assert "no inodes left" in full_disk(str(point)).message


def test_a_full_disk_is_told_with_its_figures(place: Path) -> None:
    with mounted(place / "small", "size=1m") as point:
        (point / "filler").write_bytes(b"x" * 512 * 1024)
        assert full_disk(str(point)).message.endswith("512.0 KiB of 1.0 MiB are free.")


def check_of(
    place: Path, point: Path, totals: ScannedTotals, *, certain: bool = True, **finished: int
) -> SpaceCheck:
    """Return a check of the room that is there now."""
    return SpaceCheck(
        f"{place}/source",
        str(point),
        totals,
        room_of(str(point)),
        finished=Present(**({"files": 0, "bytes": 0} | finished)),
        is_certain=certain,
    )


def checked(
    place: Path, point: Path, totals: ScannedTotals, *, certain: bool = True, **finished: int
) -> Finding | None:
    """Return what a check of the room comes to."""
    return check_of(place, point, totals, certain=certain, **finished).step(seconds=5)


def test_the_room_at_the_destination(place: Path) -> None:
    with mounted(place / "small", "size=10m,nr_inodes=100") as point:
        assert room_of(f"{point}/new/folder").free == 10 * MEBIBYTE
        assert checked(place, point, ScannedTotals(1, 8 * MEBIBYTE)) == Finding()
        close = checked(place, point, ScannedTotals(1, 9 * MEBIBYTE + MEBIBYTE // 2))
        assert close == Finding(
            notice="Less than 10% of the destination will be left: 9.5 MiB are to be copied, "
            "and 10.0 MiB of 10.0 MiB were free when the run began."
        )
        full = checked(place, point, ScannedTotals(1, 11 * MEBIBYTE))
        assert full == Finding(
            fault="The destination has no room: 11.0 MiB are to be copied, and 10.0 MiB of "
            "10.0 MiB were free when the run began."
        )
        doubtful = checked(place, point, ScannedTotals(1, 11 * MEBIBYTE), certain=False)
        assert doubtful is not None
        assert (doubtful.fault, "may not fit" in str(doubtful.notice)) == (None, True)
        many = checked(place, point, ScannedTotals(200, 1000))
        assert many is not None
        assert str(many.fault).startswith("The destination has no room: 200 files are to be")


def test_what_is_there_already_needs_no_room(place: Path) -> None:
    source = place / "source"
    (source / "large").write_bytes(b"x" * 6 * MEBIBYTE)
    with mounted(place / "small", "size=10m") as point:
        (point / "large").write_bytes(b"y" * 6 * MEBIBYTE)
        (point / "of another").write_bytes(b"y" * MEBIBYTE)
        (point / "inner").mkdir()
        (point / "inner" / "file").write_bytes(b"longer than in the source" * 100)
        look = [one for one in present(str(source), str(point)) if one is not False]
        assert look == [Present(2, 6 * MEBIBYTE + 1000)]
        totals = ScannedTotals(2, 6 * MEBIBYTE + 1000)
        assert checked(place, point, totals) == Finding()
        assert room_of(str(point)).free < totals.bytes, "which would not do for all"
        # Unless it was brought by the transfer itself since the room was measured.
        brought = checked(place, point, totals, files=2, bytes=6 * MEBIBYTE + 1000)
        assert brought is not None
        assert brought.fault is not None


def test_one_file_that_is_there_already_needs_no_room(place: Path) -> None:
    large = place / "source" / "large"
    large.write_bytes(b"x" * 6 * MEBIBYTE)
    with mounted(place / "small", "size=10m") as point:
        (point / "large").write_bytes(b"y" * 6 * MEBIBYTE)
        assert list(present(str(large), str(point))) == [Present(1, 6 * MEBIBYTE)]
        assert list(present(str(large), f"{point}/new")) == [Present(0, 0)]


def test_a_destination_that_is_too_large_to_look_at(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.preflight_space._MOST_ENTRIES", 5)
    with mounted(place / "small", "size=10m") as point:
        for number in range(10):
            (point / str(number)).touch()
        found = checked(place, point, ScannedTotals(1, 11 * MEBIBYTE))
        assert found is not None
        assert (found.fault, "may not fit" in str(found.notice)) == (None, True)
        assert checked(place, point, ScannedTotals(1, 10 * MEBIBYTE - 1)) == Finding()


def test_a_check_goes_on_where_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.preflight_space._ENTRIES_A_STEP", 2)
    with mounted(place / "small", "size=10m") as point:
        for number in range(10):
            (point / str(number)).touch()
        totals = ScannedTotals(1, 11 * MEBIBYTE)
        check = check_of(place, point, totals)
        found = [check.step(seconds=-1) for _ in range(8)]
        assert found[:4] == [None] * 4
        assert found[-1] is not None
        assert found[-1].fault is not None


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**60, "1024.0 PiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_a_source_that_is_a_socket_is_no_folder(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{place}/s")
        assert "neither a folder nor a regular file" in told(place, source=f"{place}/s")
