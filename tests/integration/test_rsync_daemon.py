"""Proves that an rsync daemon is as good a source or destination as a folder; real ones, loopback.

What happens when the link between the two is cut is proved in tests/chaos/test_link_cut.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import (
    event_of,
    run_to_end,
    wait_for_bytes,
    wait_for_status,
)
from tests.integration.trees import (
    count_entries,
    hash_of,
    listing,
    make_hostile_tree,
    rot,
    size_of,
)
from tests.rsync_daemon import RsyncDaemon, running_daemon
from tests.support import RunningServer, make_large_file, make_tree, rsync_differences, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MEGABYTES = 24
SIZE = MEGABYTES * 1024 * 1024
THROTTLED = {"bandwidth_limit": "6M"}
QUICK = {"max_attempts": 3, "first_delay_seconds": 0.05, "max_delay_seconds": 0.1}


@pytest.fixture
def daemon(room: Path, rsync: str) -> Iterator[RsyncDaemon]:
    """A daemon with an empty module."""
    with running_daemon(room / "daemon") as running:
        yield running


def ends(daemon: RsyncDaemon, room: Path, way: str) -> tuple[Path, Path, str, str]:
    """Return both folders of a job, and both locations as they stand in it."""
    if way == "to a daemon":
        return (
            room / "from",
            daemon.module / "a/new one",
            str(room / "from"),
            daemon.url("a/new one"),
        )
    inside = daemon.module / "a b"
    return inside, room / "to/new one", daemon.url("a b"), str(room / "to/new one")


BOTH_WAYS = pytest.mark.parametrize("way", ["to a daemon", "from a daemon"])


@BOTH_WAYS
@pytest.mark.parametrize("verification", ["fast", "checksum"])
def test_a_tree_with_every_kind_of_entry_and_name(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path, way: str, verification: str
) -> None:
    source, destination, here, there = ends(daemon, room, way)
    source.mkdir(parents=True)
    make_hostile_tree(source, room / "outside")
    if os.geteuid() != 0:
        # A daemon that cannot chroot changes links that lead out of its module.
        (source / "link to outside").unlink()
    job_id = shared_server.create_job(here, there, verification=verification)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["message"], run["files_failed"]) == ("completed", None, 0)
    assert listing(destination) == listing(source)
    assert (run["files_done"], run["bytes_done"]) == (count_entries(source), size_of(source))
    assert (run["progress"]["totals"], run["progress"]["percent"]) == ("known", 100.0)
    names = [phase["name"] for phase in run["phases"]]
    settle = ["settle"] if way == "from a daemon" else []
    assert names == ["preflight", "transfer", *settle, "verify"]

    again = run_to_end(shared_server, job_id)

    assert (again["files_skipped"], again["files_failed"]) == (run["files_done"], 0)
    assert again["bytes_sent"] < 16 * 1024 + (
        0 if way == "from a daemon" else size_of(source) // 10
    )
    if verification == "checksum":
        return
    changed = next(path for path in (source / "plain").iterdir() if path.name == "-rf")
    changed.write_bytes(b"of another length")

    third = run_to_end(shared_server, job_id)

    assert third["files_done"] - third["files_skipped"] == 1
    assert listing(destination) == listing(source)


@BOTH_WAYS
def test_a_copy_that_rotted_is_found_by_contents(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path, way: str
) -> None:
    source, destination, here, there = ends(daemon, room, way)
    make_tree(source, files=5)
    job_id = shared_server.create_job(here, there, verification="checksum")
    assert run_to_end(shared_server, job_id)["outcome"] == "completed"
    victim = sorted(destination.rglob("*.dat"))[2]
    rot(victim)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["files_failed"]) == ("failed", 1)
    failures = shared_server.http.get(f"/api/v1/runs/{run['id']}/failures").json()["items"]
    assert [item["path"] for item in failures] == [str(victim.relative_to(destination))]


@BOTH_WAYS
def test_extraneous_files_go_only_when_asked_for(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path, way: str
) -> None:
    source, destination, here, there = ends(daemon, room, way)
    make_tree(source, files=30)
    (source / "left out.tmp").write_bytes(b"x")
    make_tree(destination, files=1, seed=2).joinpath("extraneous").write_bytes(b"x")
    options: dict[str, Any] = {"exclude": ["*.tmp"]}
    plain = shared_server.create_job(here, there, options=options)
    run_to_end(shared_server, plain)
    assert (destination / "extraneous").exists()
    assert not (destination / "left out.tmp").exists()

    deleting = shared_server.create_job(
        here, there, options=options | {"delete_extraneous": True}, verification="checksum"
    )
    run = run_to_end(shared_server, deleting)

    assert (run["outcome"], run["files_deleted"]) == ("completed", 1)
    assert not (destination / "extraneous").exists()


@BOTH_WAYS
def test_a_large_file_is_shown_growing_stopped_and_resumed(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path, way: str
) -> None:
    source, destination, here, there = ends(daemon, room, way)
    large = make_large_file(source / "deep [x]" / "large.bin", megabytes=MEGABYTES)
    job_id = shared_server.create_job(here, there, options=THROTTLED, verification="checksum")
    first_id = shared_server.start_job(job_id)
    progress = wait_for_bytes(shared_server, job_id, int(SIZE * 0.42))
    assert progress["current_file"] == "deep [x]/large.bin"
    assert (progress["bytes_total"], progress["files_done"]) == (SIZE, 0)
    assert 0.3 * SIZE < progress["bytes_sent"] < 0.9 * SIZE
    assert progress["bytes_per_second"] > 0

    assert shared_server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    wait_for_status(shared_server, job_id, "paused")
    assert shared_server.run(first_id)["bytes_done"] < SIZE
    assert not (destination / "deep [x]" / "large.bin").exists()

    second = run_to_end(shared_server, job_id)

    assert second["outcome"] == "completed"
    assert second["bytes_sent"] < 0.62 * SIZE
    assert second["bytes_done"] == SIZE
    assert hash_of(destination / "deep [x]" / "large.bin") == hash_of(large)
    assert rsync_differences(source, destination) == ""
    assert sorted(path.name for path in destination.rglob("*")) == ["deep [x]", "large.bin"]


def test_what_the_daemon_still_writes_is_waited_for(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path
) -> None:
    source, destination, here, there = ends(daemon, room, "to a daemon")
    large = make_large_file(source / "large.bin", megabytes=MEGABYTES)
    job_id = shared_server.create_job(here, there, options=THROTTLED)
    shared_server.start_job(job_id)
    wait_for_bytes(shared_server, job_id, int(SIZE * 0.6))
    daemon.freeze_connections()
    assert shared_server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    wait_for_status(shared_server, job_id, "paused")
    assert list(destination.glob(".large.bin.??????")), "nothing is left to be waited for"

    run_id = shared_server.start_job(job_id)
    event_of(shared_server, run_id, "helper_started")
    # The second look: the first one has found it.
    wait_until(
        lambda: len(looks(shared_server, run_id)) > 1, what="another look at the destination"
    )
    assert not [line for line in shared_server.journal(run_id) if line["event"] == "engine_started"]
    daemon.thaw_connections()
    run = shared_server.wait_for_end(run_id)

    assert run["outcome"] == "completed"
    assert run["bytes_sent"] < 0.7 * SIZE
    assert hash_of(destination / "large.bin") == hash_of(large)


def looks(server: RunningServer, run_id: str) -> list[dict[str, Any]]:
    """Return the looks at a destination that stand in a run's journal."""
    return [line for line in server.journal(run_id) if line.get("purpose", "").startswith("look")]


