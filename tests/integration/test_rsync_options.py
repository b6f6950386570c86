"""Proves what each of rsync's options does to real files; and what a password does at a daemon."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.running import run_to_end
from tests.integration.trees import HOSTILE_NAMES, count_entries, listing, size_of
from tests.rsync_daemon import PASSWORD, USER, RsyncDaemon, running_daemon
from tests.spec_runs import SpecRun
from tests.support import (
    RunningServer,
    environment_of,
    make_large_file,
    make_tree,
    rsync_differences,
    tree_of,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
PROMPT_SECONDS = 15.0
VARIABLE = "LONGSHORE_PASSWORD"
SPECIALS = {"a fifo\n": "fifo", 'a "socket"': "socket", "sub/fifo": "fifo"}


@pytest.fixture
def daemon(room: Path, rsync: str) -> Iterator[RsyncDaemon]:
    """A daemon with an empty module, and the same one behind a password."""
    with running_daemon(room / "daemon") as running:
        yield running


def to_daemon(daemon: RsyncDaemon, room: Path, module: str = "secured", **fields: Any) -> SpecRun:
    """Return a run to a module."""
    source = str(room / "from")
    url = daemon.url("x", module=module)
    return SpecRun(room / "runs" / "run-1", source=source, destination=url, **fields)


@pytest.mark.parametrize("verification", ["fast", "checksum"])
def test_a_daemon_with_a_password_is_as_good_as_one_without(
    daemon: RsyncDaemon, room: Path, verification: str
) -> None:
    source = make_tree(room / "from", files=30)
    run = to_daemon(daemon, room, daemon_user=USER, verification=verification)

    result = run.perform(**{VARIABLE: PASSWORD})

    assert (result["outcome"], result["message"]) == ("completed", None)
    assert rsync_differences(source, daemon.module / "x") == ""
    written = [path.read_bytes() for path in run.directory.iterdir() if path.is_file()]
    assert not any(PASSWORD.encode() in content for content in written)


def test_a_password_stands_on_no_command_line(daemon: RsyncDaemon, room: Path) -> None:
    make_large_file(room / "from" / "large.bin", megabytes=4)
    run = to_daemon(daemon, room, daemon_user=USER, bandwidth_limit=2 * 1024 * 1024)
    run.start(**{VARIABLE: PASSWORD})
    (engine,) = wait_until(lambda: run.journal("engine_started"), what="the start of rsync")
    process = psutil.Process(engine["engine"]["pid"])

    environment = environment_of(process)
    lines = [" ".join(one.cmdline()) for one in (process, process.parent()) if one is not None]

    assert any(f"rsync://{USER}@" in line for line in lines)
    assert not any(PASSWORD in line for line in lines)
    assert environment["RSYNC_PASSWORD"] == PASSWORD
    assert VARIABLE not in environment
    assert run.result()["outcome"] == "completed"


@pytest.mark.parametrize(
    ("user", "password"),
    [(USER, "wrong"), (USER, None), ("eve", PASSWORD), (None, None)],
)
def test_a_wrong_or_missing_password_fails_at_once(
    daemon: RsyncDaemon, room: Path, user: str | None, password: str | None
) -> None:
    make_tree(room / "from", files=3)
    run = to_daemon(daemon, room, daemon_user=user)

    run.start(**({} if password is None else {VARIABLE: password}))
    result = run.result(seconds=PROMPT_SECONDS)

    assert (result["outcome"], result["attempts"]) == ("failed", 1)
    assert "auth failed on module secured" in result["message"]
    assert "credential" in result["message"]


def test_what_a_daemon_will_not_do_is_said_in_its_words(daemon: RsyncDaemon, room: Path) -> None:
    make_tree(room / "from", files=3)
    run = to_daemon(daemon, room, "careful", delete_extraneous=True)

    result = run.perform()

    assert (result["outcome"], result["attempts"]) == ("failed", 1)
    assert "The server is configured to refuse --delete" in result["message"]


@pytest.mark.parametrize("way", ["local", "to a daemon", "from a daemon"])
@pytest.mark.parametrize("verification", ["fast", "checksum"])
def test_only_the_files_that_are_named_are_copied(
    daemon: RsyncDaemon, room: Path, way: str, verification: str
) -> None:
    source = daemon.module / "s" if way == "from a daemon" else room / "from"
    destination = daemon.module / "x" if way == "to a daemon" else room / "to"
    make_tree(source, files=30)
    folder = source / "a folder; with more"
    folder.mkdir()
    (folder / "not named").write_bytes(b"x")
    for name in (*HOSTILE_NAMES, b"#comment", b";comment"):
        (source / os.fsdecode(name)).write_bytes(name)
    destination.mkdir(parents=True)
    (destination / "extraneous").write_bytes(b"x")
    names = [
        *HOSTILE_NAMES,
        b"#comment",
        b";comment",
        b"folder 000/file-00003.dat",
        os.fsencode(folder.name),
    ]
    run = SpecRun(
        room / "runs" / "run-2",
        source=daemon.url("s") if way == "from a daemon" else str(source),
        destination=daemon.url("x") if way == "to a daemon" else str(destination),
        verification=verification,
        delete_extraneous=True,
        only_failed_of="run-1",
    )
    # rsync would take such a name for a comment.
    listed = [b"./" + name if name.startswith((b"#", b";")) else name for name in names]
    (run.directory / "only-files").write_bytes(b"".join(name + b"\0" for name in listed))

    result = run.perform()

    assert (result["outcome"], result["message"]) == ("completed", None)
    copied = {os.fsencode(path.relative_to(destination)) for path in destination.rglob("*")} - {
        b"extraneous"
    }
    assert copied == {*names, b"folder 000"}
    assert (destination / "extraneous").exists(), "such a run deletes nothing"
    for name in names:
        path = os.fsdecode(name)
        if (source / path).is_file():
            assert (destination / path).read_bytes() == (source / path).read_bytes()
    progress = result["progress"]
    assert (progress["percent"], progress["files_done"]) == (100, len(names) - 1)


@pytest.mark.parametrize("hard_links", [False, True])
def test_hard_links_are_kept_when_asked_for(
    shared_server: RunningServer, room: Path, hard_links: bool
) -> None:
    source, destination = make_tree(room / "from", files=20), room / "to"
    make_large_file(source / "one", megabytes=1)
    for name in ("two", "folder 000/three"):
        (source / name).hardlink_to(source / "one")
    options = {"hard_links": hard_links}
    job_id = shared_server.create_job(source, destination, options=options, verification="checksum")

    first, second = (run_to_end(shared_server, job_id) for _ in range(2))

    assert (first["outcome"], second["outcome"]) == ("completed", "completed")
    inodes = {(destination / name).stat().st_ino for name in ("one", "two", "folder 000/three")}
    assert len(inodes) == (1 if hard_links else 3)
    assert rsync_differences(source, destination) == ""
    for run in (first, second):
        assert (run["files_done"], run["bytes_done"]) == (count_entries(source), size_of(source))
        assert run["progress"]["percent"] == 100
    assert second["files_skipped"] == count_entries(source)


@pytest.mark.parametrize("wanted", [False, True])
def test_extended_attributes_are_kept_when_asked_for(
    shared_server: RunningServer, tmp_path: Path, wanted: bool
) -> None:
    source, destination = make_tree(tmp_path / "from", files=3), tmp_path / "to"
    path = "folder 000/file-00001.dat"
    os.setxattr(source / path, "user.longshore", b"kept")
    job_id = shared_server.create_job(source, destination, options={"xattrs": wanted})

    assert run_to_end(shared_server, job_id)["outcome"] == "completed"

    names = [name for name in os.listxattr(destination / path) if name.startswith("user.")]
    assert names == (["user.longshore"] if wanted else [])


@pytest.mark.parametrize("wanted", [False, True])
def test_access_control_lists_are_kept_when_asked_for(
    shared_server: RunningServer, tmp_path: Path, wanted: bool
) -> None:
    source, destination = make_tree(tmp_path / "from", files=3), tmp_path / "to"
    path = "folder 000/file-00001.dat"
    # acl(5): version 2, then tag, permissions and id of each entry: the user 12345 may read.
    entries = [(1, 6, -1), (2, 4, 12345), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
    packed = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little")
        + permissions.to_bytes(2, "little")
        + who.to_bytes(4, "little", signed=True)
        for tag, permissions, who in entries
    )
    os.setxattr(source / path, "system.posix_acl_access", packed)
    job_id = shared_server.create_job(source, destination, options={"acls": wanted})

    assert run_to_end(shared_server, job_id)["outcome"] == "completed"

    has_list = "system.posix_acl_access" in os.listxattr(destination / path)
    assert has_list == wanted
    if wanted:
        assert os.getxattr(destination / path, "system.posix_acl_access") == packed


def make_specials(source: Path) -> dict[str, str]:
    """Make special files; returns each with its kind."""
    kinds = dict(SPECIALS)
    (source / "sub").mkdir()
    for name, kind in SPECIALS.items():
        if kind == "fifo":
            os.mkfifo(source / name)
            continue
        with socket.socket(socket.AF_UNIX) as listener:
            before = os.getcwd()
            os.chdir(source)
            listener.bind(name)
            os.chdir(before)
    if os.geteuid() == 0:
        os.mknod(source / "a device", 0o20600, os.makedev(1, 3))
        kinds["a device"] = "device"
    return kinds


def test_special_files_are_passed_over_and_named(shared_server: RunningServer, room: Path) -> None:
    source, destination = make_tree(room / "from", files=5), room / "to"
    kinds = make_specials(source)
    job_id = shared_server.create_job(source, destination, verification="checksum")

    for _ in range(2):
        run = run_to_end(shared_server, job_id)

        assert (run["outcome"], run["message"]) == ("completed", None)
        assert (run["files_special"], run["files_done"]) == (len(kinds), 5)
        assert run["progress"]["percent"] == 100
        words = f"{len(kinds)} special files (FIFOs, sockets, devices) were not copied."
        assert run["notices"] == [words]
        skipped = [
            (line["path"], line["kind"])
            for line in shared_server.journal(run["id"])
            if line["event"] == "file_skipped"
        ]
        assert sorted(skipped) == sorted(
            (name.replace("\n", "\\n"), kind) for name, kind in kinds.items()
        )
    assert not any(" special" in f" {line}" for line in listing(destination))
    assert len(list(destination.rglob("*"))) == 5 + 2


def test_special_files_of_a_daemon_are_named_too(daemon: RsyncDaemon, room: Path) -> None:
    source = daemon.module / "s"
    make_tree(source, files=5)
    kinds = make_specials(source)
    run = SpecRun(room / "runs" / "run-1", source=daemon.url("s"), destination=str(room / "to"))

    result = run.perform()

    assert (result["outcome"], result["files_special"]) == ("completed", len(kinds))
    assert {line["kind"] for line in run.journal("file_skipped")} == {"special"}


def test_what_is_replaced_or_deleted_is_kept_in_a_dated_folder(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=10), room / "to"
    options = {"delete_extraneous": True, "keep_replaced": True}
    job_id = shared_server.create_job(source, destination, options=options, verification="fast")
    run_to_end(shared_server, job_id)
    changed, removed = sorted(source.rglob("*.dat"))[:2]
    old = changed.read_bytes()
    changed.write_bytes(b"new contents of another length")
    removed_bytes = removed.read_bytes()
    removed.unlink()
    (source / ".longshore-trash").mkdir()
    (source / ".longshore-trash" / "deleted").write_bytes(b"x")
    (source / ".longshore-kept").symlink_to(room)

    runs = [run_to_end(shared_server, job_id) for _ in range(2)]

    assert [(run["outcome"], run["files_deleted"]) for run in runs] == [
        ("completed", 1),
        ("completed", 0),
    ]
    assert [run["files_done"] for run in runs] == [9, 9]
    (kept,) = (destination / ".longshore-kept").iterdir()
    assert not (destination / ".longshore-kept").is_symlink()
    assert kept.name.startswith(runs[0]["queued_at"][:10])
    assert {
        name: data[2] for name, data in tree_of(kept).items() if name.endswith(".dat")
    }.keys() == {
        str(changed.relative_to(source)),
        str(removed.relative_to(source)),
    }
    assert (kept / changed.relative_to(source)).read_bytes() == old
    assert (kept / removed.relative_to(source)).read_bytes() == removed_bytes
    assert not (destination / ".longshore-trash").exists()


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_replaced_is_never_kept_elsewhere(
    shared_server: RunningServer, room: Path, engine: str, kind: str
) -> None:
    source, destination, elsewhere = make_tree(room / "from", files=3), room / "to", room / "else"
    for folder in (destination, elsewhere):
        folder.mkdir()
    make_tree(destination, files=3, seed=2)
    before = tree_of(destination)
    trap = destination / ".longshore-kept"
    if kind == "link":
        trap.symlink_to(elsewhere)
    else:
        trap.write_bytes(b"x")
    options = {"keep_replaced": True}
    job_id = shared_server.create_job(source, destination, engine=engine, options=options)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["attempts"]) == ("failed", 1)
    assert "not a folder of its own" in run["message"]
    assert list(elsewhere.iterdir()) == []
    trap.unlink()
    after = tree_of(destination)
    assert {name: after[name][2] for name in after} == {name: before[name][2] for name in before}


@pytest.mark.parametrize(
    ("arguments", "left_out"),
    [
        (["--max-size=1K"], {"large"}),
        (["--min-size=1K"], {"small", "old"}),
        (["--existing"], {"small", "large"}),
        (["--ignore-existing"], set()),
        (["--update", "--compress", "--checksum", "--no-owner"], set()),
    ],
)
def test_extra_arguments_choose_the_same_files_in_every_step(
    shared_server: RunningServer, room: Path, arguments: list[str], left_out: set[str]
) -> None:
    source, destination = room / "from", room / "to"
    for folder in (source, destination):
        folder.mkdir()
    (source / "small").write_bytes(b"small")
    (source / "large").write_bytes(b"x" * 5000)
    (source / "old").write_bytes(b"of the source")
    (destination / "old").write_bytes(b"newer at the destination")
    os.utime(source / "old", (1e9, 1e9))
    options = {"extra_args": arguments}
    job_id = shared_server.create_job(source, destination, options=options, verification="checksum")

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["message"]) == ("completed", None)
    assert run["progress"]["percent"] == 100
    for name in ("small", "large"):
        assert (destination / name).exists() == (name not in left_out)
    stays = "old" in left_out or {"--ignore-existing", "--update"} & {*arguments}
    expected = b"newer at the destination" if stays else b"of the source"
    assert (destination / "old").read_bytes() == expected
