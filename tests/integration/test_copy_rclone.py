"""Proves the same of rclone as of rsync: identical copies, true figures, stop and start again.

And, for both engines, that a copy which rotted unseen is found by a verification of contents.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.running import processes_of, run_to_end, wait_for_status
from tests.integration.trees import (
    HOSTILE_NAMES,
    count_entries,
    differences_beneath,
    listing,
    size_of,
)
from tests.support import (
    RunningServer,
    make_large_file,
    make_tree,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MEGABYTE = 1024 * 1024


def make_ordinary_tree(root: Path) -> Path:
    """Make a tree of what rclone can copy: no FIFO, no setuid bit, room in names for its own."""
    make_tree(root, files=150)
    for name in HOSTILE_NAMES:
        if len(name) < 200:
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
