"""Proves that a host over ssh is as good a source or destination as a folder; a real sshd here.

Whatever would need a person's answer fails at once, and says what to do.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import (
    ended_server,
    event_of,
    run_to_end,
    wait_for_bytes,
    wait_for_status,
)
from tests.integration.test_dry_run import announced, done_between, dry_run, listed, picture
from tests.integration.trees import (
    count_entries,
    hash_of,
    listing,
    make_hostile_tree,
    rot,
    size_of,
)
from tests.ssh_server import SshServer, make_key, running_sshd
from tests.support import RunningServer, make_large_file, make_tree, rsync_differences

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MEGABYTES = 12
SIZE = MEGABYTES * 1024 * 1024
QUICK = {"max_attempts": 3, "first_delay_seconds": 0.05, "max_delay_seconds": 0.1}
PROMPT_SECONDS = 15.0
"""Whatever waits for an answer waits for ever; a loaded machine needs a moment."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An sshd that knows one key, and takes passwords too."""
    with running_sshd(tmp_path_factory.mktemp("sshd"), passwords=True) as running:
        yield running


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory, sshd: SshServer) -> Iterator[RunningServer]:
    """A server whose data directory holds the other host's key."""
    data = tmp_path_factory.mktemp("knowing") / "data"
    with ended_server(RunningServer(data)) as server:
        sshd.is_known_in(data / "known_hosts")
        yield server


@pytest.fixture
def there(sshd: SshServer) -> Iterator[Path]:
    """An empty folder on the other host, in memory where there is such a place."""
    yield sshd.folder
    shutil.rmtree(sshd.folder)
    sshd.folder.mkdir()


def ends(sshd: SshServer, room: Path, way: str) -> tuple[Path, Path, str, str]:
    """Return both folders of a job, and both locations as they stand in it."""
    name = "a b;$(touch canary)'\"é"
    other, url = sshd.folder / name, sshd.url(name)
    if way == "to a host":
        return room / "from", other, str(room / "from"), url
    return other, room / "to/new one", url, str(room / "to/new one")


def key_of(sshd: SshServer, **options: Any) -> dict[str, Any]:
    """Return options with the key that is let in."""
    return {"ssh_identity": str(sshd.key), **options}


BOTH_WAYS = pytest.mark.parametrize("way", ["to a host", "from a host"])


