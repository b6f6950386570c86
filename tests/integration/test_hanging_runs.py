"""Proves with a disk that really hangs that no run begins that cannot be judged: it is tried again
as one whose link was cut, hears a stop meanwhile, and runs of other disks know nothing of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.deleting_runs import moved_aside
from tests.hanging import HangingDisk, hanging_disk
from tests.spec_runs import SpecRun
from tests.support import make_large_file, make_tree, rsync_differences, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HangingDisk]:
    """One that hangs, over a folder with files, which are there once it is let go of."""
    make_tree(tmp_path / "dead" / "photos", files=3)
    with hanging_disk(tmp_path / "dead") as disk:
        yield disk


def run_of(disk: HangingDisk, **fields: Any) -> SpecRun:
    """Return a run from the disk that hangs to one that does not, which waits for a second."""
    place = disk.path.parent
    values: dict[str, Any] = {
        "source": f"{disk.path}/photos",
        "destination": f"{place}/to",
        "timeout_seconds": 1,
        "max_attempts": 2,
        "allowed_roots": (str(disk.path), str(place)),
    }
    return SpecRun(place / "run", **(values | fields))


@pytest.mark.parametrize("roots", [(), None])
def test_a_run_that_cannot_be_judged_does_not_begin(
    disk: HangingDisk, roots: tuple[str, ...] | None
) -> None:
    run = run_of(disk, **({"allowed_roots": roots} if roots is not None else {}))
    result = run.perform()
    assert result["outcome"] == "failed"
    assert result["message"].startswith(f"{disk.path} does not answer: is its disk")
    assert len(run.journal("retry_scheduled")) == 1
    assert run.journal("engine_started") == []
    assert not (disk.path.parent / "to").exists()


def waited_for(disk: HangingDisk, run: SpecRun, *, is_dead: bool) -> None:
    """Have a run wait for a disk that hangs, or says that it is gone, and come to a good end."""
    if is_dead:
        disk.die()
    run.start()
    wait_until(lambda: bool(run.journal("retry_scheduled")), what="the second attempt")
    disk.let_go()
    assert run.result()["outcome"] == "completed", run.result()["message"]


@pytest.mark.parametrize("is_dead", [False, True])
def test_it_begins_once_the_disk_answers(disk: HangingDisk, is_dead: bool) -> None:
    waited_for(disk, run_of(disk, max_attempts=20), is_dead=is_dead)
    assert rsync_differences(disk.path / "photos", disk.path.parent / "to") == ""


@pytest.mark.parametrize("is_dead", [False, True])
def test_what_a_killed_run_had_moved_aside_is_put_back_once_the_disk_answers(
    tmp_path: Path, is_dead: bool
) -> None:
    source = make_large_file(tmp_path / "dead" / "photos" / "only.bin", megabytes=1).parent
    with moved_aside(source, b"only.bin"):
        pass  # And killed.
    assert not (source / "only.bin").exists()
    with hanging_disk(tmp_path / "dead") as disk:
        deletion = {"source_deletion": "per_file", "verification": "checksum"}
        run = run_of(disk, max_attempts=20, **deletion)
        waited_for(disk, run, is_dead=is_dead)
    assert (tmp_path / "to" / "only.bin").stat().st_size == 1024 * 1024
    assert run.ended()["sources_deleted"] == 1


def slow_run_to(place: Path, **fields: Any) -> tuple[SpecRun, psutil.Process]:
    """Have a run write a file of six seconds to a folder; returns it and its tool, which has that
    folder open."""
    source = make_large_file(place.parent / "from" / "large.bin", megabytes=6).parent
    run = SpecRun(
        place.parent / "run",
        source=str(source),
        destination=f"{place}/to",
        max_attempts=20,
        bandwidth_limit=1024 * 1024,
        expected_bytes=6 * 1024 * 1024,  # With totals of the last run the scan is not due at once.
        expected_files=1,
        allowed_roots=(str(place), str(source)),
        **fields,
    )
    run.start()
    wait_until(lambda: bool(run.journal("engine_started")), what="the first attempt")
    tool = psutil.Process(run.journal("engine_started")[0]["engine"]["pid"])
    wait_until(
        lambda: any(line["progress"]["current_file"] for line in run.journal("progress")),
        what="the first bytes",
    )
    return run, tool


def test_no_attempt_goes_on_beside_the_next_one(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    run, first = slow_run_to(place, timeout_seconds=1)
    # The tool goes on; the look before the scan is what hangs.
    with hanging_disk(place) as disk:
        wait_until(lambda: bool(run.journal("retry_scheduled")), what="the second attempt")
        disk.let_go()
        wait_until(lambda: len(run.journal("engine_started")) > 1, what="its tool")
        assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    assert run.result(seconds=60)["outcome"] == "completed", run.result()["message"]
    assert rsync_differences(tmp_path / "from", place / "to") == ""


def test_what_was_cut_off_is_taken_up_once_the_disk_answers(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    # Longer than a busy machine lets a tool wait that is well.
    run, tool = slow_run_to(place, timeout_seconds=3)
    wait_until(
        lambda: any(part.stat().st_size > 1024 * 1024 for part in (place / "to").iterdir()),
        what="enough of it",
    )
    with hanging_disk(place) as disk:
        for process in tool.children(recursive=True):
            process.suspend()  # It is killed for its silence, and can tidy up nothing.
        wait_until(lambda: bool(run.journal("retry_scheduled")), what="the second attempt")
        disk.let_go()
    assert run.result(seconds=60)["outcome"] == "completed", run.result()["message"]
    assert rsync_differences(tmp_path / "from", place / "to") == ""
    ended, progress = run.ended(), run.journal("progress")[-1]["progress"]
    assert progress["attempt"] == ended["attempts"] > 1
    assert progress["bytes_sent"] < 6.5 * 1024 * 1024, "it began from nothing"


def test_a_stop_is_heard_while_it_waits(disk: HangingDisk) -> None:
    run = run_of(disk, timeout_seconds=300)
    run.start()
    wait_until(lambda: bool(run.journal("phase_started")), what="the preflight")
    os.kill(run.journal("run_started")[0]["runner"]["pid"], signal.SIGTERM)
    assert run.result(seconds=10)["outcome"] == "paused"


def test_another_allowed_folder_that_hangs_is_none_of_its_business(disk: HangingDisk) -> None:
    make_tree(disk.path.parent / "from", files=2)
    run = run_of(disk, source=f"{disk.path.parent}/from", timeout_seconds=300)
    assert run.perform()["outcome"] == "completed", run.result()["message"]