def test_a_daemon_that_is_restarted_is_no_more_than_another_attempt(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path
) -> None:
    source, destination, here, there = ends(daemon, room, "to a daemon")
    make_large_file(source / "large.bin", megabytes=MEGABYTES)
    job_id = shared_server.create_job(here, there, options=THROTTLED)
    run_id = shared_server.start_job(job_id)
    wait_for_bytes(shared_server, job_id, int(SIZE * 0.6))

    daemon.stop()
    wait_until(lambda: " of 10, next in " in (shared_server.run(run_id)["message"] or ""))
    before = shared_server.run(run_id)["bytes_sent"]
    daemon.start()
    run = shared_server.wait_for_end(run_id)

    assert run["outcome"] == "completed"
    assert run["attempts"] > 1
    assert rsync_differences(source, destination) == ""
    assert run["bytes_sent"] - before < 0.9 * SIZE, "it began from nothing"


@pytest.mark.parametrize(
    ("way", "module", "path", "words"),
    [
        ("to a daemon", "other", "x", "The rsync daemon refused: Unknown module 'other'."),
        ("to a daemon", "archive", "x", "The rsync daemon refused: module is read only."),
        ("from a daemon", "gone", "", "The rsync daemon refused: chdir failed."),
        ("from a daemon", "archive", "no/such", "Source: there is no such folder on the rsync"),
        ("from a daemon", "backup", "no/such", "Source: there is no such folder on the rsync"),
        ("from a daemon", "archive", "file", "Source: there is no such folder on the rsync"),
    ],
)
def test_what_cannot_help_is_not_tried_again(
    shared_server: RunningServer,
    daemon: RsyncDaemon,
    room: Path,
    way: str,
    module: str,
    path: str,
    words: str,
) -> None:
    (daemon.module / "file").write_bytes(b"a file")
    here, there = str(make_tree(room / "from", files=3)), daemon.url(path, module=module)
    if way == "from a daemon":
        here, there = there, str(room / "to")
    job_id = shared_server.create_job(here, there, retry=QUICK, verification="fast")

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["attempts"]) == ("failed", 1)
    assert words in run["message"]
    assert shared_server.state(job_id)["message"] == run["message"]


