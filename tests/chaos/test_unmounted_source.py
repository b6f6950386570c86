"""The drill: a job that deletes, and a source whose disk is gone. Nothing may be deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.spec_runs import SpecRun
from tests.support import RunningServer, make_tree, tree_of

ENGINES = {"rsync": "rsync", "rclone": str(Path(sys.executable).parent / "rclone")}
MARKER = ".this-is-the-disk"
pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]


@contextmanager
def mounted_tmpfs(point: Path) -> Iterator[None]:
    """Mount an empty file system in memory, and leave nothing of it."""
    point.mkdir(exist_ok=True)
    need("root, who may mount file systems,", os.geteuid() == 0)
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", point], capture_output=True
    )
    need("a mount of a tmpfs", tried.returncode == 0)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", point], capture_output=True)


def run_over(place: Path, engine: str, number: int, **fields: Any) -> SpecRun:
    """Return a run that deletes at the destination, begun and not yet ended."""
    run = SpecRun(
        place / f"run-{number}",
        source=str(place / "disk"),
        destination=str(place / "copy"),
        engine=engine,
        tool_path=shutil.which(ENGINES[engine]),
        **{"delete_extraneous": True, **fields},
    )
    run.start()
    return run


EXPECTED: list[tuple[dict[str, Any], str]] = [
    ({}, "The source is empty: is its disk mounted?"),
    ({"source_marker": MARKER}, f"There is no {MARKER} in "),
    ({"source_mount": "disk"}, "Nothing is mounted at "),
    ({"source_marker": MARKER, "source_mount": "disk"}, "is this the right disk, and is it"),
    ({"delete_extraneous": False, "source_mount": "disk"}, "Nothing is mounted at "),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unmounted_source_deletes_nothing(
    tmp_path: Path, engine: str, tell: Callable[[str], None]
) -> None:
    need(engine, shutil.which(ENGINES[engine]))
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    options = [
        ({k: str(disk) if v == "disk" else v for k, v in fields.items()}, told)
        for fields, told in EXPECTED
    ]
    with mounted_tmpfs(disk):
        make_tree(disk, files=60)
        (disk / MARKER).touch()
        for number, (fields, _) in enumerate(options):
            good = run_over(tmp_path, engine, number, **fields).result()
            assert good["outcome"] == "completed", good
    before = tree_of(copy)
    assert len(before) > 60
    assert not list(disk.iterdir()), "it is the empty folder beneath the mount"
    for number, (fields, told) in enumerate(options, start=100):
        result = run_over(tmp_path, engine, number, **fields).result()
        assert (result["outcome"], result["files_deleted"]) == ("failed", 0)
        assert told in result["message"]
        assert result["message"].endswith("Nothing was copied and nothing was deleted.")
        assert tree_of(copy) == before, fields
    disk.rmdir()
    result = run_over(tmp_path, engine, 200).result()
    assert "There is no such file or folder" in result["message"]
    assert tree_of(copy) == before
    tell(f"{engine}: {len(options) + 1} runs over an unmounted source, 0 files deleted")


def test_a_disk_that_holds_other_folders_only_is_taken_for_the_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)
    make_tree(tmp_path / "copy", files=20)
    before = tree_of(tmp_path / "copy")
    result = run_over(tmp_path, "rsync", 1).result()
    assert "The source is empty" in result["message"]
    assert tree_of(tmp_path / "copy") == before
    # A job that deletes nothing may well copy an empty folder.
    result = run_over(tmp_path, "rsync", 2, delete_extraneous=False).result()
    assert result["outcome"] == "completed"


def test_an_unmounted_destination_is_not_written_to(tmp_path: Path) -> None:
    make_tree(tmp_path / "disk", files=5)
    point = tmp_path / "nas"
    with mounted_tmpfs(point):
        fields = {"destination": str(point / "new" / "copy"), "destination_mount": str(point)}
        spec = {"source": str(tmp_path / "disk"), **fields}
        assert SpecRun(tmp_path / "good", **spec).perform()["outcome"] == "completed"
    result = SpecRun(tmp_path / "gone", **spec).perform()
    assert result["outcome"] == "failed"
    assert f"Destination: Nothing is mounted at {point} now." in result["message"]
    assert not list(point.iterdir()), "the root disk was written to"


def test_the_job_and_its_run_say_why(server: RunningServer, tmp_path: Path) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    with mounted_tmpfs(disk):
        make_tree(disk, files=5)
        options = {"delete_extraneous": True, "source_mount": str(disk)}
        job_id = server.create_job(disk, copy, options=options)
        assert server.wait_for_end(server.start_job(job_id))["outcome"] == "completed"
    before = tree_of(copy)
    run = server.wait_for_end(server.start_job(job_id))
    assert (run["outcome"], run["files_deleted"]) == ("failed", 0)
    assert f"Nothing is mounted at {disk} now." in run["message"]
    assert "Nothing is mounted at" in server.http.get(f"/runs/{run['id']}").text
    assert tree_of(copy) == before
    definition = {
        "name": "Again",
        "engine": "rsync",
        "source": str(disk),
        "destination": str(copy),
        "options": options,
    }
    answer = server.http.post("/api/v1/jobs", json=definition)
    assert answer.status_code == 422, answer.text
    assert [fault["field"] for fault in answer.json()["errors"]] == ["options.source_mount"]
