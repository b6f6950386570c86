"""Proves the same of rclone as of rsync: identical copies, true figures, stop and start again.

And, for both engines, that a copy which rotted unseen is found by a verification of contents.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.integration.running import processes_of, run_to_end, wait_for_status
from tests.integration.trees import (
    HOSTILE_NAMES,
    count_entries,
    differences_beneath,
    listing,
    make_hostile_tree,
    size_of,
)
from tests.spec_runs import SpecRun
from tests.support import (
    RunningServer,
    make_large_file,
    make_tree,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MEGABYTE = 1024 * 1024


def make_ordinary_tree(root: Path) -> Path:
    """Make a tree of what rclone can copy."""
    make_tree(root, files=150)
    for name in HOSTILE_NAMES:
        (root / os.fsdecode(name)).write_bytes(name)
    (root / "empty folder").mkdir()
    (root / "dangling").symlink_to("no such file")
    (root / "link to folder").symlink_to("folder 000")
    (root / "read-only").write_bytes(b"read-only")
    (root / "read-only").chmod(0o400)
    return root


@pytest.mark.parametrize("verification", ["off", "fast", "checksum"])
def test_rclone_copies_a_tree_as_it_is_and_then_nothing(
    shared_server: RunningServer, room: Path, verification: str
) -> None:
    source, destination = make_ordinary_tree(room / "from"), room / "to" / "be made"
    entries = count_entries(source)
    job_id = shared_server.create_job(
        source, destination, engine="rclone", verification=verification
    )

    first, second = (run_to_end(shared_server, job_id) for _ in range(2))

    assert (first["outcome"], first["message"]) == ("completed", None)
    assert differences_beneath(source, destination) == ""
    assert listing(source) == listing(destination)
    for run in (first, second):
        assert run["files_done"] == run["progress"]["files_total"] == entries
        assert run["progress"]["percent"] == 100
    assert first["bytes_sent"] >= size_of(source) * 0.9
    assert second["outcome"] == "completed"
    assert second["files_skipped"] == entries
    assert second["bytes_sent"] < size_of(source) / 100


RCLONES_OWN_SIGNS = (
    "\u201bq",
    "\u201b\u201bq",
    "\u240a",
    "\u201b\u240a",
    "a\uff0fb",
    "\uff0e",
    "\x7f",
)
"""Names that rclone's default encoding confuses with others."""


