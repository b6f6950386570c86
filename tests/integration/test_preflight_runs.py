"""Proves with real tools and small real disks what a run says before it has done much."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.integration.trees import size_of
from tests.rsync_daemon import running_daemon
from tests.spec_runs import SpecRun
from tests.support import make_large_file, make_tree, rsync_differences, tree_of

MEBIBYTE = 1024 * 1024
ENGINES = {"rsync": None, "rclone": str(Path(sys.executable).parent / "rclone")}
pytestmark = pytest.mark.usefixtures("rsync")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB and 300 inodes."""
    need("root, who may mount file systems,", os.geteuid() == 0)
    point = tmp_path / "disk"
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=300", "tmpfs", str(point)]
    tried = subprocess.run(command, capture_output=True)
    need("a mount of a tmpfs", tried.returncode == 0)
    yield point
    subprocess.run(["umount", "--lazy", point], capture_output=True)


def perform(place: Path, name: str, engine: str = "rsync", **fields: Any) -> SpecRun:
    """Perform a run from `from` to the disk."""
    tool = {} if ENGINES[engine] is None else {"tool_path": ENGINES[engine]}
    values = {"source": str(place / "from"), "destination": str(place / "disk" / "copy")}
    run = SpecRun(place / name, **(values | {"engine": engine} | tool | fields))
    run.start()
    run.result()
    return run


def notices(run: SpecRun) -> list[str]:
    """Return what a person should know of a run."""
    return [line["message"] for line in run.journal("noticed")]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_copy_that_cannot_fit_is_stopped_early_with_the_figures(
    tmp_path: Path, disk: Path, engine: str
) -> None:
    for number in range(6):
        make_large_file(tmp_path / "from" / f"{number}.bin", megabytes=4, seed=number)
    run = perform(tmp_path, "run", engine, bandwidth_limit=4 * MEBIBYTE)
    result = run.result()
    assert (result["outcome"], result["attempts"]) == ("failed", 1)
    assert "The destination has no room: 2" in result["message"]
    assert "MiB are to be copied, and 1" in result["message"]
    assert result["message"].endswith("MiB of 16.0 MiB were free when the run began.")
    assert result["progress"]["bytes_done"] <= 6 * MEBIBYTE


def test_after_a_run_whose_totals_are_known_nothing_is_copied_at_all(
    tmp_path: Path, disk: Path
) -> None:
    for number in range(6):
        make_large_file(tmp_path / "from" / f"{number}.bin", megabytes=4, seed=number)
    expected: dict[str, Any] = {"expected_bytes": 24 * MEBIBYTE, "expected_files": 6}
    run = perform(tmp_path, "run", **expected)
    assert "The destination has no room: 24.0 MiB" in run.result()["message"]
    assert run.journal("engine_started") == []
    assert size_of(disk) == 0
    # The source has become smaller since: an estimate alone stops nothing.
    for number in range(3):
        (tmp_path / "from" / f"{number}.bin").unlink()
    run = perform(tmp_path, "smaller", **expected)
    assert run.result()["outcome"] == "completed"
    assert not rsync_differences(tmp_path / "from", disk / "copy")


def test_what_is_there_already_needs_no_room(tmp_path: Path, disk: Path) -> None:
    for number in range(3):
        make_large_file(tmp_path / "from" / f"{number}.bin", megabytes=4, seed=number)
    assert perform(tmp_path, "first").result()["outcome"] == "completed"
    again = perform(tmp_path, "second", expected_bytes=12 * MEBIBYTE, expected_files=3)
    assert again.result()["outcome"] == "completed"
    assert notices(again) == []


def test_what_rclone_sets_aside_is_no_want_of_room(tmp_path: Path, disk: Path) -> None:
    for number in range(4):
        make_large_file(tmp_path / "from" / f"{number}.bin", megabytes=3, seed=number)
    run = perform(tmp_path, "run", "rclone", bandwidth_limit=12 * MEBIBYTE)
    assert run.result()["outcome"] == "completed", run.result()
    assert notices(run) == []


def test_a_disk_that_becomes_nearly_full_is_told_of(tmp_path: Path, disk: Path) -> None:
    make_large_file(tmp_path / "from" / "large.bin", megabytes=15)
    run = perform(tmp_path, "run", bandwidth_limit=20 * MEBIBYTE)
    assert run.result()["outcome"] == "completed"
    (notice,) = notices(run)
    assert notice.startswith("Less than 10% of the destination will be left: ")
    assert notice.endswith("MiB of 16.0 MiB were free when the run began.")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_disk_without_inodes_is_told_of_as_such(tmp_path: Path, disk: Path, engine: str) -> None:
    make_tree(tmp_path / "from", files=600, largest=2000)
    run = perform(tmp_path, "run", engine)
    result = run.result()
    assert result["outcome"] == "failed"
    assert "inodes" in result["message"]
    again = perform(tmp_path, "again", engine).result()
    assert again["outcome"] == "failed"
    # None is left, or the one that a file under way gave back.
    assert re.search("no inodes left|had inodes for [0-9]+ more", again["message"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_disk_that_fills_up_is_told_of_with_its_figures(
    tmp_path: Path, disk: Path, engine: str
) -> None:
    make_large_file(tmp_path / "from" / "large.bin", megabytes=20)
    result = perform(tmp_path, "run", engine).result()
    assert (result["outcome"], result["attempts"]) == ("failed", 1)
    assert "of 16.0 MiB " in result["message"]
    assert "The destination" in result["message"]


def test_an_empty_source_on_another_machine_deletes_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path / "copy", files=20)
    before = tree_of(tmp_path / "copy")
    with running_daemon(tmp_path / "daemon") as daemon:
        fields = {"source": daemon.url(), "destination": str(tmp_path / "copy")}
        run = perform(tmp_path, "run", delete_extraneous=True, **fields)
        result = run.result()
        assert result["outcome"] == "failed"
        assert result["message"].startswith("Source: The source is empty: is its disk mounted?")
        assert result["message"].endswith("Nothing was copied and nothing was deleted.")
        assert tree_of(tmp_path / "copy") == before
        (daemon.module / "one file").write_bytes(b"x")
        run = perform(tmp_path, "with a file", delete_extraneous=True, **fields)
        assert (run.result()["outcome"], run.result()["files_deleted"]) == ("completed", 20)


def test_a_tool_that_is_too_old_is_not_started(tmp_path: Path) -> None:
    make_tree(tmp_path / "from", files=2)
    run = perform(tmp_path, "run", tool_version="3.1.0", destination=str(tmp_path / "to"))
    assert "rsync 3.1.0 is too old" in run.result()["message"]
    assert not (tmp_path / "to").exists()


def test_a_disk_that_is_full_is_told_of_though_the_tool_lost_its_last_words(
    tmp_path: Path, disk: Path, rsync: str
) -> None:
    tool = tmp_path / "rsync"
    tool.write_text(f'#!/bin/sh\n"{rsync}" "$@" 2>/dev/null\n')
    tool.chmod(0o755)
    make_large_file(tmp_path / "from" / "large.bin", megabytes=20)
    # With hard links the scan alone is not sure enough to end a run.
    result = perform(tmp_path, "run", "rsync", tool_path=str(tool), hard_links=True).result()
    assert (result["outcome"], result["attempts"]) == ("failed", 1)
    assert "of 16.0 MiB " in result["message"]