@BOTH_WAYS
@pytest.mark.parametrize("what", ["nobody listens", "the daemon is full"])
def test_what_may_pass_is_tried_again_before_the_run_fails(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path, way: str, what: str
) -> None:
    _, _, here, there = ends(daemon, room, way)
    make_tree(room / "from", files=3)
    if what == "nobody listens":
        daemon.stop()
    else:
        here, there = (place.replace("/backup/", "/full/") for place in (here, there))
    job_id = shared_server.create_job(here, there, retry=QUICK)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["attempts"]) == ("failed", 3)
    words = {
        "nobody listens": "The connection failed.",
        "the daemon is full": "The rsync daemon refused: max connections (-1) reached",
    }
    assert words[what] in run["message"]
    retries = [
        line for line in shared_server.journal(run["id"]) if line["event"] == "retry_scheduled"
    ]
    assert [line["next_attempt"] for line in retries] == [2, 3]
    assert {line["reason"] for line in retries} == {run["message"]}


def test_discarding_leaves_alone_what_a_daemon_keeps(
    shared_server: RunningServer, daemon: RsyncDaemon, room: Path
) -> None:
    source, destination, here, there = ends(daemon, room, "to a daemon")
    make_large_file(source / "large.bin", megabytes=8)
    job_id = shared_server.create_job(here, there, options={"bandwidth_limit": "2M"})
    shared_server.start_job(job_id)
    wait_for_bytes(shared_server, job_id, 2 * 1024 * 1024)
    assert shared_server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    wait_for_status(shared_server, job_id, "paused")

    answer = shared_server.http.post(f"/api/v1/jobs/{job_id}/discard")

    assert (answer.status_code, answer.json()["state"]["status"]) == (200, "pending")
    assert run_to_end(shared_server, job_id)["outcome"] == "completed"
    assert rsync_differences(source, destination) == ""


def test_a_daemon_is_refused_for_rclone_in_words(shared_server: RunningServer, room: Path) -> None:
    definition = {
        "name": "A job",
        "engine": "rclone",
        "source": str(make_tree(room / "from", files=1)),
        "destination": "rsync://nas/backup",
    }
    answer = shared_server.http.post("/api/v1/jobs", json=definition)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["field"] == "destination"
    assert "Choose the engine rsync for this location." in fault["message"]


@pytest.mark.parametrize("field", ["source", "destination"])
def test_the_folder_browser_of_a_field_with_a_url_opens_at_the_top(
    shared_server: RunningServer, field: str
) -> None:
    answer = shared_server.http.get(
        "/folders", params={"field": field, "path": "rsync://nas/backup/x"}
    )
    assert answer.status_code == 200
    assert "data-browser-use" in answer.text