def test_rclone_copies_the_hostile_tree_as_it_is_and_names_what_it_cannot(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    source.mkdir()
    make_hostile_tree(source, room / "outside")
    # rclone keeps no bit that gives a program another user's rights.
    (source / "setuid").chmod(0o755)
    for sign in RCLONES_OWN_SIGNS:
        (source / sign).write_text(sign)
    (source / "folder 1").mkdir()
    (source / "folder 1" / "no link \udcff.rclonelink").write_text("/etc")
    job_id = shared_server.create_job(
        source, destination, engine="rclone", retry={"max_attempts": 1}
    )

    run = run_to_end(shared_server, job_id)

    left_out = [one for one in listing(source) if "rclonelink" in one]
    assert len(left_out) == 1
    assert sorted([*listing(destination), *left_out]) == listing(source)
    assert (run["outcome"], run["files_failed"], run["files_special"]) == ("warning", 1, 1)
    http = shared_server.http
    (failed,) = http.get(f"/api/v1/runs/{run['id']}/failures").json()["items"]
    assert failed["path"] == "folder 1/no link \\xff.rclonelink"
    assert "keeps the ending .rclonelink for symbolic links" in failed["reason"]
    (skipped,) = http.get(f"/api/v1/runs/{run['id']}/skipped").json()["items"]
    assert skipped == {"path": "fifo", "kind": "fifo"}
    told = [line for line in shared_server.journal(run["id"]) if line["event"] == "file_failed"]
    assert [line["name"] for line in told] == ["folder 1/no link \udcff.rclonelink"]


def test_only_the_files_that_failed_are_tried_again(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    make_tree(source, files=5)
    destination.mkdir()
    odd = ("new\nline", "not utf-8 \udcff", "-rf", "\u201bq", " # blank ", "n" * 255)
    for name in odd:
        (source / name).write_text(f"contents of {name!a}")
        # A folder in its place: the file cannot be written.
        (destination / name / "in the way").mkdir(parents=True)
    (source / "a link").symlink_to("nowhere")
    (destination / "a link" / "in the way").mkdir(parents=True)
    job_id = shared_server.create_job(
        source, destination, engine="rclone", retry={"max_attempts": 1}
    )
    failed = run_to_end(shared_server, job_id)
    assert (failed["outcome"], failed["files_failed"]) == ("warning", len(odd) + 1)
    for name in (*odd, "a link"):
        shutil.rmtree(destination / name)
    (source / "added later").write_text("no part of what failed")

    answer = shared_server.http.post(f"/api/v1/runs/{failed['id']}/retry-failed")
    assert answer.status_code == 202, answer.text
    again = shared_server.wait_for_end(answer.json()["run_id"])

    assert (again["outcome"], again["files_done"]) == ("completed", len(odd) + 1)
    assert not (destination / "added later").exists()
    (source / "added later").unlink()
    assert differences_beneath(source, destination) == ""


def test_rclone_stopped_and_started_again_goes_on_by_file(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    for number in range(8):
        make_large_file(source / f"{number}.bin", megabytes=1, seed=number)
    options = {"bandwidth_limit": "3M"}
    job_id = shared_server.create_job(source, destination, engine="rclone", options=options)
    run_id = shared_server.start_job(job_id)
    wait_until(lambda: len(list(destination.glob("*.bin"))) >= 4, what="four whole files")
    group = next(
        line["engine"]["pid"]
        for line in shared_server.journal(run_id)
        if line["event"] == "engine_started"
    )

    assert shared_server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    stopped = shared_server.wait_for_end(run_id)

    assert stopped["outcome"] == "paused"
    assert processes_of(run_id, group=group) == []
    assert wait_for_status(shared_server, job_id, "paused")["message"]
    for path in destination.glob("*.bin"):
        assert path.stat().st_size == MEGABYTE, "a cut file stands under its final name"

    resumed = run_to_end(shared_server, job_id)

    assert resumed["outcome"] == "completed"
    assert resumed["bytes_sent"] < 0.6 * 8 * MEGABYTE
    assert resumed["bytes_done"] == 8 * MEGABYTE
    assert differences_beneath(source, destination) == ""
    assert count_entries(destination) == 8, "partial files were left"


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_a_copy_that_rotted_is_found_by_contents_and_not_by_size_and_time(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = make_tree(room / "from", files=30), room / "to"
    by_time, by_contents = (
        shared_server.create_job(source, destination, engine=engine, verification=verification)
        for verification in ("fast", "checksum")
    )
    run_to_end(shared_server, by_contents)
    victim = next(iter(sorted(destination.rglob("*.dat"))))
    found = victim.stat()
    contents = victim.read_bytes()
    victim.write_bytes(bytes([contents[0] ^ 1]) + contents[1:])
    os.utime(victim, ns=(found.st_atime_ns, found.st_mtime_ns))

    fast, checksum = (run_to_end(shared_server, job_id) for job_id in (by_time, by_contents))

    assert fast["outcome"] == "completed"
    assert (checksum["outcome"], checksum["files_failed"]) == ("failed", 1)
    answer = shared_server.http.get(f"/api/v1/runs/{checksum['id']}/failures").json()
    assert [item["path"] for item in answer["items"]] == [str(victim.relative_to(destination))]


def test_a_filter_that_rclone_does_not_accept_fails_the_run(
    server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=5)
    job_id = server.create_job(
        source, room / "to", engine="rclone", verification="checksum", options={"exclude": ["{a"]}
    )
    run = run_to_end(server, job_id)
    assert run["outcome"] == "failed"
    assert server.state(job_id)["last_good_at"] is None
    assert not any((room / "to").iterdir())


@pytest.mark.parametrize("has_copy", [False, True])
def test_a_scan_is_spared_where_rclones_own_figures_tell_all(
    tmp_path: Path, *, has_copy: bool
) -> None:
    source = make_tree(tmp_path / "from", files=30)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    if has_copy:
        shutil.copytree(source, tmp_path / "to")
    # With an estimate, as every run but a job's first has one, and a wrong one.
    run = SpecRun(
        tmp_path / "run",
        source=str(source),
        destination=str(tmp_path / "to"),
        engine="rclone",
        tool_path=str(Path(sys.executable).parent / "rclone"),
        expected_files=29,
        expected_bytes=size - 1,
    )

    result = run.perform()

    assert result["outcome"] == "completed"
    assert [line["purpose"] for line in run.journal("helper_started")] == ["scan"] * has_copy
    progress = result["progress"]
    assert (progress["files_total"], progress["bytes_total"]) == (30, size)
    assert (progress["files_skipped"], progress["totals"]) == (30 * has_copy, "known")