@pytest.mark.parametrize(
    ("way", "verification"), [("to a host", "checksum"), ("from a host", "fast")]
)
def test_a_tree_with_every_kind_of_entry_and_name(
    knowing: RunningServer, sshd: SshServer, there: Path, room: Path, way: str, verification: str
) -> None:
    source, destination, here, url = ends(sshd, room, way)
    source.mkdir(parents=True)
    make_hostile_tree(source, room / "outside")
    job_id = knowing.create_job(here, url, verification=verification, options=key_of(sshd))

    run = run_to_end(knowing, job_id)

    assert (run["outcome"], run["message"], run["files_failed"]) == ("completed", None, 0)
    assert listing(destination) == listing(source)
    assert rsync_differences(source, destination) == ""
    assert (run["files_done"], run["bytes_done"]) == (count_entries(source), size_of(source))
    assert (run["progress"]["totals"], run["progress"]["percent"]) == ("known", 100.0)

    changed = next(path for path in (source / "plain").iterdir() if path.name == "-rf")
    again = run_to_end(knowing, job_id)
    changed.write_bytes(b"of another length")
    third = run_to_end(knowing, job_id)

    assert (again["files_skipped"], again["files_failed"]) == (run["files_done"], 0)
    assert again["bytes_sent"] < 16 * 1024 + (0 if way == "from a host" else size_of(source) // 10)
    assert third["files_done"] - third["files_skipped"] == 1
    assert listing(destination) == listing(source)


@BOTH_WAYS
def test_extraneous_and_replaced_files_go_where_they_are_asked_to(
    knowing: RunningServer, sshd: SshServer, there: Path, room: Path, way: str
) -> None:
    source, destination, here, url = ends(sshd, room, way)
    make_tree(source, files=30)
    make_tree(destination, files=1, seed=2)
    for number in range(4):
        (destination / f"extraneous-{number}").write_bytes(b"not in the source")
    options = key_of(sshd, delete_extraneous=True, max_delete=3, keep_replaced=True)
    bounded = run_to_end(knowing, knowing.create_job(here, url, options=options))

    assert (bounded["outcome"], bounded["files_deleted"]) == ("failed", 3)
    assert len(list(destination.glob("extraneous-*"))) == 1
    kept = destination / ".longshore-kept"
    (moved,) = kept.iterdir()
    assert len(list(moved.glob("extraneous-*"))) == 3
    assert (moved / "folder 000" / "file-00000.dat").exists(), "what was replaced is kept"

    run = run_to_end(knowing, knowing.create_job(here, url, options=options))

    assert (run["outcome"], run["files_deleted"]) == ("completed", 1)
    assert sum(1 for _ in kept.rglob("extraneous-*")) == 4, "what was kept before stays"
    shutil.rmtree(kept)
    os.utime(destination, ns=(0, source.stat().st_mtime_ns))
    assert rsync_differences(source, destination) == ""


def test_a_copy_that_rotted_is_found_by_contents(
    knowing: RunningServer, sshd: SshServer, there: Path, room: Path
) -> None:
    source, destination, here, url = ends(sshd, room, "to a host")
    make_tree(source, files=5)
    job_id = knowing.create_job(here, url, verification="checksum", options=key_of(sshd))
    assert run_to_end(knowing, job_id)["outcome"] == "completed"
    victim = sorted(destination.rglob("*.dat"))[2]
    rot(victim)

    run = run_to_end(knowing, job_id)

    assert (run["outcome"], run["files_failed"]) == ("failed", 1)
    failures = knowing.http.get(f"/api/v1/runs/{run['id']}/failures").json()["items"]
    assert [item["path"] for item in failures] == [str(victim.relative_to(destination))]


@BOTH_WAYS
def test_a_dry_run_announces_what_the_run_then_does(
    knowing: RunningServer, sshd: SshServer, there: Path, room: Path, way: str
) -> None:
    source, destination, here, url = ends(sshd, room, way)
    make_tree(source, files=30)
    make_tree(destination, files=1, seed=2).joinpath("extra").write_bytes(b"too many")
    options = key_of(sshd, delete_extraneous=True)
    job_id = knowing.create_job(here, url, options=options)
    before = picture(destination)

    dry = dry_run(knowing, job_id)

    assert (dry["outcome"], dry["message"], picture(destination)) == ("completed", None, before)
    assert run_to_end(knowing, job_id)["outcome"] == "completed"
    done = done_between(before, picture(destination))
    items = listed(knowing, dry["id"])
    assert [len(done[kind]) for kind in ("update", "delete")] == [1, 1]
    for kind, expected in done.items():
        assert announced(items, kind).keys() == expected.keys()
    assert rsync_differences(source, destination) == ""


@BOTH_WAYS
def test_a_large_file_is_shown_growing_stopped_and_resumed(
    knowing: RunningServer, sshd: SshServer, there: Path, room: Path, way: str
) -> None:
    source, destination, here, url = ends(sshd, room, way)
    large = make_large_file(source / "deep [x]" / "large.bin", megabytes=MEGABYTES)
    options = key_of(sshd, bandwidth_limit="4M")
    job_id = knowing.create_job(here, url, options=options, verification="checksum")
    first_id = knowing.start_job(job_id)
    progress = wait_for_bytes(knowing, job_id, int(SIZE * 0.42))
    assert progress["current_file"] == "deep [x]/large.bin"
    assert (progress["bytes_total"], progress["files_done"]) == (SIZE, 0)

    assert knowing.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    wait_for_status(knowing, job_id, "paused")
    assert knowing.run(first_id)["bytes_done"] < SIZE
    assert not (destination / "deep [x]" / "large.bin").exists()

    second = run_to_end(knowing, job_id)

    assert second["outcome"] == "completed"
    assert second["bytes_sent"] < 0.62 * SIZE
    assert hash_of(destination / "deep [x]" / "large.bin") == hash_of(large)
    assert rsync_differences(source, destination) == ""
    assert sorted(path.name for path in destination.rglob("*")) == ["deep [x]", "large.bin"]


def test_a_silent_host_is_given_up_and_gone_on_with(
    knowing: RunningServer, sshd: SshServer, there: Path, room: Path
) -> None:
    # Whoever sends notices; whoever receives may as well be waiting for a slow disk.
    source, destination, here, url = ends(sshd, room, "to a host")
    large = make_large_file(source / "large.bin", megabytes=MEGABYTES)
    options = key_of(sshd, bandwidth_limit="4M", timeout_seconds=3)
    job_id = knowing.create_job(here, url, options=options)
    run_id = knowing.start_job(job_id)
    wait_for_bytes(knowing, job_id, int(SIZE * 0.6))

    sshd.freeze_connections()
    retry = event_of(knowing, run_id, "retry_scheduled")
    sshd.thaw_connections()
    before = knowing.run(run_id)["bytes_sent"]
    run = knowing.wait_for_end(run_id)

    assert retry["reason"] == "No data came for too long."
    assert (run["outcome"], run["attempts"]) == ("completed", 2)
    assert run["bytes_sent"] - before < 0.8 * SIZE, "it began from nothing"
    assert hash_of(destination / "large.bin") == hash_of(large)
    assert rsync_differences(source, destination) == ""


@pytest.mark.parametrize(
    ("way", "fault", "words"),
    [
        ("to a host", "unknown host", "The other host’s key is not known here."),
        ("from a host", "changed host", "The other host’s key is not the one that is known here"),
        ("to a host", "wrong key", "The other host refused the login (Permission denied"),
        ("from a host", "no key", "The file of the job’s ssh key cannot be read"),
        ("to a host", "open key", "The job’s ssh key cannot be used"),
        ("to a host", "passphrase", "a key with a passphrase must be in a running ssh-agent"),
        ("to a host", "password", "The other host refused the login (Permission denied"),
        ("from a host", "password", "The other host refused the login (Permission denied"),
    ],
)
def test_whatever_would_need_an_answer_fails_at_once_and_says_what_to_do(
    shared_server: RunningServer,
    sshd: SshServer,
    there: Path,
    room: Path,
    way: str,
    fault: str,
    words: str,
) -> None:
    source, _, here, url = ends(sshd, room, way)
    make_tree(source, files=3)
    known_hosts = shared_server.data_dir / "known_hosts"
    sshd.is_known_in(known_hosts)
    options = key_of(sshd)
    if fault == "unknown host":
        known_hosts.write_text("")
    elif fault == "changed host":
        other = make_key(room / "other").with_suffix(".pub").read_text().split()[1]
        known_hosts.write_text(f"[127.0.0.1]:{sshd.port} ssh-ed25519 {other}\n")
    elif fault == "password":
        options = {}
    else:
        options["ssh_identity"] = str(a_bad_key(sshd, room, fault))
    job_id = shared_server.create_job(here, url, options=options, retry=QUICK)

    run = shared_server.wait_for_end(shared_server.start_job(job_id), seconds=PROMPT_SECONDS)

    assert (run["outcome"], run["attempts"]) == ("failed", 1)
    assert run["exit_code"] in {255, 12}, "rsync does not always hear the one of ssh"
    assert words in run["message"]


def a_bad_key(sshd: SshServer, room: Path, fault: str) -> Path:
    """Make a key that cannot be used, or none at all."""
    path = room / "bad key"
    if fault == "wrong key":
        make_key(path)
    elif fault == "passphrase":
        make_key(path, passphrase="secret")
    elif fault == "open key":
        shutil.copy(sshd.key, path)
        path.chmod(0o644)
    return path


def test_a_new_host_is_remembered_in_the_data_directory_when_the_job_says_so(
    shared_server: RunningServer, sshd: SshServer, there: Path, room: Path
) -> None:
    source, destination, here, url = ends(sshd, room, "to a host")
    make_tree(source, files=3)
    known_hosts = shared_server.data_dir / "known_hosts"
    known_hosts.unlink(missing_ok=True)
    accepting = key_of(sshd, ssh_host_keys="accept_new")
    strict = shared_server.create_job(here, url, options=key_of(sshd), retry=QUICK)
    assert run_to_end(shared_server, strict)["outcome"] == "failed"

    run = run_to_end(shared_server, shared_server.create_job(here, url, options=accepting))

    assert run["outcome"] == "completed"
    assert rsync_differences(source, destination) == ""
    assert stat.S_IMODE(known_hosts.stat().st_mode) == 0o600
    assert sshd.host_key in known_hosts.read_text()
    assert run_to_end(shared_server, strict)["outcome"] == "completed"


@pytest.mark.parametrize(
    ("way", "path", "words"),
    [
        ("from", "none", "Source: there is no such folder on the other host"),
        ("from", "file", "Source: there is no such folder on the other host"),
        ("to", "file/below", "Destination: the folder cannot be made or entered"),
        ("to", "file", "Destination: the folder cannot be made or entered"),
    ],
)
def test_a_place_that_is_not_there(
    knowing: RunningServer,
    sshd: SshServer,
    there: Path,
    room: Path,
    way: str,
    path: str,
    words: str,
) -> None:
    (there / "file").write_bytes(b"a file")
    here, url = str(make_tree(room / "local", files=3)), sshd.url(path)
    if way == "from":
        here, url = url, here
    run = run_to_end(knowing, knowing.create_job(here, url, options=key_of(sshd), retry=QUICK))

    assert (run["outcome"], run["attempts"]) == ("failed", 1)
    if way == "to" and words not in run["message"]:
        # What the other rsync says before the two have met goes by ssh, which may be cut short.
        assert run["exit_code"] == 11
        words = "A file or folder could not be read or written"
    assert words in run["message"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("no-such-host.invalid", "Could not resolve hostname"),
    ],
)
def test_what_may_pass_is_tried_again(
    knowing: RunningServer, room: Path, address: str, words: str
) -> None:
    here = str(make_tree(room / "local", files=3))
    job_id = knowing.create_job(here, f"ssh://ada@{address}/x", retry=QUICK)

    run = run_to_end(knowing, job_id)

    assert (run["outcome"], run["attempts"]) == ("failed", 3)
    assert words in run["message"]


def test_a_host_without_rsync_is_told_apart(
    knowing: RunningServer, tmp_path: Path, room: Path
) -> None:
    with running_sshd(tmp_path / "bare", more="ForceCommand PATH=/no rsync") as bare:
        bare.is_known_in(room / "known_hosts")
        known_hosts = knowing.data_dir / "known_hosts"
        with known_hosts.open("a") as file:
            file.write((room / "known_hosts").read_text())
        here = str(make_tree(room / "local", files=3))
        job_id = knowing.create_job(here, bare.url("x"), options=key_of(bare), retry=QUICK)
        run = run_to_end(knowing, job_id)

    assert (run["outcome"], run["attempts"]) == ("failed", 1)
    assert "There is no rsync on the other host" in run["message"]
