"""Proves of remotes what `test_rclone_remotes.py` does not: dry runs, and going on in a bucket."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.integration.test_dry_run import announced, done_between, dry_run, listed, picture
from tests.rclone_server import RcloneServer, running_servers, write_configuration
from tests.support import RunningServer, make_large_file, make_tree, wait_until

KINDS = ("s3", "webdav")
MEGABYTE = 1024 * 1024
FILES = 8
pytestmark = pytest.mark.integration


class Remotes(NamedTuple):
    """Two kinds of servers, and a dashboard that knows the remotes that lead to them."""

    of: dict[str, RcloneServer]
    server: RunningServer


@pytest.fixture(scope="module")
def remotes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remotes]:
    """Servers and dashboard for the tests of this module."""
    root = tmp_path_factory.mktemp("remotes")
    with running_servers(root, *KINDS) as servers:
        sections = {kind: one.section() for kind, one in servers.items()}
        config = write_configuration(root / "rclone.conf", sections)
        server = RunningServer(root / "data", LONGSHORE_RCLONE_CONFIG=str(config))
        with ended_server(server):
            yield Remotes(servers, server)


def differences(source: Path, copy: Path) -> str:
    """Return how two folders differ, by an independent tool; not all servers keep times."""
    argv = ["diff", "-r", "--no-dereference", str(source), str(copy)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_announces_what_the_run_then_does(
    remotes: Remotes, room: Path, kind: str
) -> None:
    target = remotes.of[kind]
    source, there = make_tree(room / "from", files=12), target.top / "announced"
    # That server now and then loses one of several files that come at once to a new folder.
    options = {"delete_extraneous": True, "transfers": 1}
    job_id = remotes.server.create_job(
        source, target.url("announced"), engine="rclone", options=options
    )
    assert run_to_end(remotes.server, job_id)["outcome"] == "completed"
    changed, gone, *_ = sorted(source.rglob("*.dat"))
    changed.write_bytes(b"of another length")
    gone.unlink()
    (source / "new").write_bytes(b"new")
    before = picture(there)

    dry = dry_run(remotes.server, job_id)

    assert (dry["outcome"], dry["message"], picture(there)) == ("completed", None, before)
    run = run_to_end(remotes.server, job_id)
    assert (run["outcome"], run["files_deleted"]) == ("completed", 1)
    items = listed(remotes.server, dry["id"])
    told = {kind: announced(items, kind) for kind in ("create", "update", "delete")}
    assert told == done_between(before, picture(there))
    assert [len(paths) for paths in told.values()] == [1, 1, 1]
    assert differences(source, there) == ""


def test_a_stopped_copy_to_a_bucket_goes_on_by_file(remotes: Remotes, room: Path) -> None:
    target = remotes.of["s3"]
    source, there = room / "from", target.top / "stopped"
    for number in range(FILES):
        make_large_file(source / f"{number}.bin", megabytes=1, seed=number)
    options = {"bandwidth_limit": "3M", "transfers": 1}
    job_id = remotes.server.create_job(
        source, target.url("stopped"), engine="rclone", options=options
    )
    run_id = remotes.server.start_job(job_id)
    wait_until(lambda: len(list(there.glob("*.bin"))) > FILES // 2, what="more than half of them")

    assert remotes.server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    assert remotes.server.wait_for_end(run_id)["outcome"] == "paused"
    wait_for_status(remotes.server, job_id, "paused")
    resumed = run_to_end(remotes.server, job_id)

    assert (resumed["outcome"], resumed["bytes_done"]) == ("completed", FILES * MEGABYTE)
    assert resumed["bytes_sent"] < FILES * MEGABYTE // 2
    assert differences(source, there) == ""
