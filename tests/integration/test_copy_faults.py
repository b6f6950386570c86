"""Proves that a copy that is not whole is never called completed, and that the file is named.

Faults are forced for real: a file that vanishes, one that may not be read, a full disk. Where the
moment cannot be hit, a script named rsync calls the real one and then spoils a file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.integration.running import ended_server, run_to_end
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = pytest.mark.integration
MakeServer = Callable[..., RunningServer]


class WeakServer(RunningServer):
    """A server whom permission bits stop even as root: it lacks the right to pass over them."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        if os.geteuid() != 0:
            prefix = []
        need("setpriv", not prefix or shutil.which(prefix[0]))
        self.process = self._spawned([*prefix, sys.executable, *self.program])
        wait_until(self._answers, what="the server's answer")


@pytest.fixture(scope="module")
def weak_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server without that right for all tests of this module that need it."""
    with ended_server(WeakServer(tmp_path_factory.mktemp("weak") / "data")) as server:
        yield server


def with_rsync_instead(folder: Path, script: str) -> str:
    """Put a script named rsync into a folder; returns a PATH that has it first."""
    folder.mkdir(exist_ok=True)
    path = folder / "rsync"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def failures_of(server: RunningServer, run_id: str) -> list[dict[str, Any]]:
    """Return the failed files of a run through the API."""
    items: list[dict[str, Any]] = server.http.get(f"/api/v1/runs/{run_id}/failures").json()["items"]
    return items


@pytest.mark.parametrize(
    ("verification", "spoil"),
    [
        ("fast", "printf more >> {file}"),
        ("fast", "rm {file}"),
        # Same size and time: only the contents tell.
        ("checksum", "printf X | dd of={file} conv=notrunc 2>&1; touch -r {original} {file}"),
    ],
)
def test_verification_finds_what_differs(
    make_server: MakeServer, room: Path, rsync: str, verification: str, spoil: str
) -> None:
    source, destination = make_tree(room / "from", files=30), room / "to"
    victim = "folder 000/file-00007.dat"
    quoted = {"file": f"'{destination / victim}'", "original": f"'{source / victim}'"}
    script = f"""
        for argument in "$@"; do [ "$argument" = --dry-run ] && exec {rsync} "$@"; done
        {rsync} "$@" && {spoil.format(**quoted)}"""
    server = make_server(PATH=with_rsync_instead(room / "bin", script))
    job_id = server.create_job(source, destination, verification=verification)

    run = run_to_end(server, job_id)

    assert (run["outcome"], run["files_failed"]) == ("failed", 1)
    assert run["message"] == "Verification: 1 file differs from the source."
    assert [phase["outcome"] for phase in run["phases"]][-1] == "failed"
    assert [failure["path"] for failure in failures_of(server, run["id"])] == [victim]
    state = server.state(job_id)
    assert (state["status"], state["message"]) == ("failed", run["message"])


@pytest.mark.usefixtures("rsync")
def test_a_file_that_vanishes_during_the_run_is_a_warning_that_names_it(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    make_large_file(source / "a large file", megabytes=3)
    (source / "vanishes").write_bytes(b"still here")
    (source / "zzz stays").write_bytes(b"stays")
    options = {"bandwidth_limit": "2M"}
    job_id = shared_server.create_job(source, destination, options=options)
    run_id = shared_server.start_job(job_id)
    wait_until(lambda: list(destination.glob(".a large file*")), what="the first file's beginning")
    (source / "vanishes").unlink()

    run = shared_server.wait_for_end(run_id)

    assert (run["outcome"], run["exit_code"], run["files_failed"]) == ("warning", 24, 1)
    assert "vanished" in run["message"]
    (failure,) = failures_of(shared_server, run_id)
    assert failure["path"].endswith("vanishes")
    assert (destination / "zzz stays").read_bytes() == b"stays"


@pytest.mark.parametrize("verification", ["off", "fast", "checksum"])
@pytest.mark.parametrize("engine", ["rsync", "rclone"])
@pytest.mark.usefixtures("rsync")
def test_an_unreadable_file_is_a_warning_that_names_it(
    weak_server: RunningServer, room: Path, engine: str, verification: str
) -> None:
    source, destination = make_tree(room / "from", files=20), room / "to"
    secret = source / "secret file"
    secret.write_bytes(b"secret")
    secret.chmod(0)
    if os.geteuid() == 0:
        os.chown(secret, 65534, 65534)
    job_id = weak_server.create_job(source, destination, engine=engine, verification=verification)

    run = run_to_end(weak_server, job_id)

    (failure,) = failures_of(weak_server, run["id"])
    assert weak_server.state(job_id)["status"] == "completed"
    assert (run["outcome"], run["files_failed"]) == ("warning", 1), run
    assert failure["path"].endswith("secret file")
    assert "ermission denied" in failure["reason"]
    assert len(list(destination.rglob("*.dat"))) == 20
    assert not (destination / "secret file").exists()


@pytest.fixture
def small_disk(room: Path) -> Iterator[Path]:
    """A file system of 2 MiB, which only root can mount."""
    place = room / "small disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    need("the right to mount", mounted)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.usefixtures("rsync")
@pytest.mark.parametrize("engine", ["rsync", "rclone"])
@pytest.mark.parametrize("verification", ["off", "fast"])
def test_a_full_disk_fails_the_run_and_says_so(
    shared_server: RunningServer, room: Path, small_disk: Path, engine: str, verification: str
) -> None:
    source = room / "from"
    for number in range(4):
        make_large_file(source / f"{number}.bin", megabytes=1, seed=number)
    job_id = shared_server.create_job(
        source, small_disk / "to", engine=engine, verification=verification
    )

    run = run_to_end(shared_server, job_id)

    assert run["outcome"] == "failed", run
    # Seen before by its figures, where the engine lets it be counted in time, or met by the tool.
    words = ("full", "has no room")
    assert any(word in run["message"] for word in words), run["message"]
    assert run["progress"]["percent"] != 100
    assert shared_server.state(job_id)["status"] == "failed"
    for path in (small_disk / "to").glob("*.bin"):
        assert path.read_bytes() == (source / path.name).read_bytes()


@pytest.mark.usefixtures("rsync")
def test_a_source_that_went_away_fails_at_preflight_and_touches_nothing(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=10), room / "to"
    options = {"delete_extraneous": True}
    job_id = shared_server.create_job(source, destination, options=options)
    run_to_end(shared_server, job_id)
    shutil.rmtree(source)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["exit_code"]) == ("failed", None)
    assert [phase["name"] for phase in run["phases"]] == ["preflight"]
    assert "There is no such file or folder" in run["message"]
    assert len(list(destination.rglob("*.dat"))) == 10
