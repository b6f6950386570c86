"""Proves that “retry only these” copies exactly the files that failed, and nothing else, for real.

Files fail because they may not be read, vanish, or find no room; they are mended; and what the
retry changed at the destination is compared with a picture of before.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.failed_files import STILL_TO_DO
from tests.conftest import need
from tests.integration.hostile import picture
from tests.integration.pages import Page
from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.integration.test_copy_faults import WeakServer
from tests.integration.trees import differences_beneath
from tests.support import ENDED, RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
BOTH = pytest.mark.parametrize("engine", ["rsync", "rclone"])
NAMES = (
    b"-rf",
    b"--rsh=sh",
    b"bytes \xff",
    b"new\nline",
    b"-carriage\rreturn",
    b"[glob]*?",
    b"*",
    b"# no comment",
    b"; nor this",
    b" blanks ",
    b"back\\slash",
    b'a "quoted" name',
    b"$(touch canary)",
    b"sub/deep er/-x",
)
"""Of files that fail. With all of them go files that do not, and that the wildcards would match."""
NOBODY = 65534


@pytest.fixture(scope="module")
def weak_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whom permission bits stop, for the tests of this module."""
    with ended_server(WeakServer(tmp_path_factory.mktemp("weak") / "data")) as server:
        yield server


def lock_away(path: Path) -> None:
    """Make a file unreadable for a server without the right to pass over its mode."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def mend(path: Path) -> None:
    """Make it readable again."""
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    path.chmod(0o644)


def make_failing(source: Path, names: tuple[bytes, ...]) -> list[Path]:
    """Make files with these names that cannot be read, among others that can."""
    make_tree(source, files=10)
    (source / "globs").mkdir()
    (source / "g").write_bytes(b"would be matched by the wildcards")
    failing = [source / os.fsdecode(name) for name in names]
    for path in failing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path.name) * 20)
        lock_away(path)
    return failing


def retry(server: RunningServer, run_id: str) -> dict[str, Any]:
    """Start a retry through the API, wait for its end and return its run."""
    answer = server.http.post(f"/api/v1/runs/{run_id}/retry-failed")
    assert answer.status_code == 202, answer.text
    run = server.wait_for_end(answer.json()["run_id"])
    wait_for_status(server, run["job_id"], *ENDED)
    return run


def refusal(server: RunningServer, run_id: str) -> str:
    """Return the sentence with which a retry is refused."""
    answer = server.http.post(f"/api/v1/runs/{run_id}/retry-failed")
    assert answer.status_code == 409, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def files_in(pictured: dict[str, tuple[int, int, int, str]]) -> dict[str, tuple[int, str]]:
    """Return the regular files of a picture, parts of files apart: time and hash by path."""
    return {
        path: (found[2], found[3])
        for path, found in pictured.items()
        if stat.S_ISREG(found[0]) and ".longshore-partial" not in path
    }


@pytest.mark.parametrize("verification", ["fast", "checksum"])
@BOTH
def test_exactly_the_files_that_failed_are_copied(
    weak_server: RunningServer, room: Path, engine: str, verification: str
) -> None:
    source, destination = room / "from", room / "to"
    failing = make_failing(source, NAMES)
    destination.mkdir()
    job_id = weak_server.create_job(source, destination, engine=engine, verification=verification)
    first = run_to_end(weak_server, job_id)
    assert (first["outcome"], first["files_failed"]) == ("warning", len(NAMES)), first

    for path in failing:
        mend(path)
    # None of this is for the retry to mend, nor may its verification look at it.
    changed = next(source.rglob("*.dat"))
    changed.write_bytes(b"changed since, and of another size")
    (source / "new since").write_bytes(b"new")
    (destination / "kept there").write_bytes(b"extraneous")
    job = weak_server.http.get(f"/api/v1/jobs/{job_id}").json()
    job["options"]["delete_extraneous"] = True
    put = weak_server.http.put(f"/api/v1/jobs/{job_id}", json=job, headers={"If-Match": '"1"'})
    assert put.status_code == 200, put.text
    before = files_in(picture(destination))
    again = retry(weak_server, first["id"])
    after = files_in(picture(destination))

    assert again["outcome"] == "completed", again
    copied = {path: after[path] for path in after.keys() - before.keys()}
    assert {Path(path).relative_to(destination) for path in copied} == {
        path.relative_to(source) for path in failing
    }
    assert {path: after[path] for path in before} == before
    for path in failing:
        assert (destination / path.relative_to(source)).read_bytes() == path.read_bytes()
    check_figures(again, first, failing)
    state = weak_server.state(job_id)
    assert (state["status"], state["message"]) == ("completed", None)
    assert state["last_good_at"] == again["ended_at"]

    # A run over everything does the rest.
    run_to_end(weak_server, job_id)
    assert differences_beneath(source, destination) == ""


def check_figures(again: dict[str, Any], first: dict[str, Any], failing: list[Path]) -> None:
    """The totals of a retry are those of its files alone."""
    total = sum(path.stat().st_size for path in failing)
    progress = again["progress"]
    assert (again["only_failed_of"], again["only_files"]) == (first["id"], len(failing))
    assert (progress["files_total"], progress["bytes_total"]) == (len(failing), total)
    assert (again["files_done"], again["bytes_done"]) == (len(failing), total)
    assert (progress["percent"], again["files_failed"], again["files_deleted"]) == (100, 0, 0)


@BOTH
def test_a_file_that_fails_again_is_named_again(
    weak_server: RunningServer, room: Path, engine: str
) -> None:
    mended, locked = make_failing(room / "from", (b"mended", b"locked"))
    job_id = weak_server.create_job(room / "from", room / "to", engine=engine)
    first = run_to_end(weak_server, job_id)
    mend(mended)

    second = retry(weak_server, first["id"])

    assert (second["outcome"], second["files_failed"], second["only_files"]) == ("warning", 1, 2)
    state = weak_server.state(job_id)
    assert (state["status"], state["message"]) == ("completed", second["message"])
    failures = weak_server.http.get(f"/api/v1/runs/{second['id']}/failures").json()["items"]
    assert [Path(file["path"]).name for file in failures] == ["locked"]

    mend(locked)
    third = retry(weak_server, second["id"])
    assert (third["outcome"], third["only_failed_of"]) == ("completed", second["id"])
    assert weak_server.state(job_id)["message"] is None
    assert differences_beneath(room / "from", room / "to") == ""


@BOTH
def test_a_file_that_vanished_and_came_back(
    weak_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = room / "from", room / "to"
    make_large_file(source / "a large file", megabytes=3)
    vanishing = source / "vanishes"
    vanishing.write_bytes(b"still here")
    options: dict[str, Any] = {"bandwidth_limit": "2M"}
    if engine == "rclone":
        options["transfers"] = 1
    job_id = weak_server.create_job(source, destination, engine=engine, options=options)
    run_id = weak_server.start_job(job_id)
    wait_until(lambda: list(destination.glob("*a large file*")), what="the first file's beginning")
    vanishing.unlink()
    first = weak_server.wait_for_end(run_id)
    wait_for_status(weak_server, job_id, *ENDED)
    assert (first["outcome"], first["files_failed"]) == ("warning", 1), first
    vanishing.write_bytes(b"back again")
    before = files_in(picture(destination))

    again = retry(weak_server, run_id)

    assert (again["outcome"], again["files_done"]) == ("completed", 1), again
    after = files_in(picture(destination))
    assert after.keys() - before.keys() == {str(destination / "vanishes")}
    assert {path: after[path] for path in before} == before
    assert (destination / "vanishes").read_bytes() == b"back again"


@pytest.fixture
def small_disk(room: Path) -> Iterator[Path]:
    """A file system of 3 MiB, which only root can mount."""
    place = room / "small disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    need("the right to mount", mounted)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@BOTH
def test_files_that_found_no_room_and_then_do(
    shared_server: RunningServer, room: Path, small_disk: Path, engine: str
) -> None:
    source, destination = room / "from", small_disk / "to"
    for number in range(5):
        make_large_file(source / f"{number}.bin", megabytes=1, seed=number)
    job_id = shared_server.create_job(
        source, destination, engine=engine, verification="off", retry={"max_attempts": 1}
    )
    first = run_to_end(shared_server, job_id)
    assert (first["outcome"], first["files_failed"] > 0) == ("failed", True), first
    found = shared_server.http.get(f"/api/v1/runs/{first['id']}/failures").json()
    failed = {Path(file["path"]).name for file in found["items"]}
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    before = files_in(picture(destination))

    again = retry(shared_server, first["id"])

    assert again["outcome"] == "completed", again
    after = files_in(picture(destination))
    assert {Path(path).name for path in after.keys() - before.keys()} == failed
    assert {path: after[path] for path in before} == before
    for name in failed:
        assert (destination / name).read_bytes() == (source / name).read_bytes()
    # The run before had not come to all files: that is not forgotten.
    state = shared_server.state(job_id)
    assert (state["status"], state["message"]) == ("failed", STILL_TO_DO)
    assert state["last_good_at"] is None
    assert run_to_end(shared_server, job_id)["outcome"] == "completed"
    assert differences_beneath(source, destination) == ""


@BOTH
def test_a_copy_that_a_verification_found_wrong_is_made_anew(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = make_tree(room / "from", files=10), room / "to"
    job_id = shared_server.create_job(source, destination, engine=engine, verification="checksum")
    run_to_end(shared_server, job_id)
    victim = next(destination.rglob("*.dat"))
    found, contents = victim.stat(), victim.read_bytes()
    victim.write_bytes(bytes([contents[0] ^ 1]) + contents[1:])
    os.utime(victim, ns=(found.st_atime_ns, found.st_mtime_ns))
    first = run_to_end(shared_server, job_id)
    assert (first["outcome"], first["files_failed"]) == ("failed", 1), first

    again = retry(shared_server, first["id"])

    assert again["outcome"] == "completed", again
    assert victim.read_bytes() == contents
    state = shared_server.state(job_id)
    assert (state["status"], state["message"]) == ("completed", None)


def test_what_is_refused_says_why(weak_server: RunningServer, room: Path) -> None:
    (path,) = make_failing(room / "from", (b"locked",))
    job_id = weak_server.create_job(room / "from", room / "to", options={"bandwidth_limit": "1M"})
    first = run_to_end(weak_server, job_id)
    mend(path)
    make_large_file(room / "from" / "large", megabytes=3)

    running = weak_server.start_job(job_id)
    assert "running" in refusal(weak_server, first["id"])
    weak_server.http.post(f"/api/v1/jobs/{job_id}/stop")
    wait_for_status(weak_server, job_id, "paused")
    (room / "from" / "large").unlink()
    assert "resume it" in refusal(weak_server, first["id"])
    good = run_to_end(weak_server, job_id)
    assert "No file failed" in refusal(weak_server, good["id"])
    assert weak_server.http.post("/api/v1/runs/none/retry-failed").status_code == 404
    body = weak_server.http.get(f"/api/v1/jobs/{job_id}").json() | {"destination": str(room / "b")}
    weak_server.http.put(f"/api/v1/jobs/{job_id}", json=body, headers={"If-Match": '"1"'})
    assert "another engine, source or destination" in refusal(weak_server, first["id"])
    assert weak_server.run(running)["outcome"] == "paused"
    assert not (room / "b").exists()


def test_by_a_form_and_by_the_command_line(weak_server: RunningServer, room: Path) -> None:
    one, two = make_failing(room / "from", (b"one", b"two"))
    job_id = weak_server.create_job(room / "from", room / "to")
    first = run_to_end(weak_server, job_id)
    mend(one)

    page = Page(weak_server.http.get(f"/runs/{first['id']}").text)
    assert "Retry only these 2 files" in page.text
    form = page.form_to("/retry-failed")
    assert form.method == "post"
    answer = weak_server.http.post(form.action)
    assert answer.status_code == 303
    second = answer.headers["location"].rpartition("/")[2]
    weak_server.wait_for_end(second)
    wait_for_status(weak_server, job_id, *ENDED)
    for address in ("/runs", f"/jobs/{job_id}", answer.headers["location"]):
        text = Page(weak_server.http.get(address).text).text
        assert f"2 files of run {first['id']} again" in text, address
    mend(two)

    listed = weak_server.cli("runs", "failures", second)
    assert (listed.returncode, "two" in listed.stdout, "one" in listed.stdout) == (0, True, False)
    started = weak_server.cli("runs", "retry-failed", second)
    assert started.returncode == 0, started.stderr
    assert weak_server.wait_for_end(started.stdout.strip())["outcome"] == "completed"
    wait_for_status(weak_server, job_id, *ENDED)
    refused = weak_server.cli("runs", "retry-failed", started.stdout.strip())
    assert (refused.returncode, refused.stderr.strip()) == (1, "No file failed in that run.")
    text = weak_server.http.post(f"/runs/{started.stdout.strip()}/retry-failed").text
    assert "No file failed in that run." in Page(text).text
    assert differences_beneath(room / "from", room / "to") == ""
