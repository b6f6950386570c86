"""Proves that a tree with everything hostile in it comes out byte-identical with both engines, and
that what could not be copied is named, on the run's page and in the API."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running import run_to_end
from tests.integration.trees import (
    MOST_PATH_BYTES,
    deep_listing,
    make_deep_folders,
    make_hostile_tree,
    make_special_files,
)
from tests.spec_runs import SpecRun
from tests.support import RunningServer, make_large_file, make_tree, wait_until

ENGINES = {"rsync": None, "rclone": str(Path(sys.executable).parent / "rclone")}
LONG_AGO = 1_000_000_000
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]


@pytest.fixture
def hostile(room: Path) -> Path:
    """A source with all of it but what no engine can copy."""
    source = room / "from"
    source.mkdir()
    make_hostile_tree(source, room / "outside")
    make_deep_folders(source, path_bytes=3500)
    return source


def differing(source: Path, destination: Path) -> dict[bytes, tuple[str | None, str | None]]:
    """Return what differs between two trees, by our own walk over bytes."""
    here, there = deep_listing(source), deep_listing(destination)
    return {
        name: (here.get(name), there.get(name))
        for name in here.keys() | there.keys()
        if here.get(name) != there.get(name)
    }


def diff(source: Path, destination: Path) -> str:
    """Return what diff(1) finds; special files are told of as being only in the source."""
    command = ["diff", "-r", "--no-dereference", str(source), str(destination)]
    found = subprocess.run(command, capture_output=True)
    return found.stdout.decode(errors="backslashreplace")


@pytest.mark.parametrize("verification", ["checksum"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_hostile_tree_comes_out_identical(
    shared_server: RunningServer, hostile: Path, room: Path, engine: str, verification: str
) -> None:
    special = make_special_files(hostile) | {"fifo"}
    options = {"hard_links": True} if engine == "rsync" else {}
    job_id = shared_server.create_job(
        hostile, room / "to", engine=engine, verification=verification, options=options
    )
    run = run_to_end(shared_server, job_id)
    assert (run["outcome"], run["message"]) == ("completed", None)
    found = differing(hostile, room / "to")
    if engine == "rclone":
        # It sets the owner after the mode, which takes the bit away (chown(2)).
        modes = [about.split()[0] for about in found.pop(b"/setuid") if about]
        assert modes == ["104755", "100755"]
    assert found == {}
    names = (room / "to" / "first name", room / "to" / "second name")
    assert names[0].samefile(names[1]) == (engine == "rsync"), "rclone copies each by itself"
    told = diff(hostile, room / "to")
    assert told.count("Only in") == len(special), told
    # A name with a newline ends on a line of its own.
    assert all(line.startswith("Only in") for line in told.splitlines() if line), told
    skipped = shared_server.http.get(f"/api/v1/runs/{run['id']}/skipped?limit=100").json()
    assert skipped["total"] == len(special)
    kinds = {item["path"]: item["kind"] for item in skipped["items"]}
    assert kinds["fifo <b>"] == "fifo"
    assert kinds["socket \\n"] == "socket"
    if os.geteuid() == 0:
        assert (kinds["device \\x1b"], kinds["disk"]) == ("device", "device")
    page = shared_server.http.get(f"/runs/{run['id']}").text
    assert "fifo &lt;b&gt;" in page
    assert "device \\x1b" in page
    assert "<b>" not in page
    assert "\x1b" not in page
    again = run_to_end(shared_server, job_id)
    assert (again["outcome"], again["files_skipped"]) == ("completed", run["files_done"])


@pytest.mark.parametrize("engine", ENGINES)
def test_paths_longer_than_the_system_takes_are_named_and_all_else_is_copied(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source = make_tree(room / "from", files=30)
    make_deep_folders(source, path_bytes=2 * MOST_PATH_BYTES)
    job_id = shared_server.create_job(source, room / "to", engine=engine)
    run = run_to_end(shared_server, job_id)
    assert run["outcome"] in {"warning", "failed"}, run["message"]
    assert run["message"]
    found = differing(source, room / "to")
    longest = MOST_PATH_BYTES - len(os.fsencode(room / "from")) - 300
    assert all(len(name) > longest for name in found), "what is short enough is copied"
    failures = shared_server.http.get(f"/api/v1/runs/{run['id']}/failures").json()
    assert failures["items"], run
    assert all("deep \\xff <i> \\n" in item["path"] for item in failures["items"])
    assert any(
        "too long" in item["reason"] or "overflow" in item["reason"] for item in failures["items"]
    ), failures
    page = shared_server.http.get(f"/runs/{run['id']}").text
    assert "deep \\xff &lt;i&gt; \\n" in page
    assert "<i>" not in page


@pytest.mark.parametrize("engine", ENGINES)
def test_files_that_change_and_vanish_meanwhile_harm_no_other(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source = make_tree(room / "from", files=200)
    quiet = deep_listing(source)
    for number in range(6):
        make_large_file(source / f"moving-{number:02d}", megabytes=1, seed=number)
        # What changes within a second rsync may take for unchanged.
        os.utime(source / f"moving-{number:02d}", (LONG_AGO, LONG_AGO))
    options = {"bandwidth_limit": "5M"}
    job_id = shared_server.create_job(source, room / "to", engine=engine, options=options)
    run_id = shared_server.start_job(job_id)
    wait_until(lambda: any((room / "to").rglob("*moving-0*")), what="the first of them")
    for number in range(6):
        path = source / f"moving-{number:02d}"
        if number % 3 == 0:
            path.unlink()
        elif number % 3 == 1:
            os.truncate(path, 1000)
        else:
            with path.open("ab") as file:
                file.write(b"more" * 1000)
    run = shared_server.wait_for_end(run_id)
    assert run["outcome"] in {"completed", "warning"}, run["message"]
    copied = deep_listing(room / "to")
    files = {name: about for name, about in quiet.items() if b"file-" in name}
    assert {name: copied.get(name) for name in files} == files
    if run["outcome"] == "warning":
        named = shared_server.http.get(f"/api/v1/runs/{run_id}/failures").json()["items"]
        assert named or "vanished" in run["message"]
        assert all("moving-" in item["path"] for item in named)
    again = run_to_end(shared_server, job_id)
    assert again["outcome"] == "completed"
    left = {
        name for name in differing(source, room / "to") if (source / os.fsdecode(name[1:])).exists()
    }
    assert left == set(), "the next run brings what had changed"


def test_a_remote_that_does_not_exist_fails_at_once(tmp_path: Path) -> None:
    make_tree(tmp_path / "from", files=3)
    (tmp_path / "rclone.conf").touch()
    run = SpecRun(
        tmp_path / "run",
        source=str(tmp_path / "from"),
        destination="rclone://no-such-remote/path",
        engine="rclone",
        tool_path=ENGINES["rclone"],
        rclone_config=str(tmp_path / "rclone.conf"),
    )
    result = run.perform()
    assert (result["outcome"], result["attempts"]) == ("failed", 1)
    assert "no-such-remote" in result["message"]
    assert not list(tmp_path.glob("no-such-remote*"))
