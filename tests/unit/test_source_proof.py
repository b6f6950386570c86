"""Proves what is a proof that a source has a copy, and what is none."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from core.runner.claimed_copies import CLAIMED_NAME
from core.runner.mount_regions import Mount, regions_of, share
from core.runner.proof import OPEN_FOR_WRITING, Cancelled, Unproven
from models.source_deletions import DeletionOutcome
from tests.fakes.deleting_runs import (
    DeletingRun,
    a_photo_and_its_copy,
    contents_of,
    copy,
    copy_of,
    delete,
    photo,
    prove,
)


@pytest.fixture
def run(tmp_path: Path) -> DeletingRun:
    """One file in a folder, and its copy."""
    return a_photo_and_its_copy(tmp_path)


def test_a_proven_file_goes_and_leaves_no_trash(run: DeletingRun) -> None:
    assert delete(run, prove(run)) == (DeletionOutcome.DELETED, None)
    assert not photo(run).exists()
    assert sorted(os.listdir(run.source)) == ["folder"]
    assert copy(run).read_bytes() == b"the only copy"


def test_an_empty_file_and_a_symbolic_link_are_proven_too(run: DeletingRun) -> None:
    (run.source / "empty").touch()
    (run.source / "link").symlink_to("nowhere at all")
    copy_of(run.source, run.destination)

    for name in (b"empty", b"link"):
        assert delete(run, prove(run, name)) == (DeletionOutcome.DELETED, None)
    assert sorted(os.listdir(run.source)) == ["folder"]


def other_content(run: DeletingRun) -> None:
    copy(run).write_bytes(b"the only cop?")


def shorter(run: DeletingRun) -> None:
    copy(run).write_bytes(b"the only")


def longer(run: DeletingRun) -> None:
    copy(run).write_bytes(b"the only copy and more")


def missing(run: DeletingRun) -> None:
    copy(run).unlink()


def a_folder(run: DeletingRun) -> None:
    copy(run).unlink()
    copy(run).mkdir()


def a_link_to_the_source(run: DeletingRun) -> None:
    copy(run).unlink()
    copy(run).symlink_to(photo(run))


def the_file_itself(run: DeletingRun) -> None:
    copy(run).unlink()
    copy(run).hardlink_to(photo(run))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_content, "differ"),
        (shorter, "another size"),
        (longer, "another size"),
        (missing, "no file of this name"),
        (a_folder, "no regular file"),
        (a_link_to_the_source, "no regular file"),
        (the_file_itself, "this very file"),
    ],
)
def test_without_a_true_copy_there_is_no_proof(
    run: DeletingRun, spoil: Callable[[DeletingRun], None], words: str
) -> None:
    spoil(run)
    with pytest.raises(Unproven, match=words):
        prove(run)


def test_a_copy_behind_a_linked_folder_is_no_proof(run: DeletingRun) -> None:
    copy(run).unlink()
    copy(run).parent.rmdir()
    copy(run).parent.symlink_to(run.source / "folder")
    with pytest.raises(OSError, match="Not a directory"):
        prove(run)


def test_a_link_that_leads_elsewhere_is_no_proof(run: DeletingRun) -> None:
    (run.source / "link").symlink_to("one place")
    (run.destination / "link").symlink_to("another place")
    with pytest.raises(Unproven, match="leads to the same place"):
        prove(run, b"link")


def test_a_file_in_place_of_a_link_is_no_proof(run: DeletingRun) -> None:
    (run.source / "link").symlink_to("folder/photo.jpg")
    (run.destination / "link").write_bytes(b"the only copy")
    with pytest.raises(Unproven, match="leads to the same place"):
        prove(run, b"link")


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_a_special_file_is_never_proven_and_never_waited_for(
    run: DeletingRun, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.source)
    if kind == "fifo":
        os.mkfifo("special")
    else:
        with socket.socket(socket.AF_UNIX) as special:
            special.bind("special")
    (run.destination / "special").touch()
    with pytest.raises(Unproven, match="neither a file nor a symbolic link"):
        prove(run, b"special")


def test_a_fifo_in_place_of_the_copy_is_no_proof(run: DeletingRun) -> None:
    copy(run).unlink()
    os.mkfifo(copy(run))
    with pytest.raises(Unproven, match="no regular file"):
        prove(run)


def test_a_file_that_is_open_for_writing_is_not_proven(run: DeletingRun) -> None:
    with photo(run).open("ab"), pytest.raises(Unproven, match=OPEN_FOR_WRITING):
        prove(run)


def test_a_file_that_changes_while_it_is_compared_is_not_proven(run: DeletingRun) -> None:
    with pytest.raises(Unproven, match="changed while"):
        prove(run, tick=lambda _count: photo(run).touch())


def test_a_file_that_grows_at_both_ends_is_not_read_for_ever(run: DeletingRun) -> None:
    def grow(_count: int) -> None:
        for path in (photo(run), copy(run)):
            with path.open("ab") as file:
                file.write(b" and more")

    with pytest.raises(Unproven, match="changed while"):
        prove(run, tick=grow)


def test_a_stop_while_a_file_is_read_is_heard(run: DeletingRun) -> None:
    def stop(_count: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        prove(run, tick=stop)


MOUNTS = [
    Mount(b"8:1", b"/", b"/"),
    Mount(b"8:2", b"/", b"/srv/photos"),
    Mount(b"8:3", b"/", b"/mnt/nas"),
]


@pytest.mark.parametrize(
    ("more", "is_shared"),
    [
        ([], False),
        ([Mount(b"8:3", b"/photos", b"/srv/photos/backup")], True),
        ([Mount(b"8:3", b"/photos/2024", b"/srv/photos/backup")], True),
        ([Mount(b"8:3", b"/other", b"/srv/photos/backup")], False),
        ([Mount(b"8:2", b"/2024", b"/mnt/nas/photos/x")], True),
        ([Mount(b"8:3", b"/", b"/srv/photos")], True),
    ],
)
def test_a_bind_mount_that_brings_both_together_is_seen(more: list[Mount], is_shared: bool) -> None:
    mounts = [*MOUNTS, *more]
    ours = regions_of(b"/srv/photos", mounts)
    theirs = regions_of(b"/mnt/nas/photos", mounts)
    assert any(share(one, other) for one in ours for other in theirs) is is_shared


def test_one_copy_proves_one_file(run: DeletingRun) -> None:
    """As on a file system that does not tell A from a: both names lead to one file there."""
    (run.source / "folder" / "PHOTO.jpg").write_bytes(b"the only copy")
    (run.destination / "folder" / "PHOTO.jpg").hardlink_to(copy(run))
    run.prepare(source_deletion="per_file")
    names = contents_of(run.source).keys()

    assert run.perform().returncode == 0
    outcomes = run.outcomes()
    assert sorted(outcome for outcome, _ in outcomes.values()) == ["deleted", "kept"]
    assert len(contents_of(run.source)) == len(names) - 1
    assert {reason for _, reason in outcomes.values()} == {
        None,
        "What is at the destination is the copy of another source as well.",
    }
    assert not (run.directory / CLAIMED_NAME).exists()


def test_one_copy_of_two_links_proves_one_of_them(run: DeletingRun) -> None:
    for name in ("link", "LINK"):
        (run.source / name).symlink_to("folder")
    (run.destination / "link").symlink_to("folder")
    os.link(run.destination / "link", run.destination / "LINK", follow_symlinks=False)
    run.prepare(source_deletion="per_file")
    run.list_names(b"LINK", b"link")

    assert run.perform().returncode == 0
    assert run.outcomes()["LINK"] == ("deleted", None)
    assert run.outcomes()["link"][0] == "kept"


def test_one_copy_proves_both_names_of_one_file(run: DeletingRun) -> None:
    (run.source / "second name").hardlink_to(photo(run))
    copy_of(run.source, run.destination)
    assert (run.destination / "second name").samefile(copy(run))
    run.prepare()

    assert run.perform().returncode == 0
    assert contents_of(run.source) == {}


def test_a_copy_that_is_open_for_writing_is_no_proof(run: DeletingRun) -> None:
    with copy(run).open("ab"), pytest.raises(Unproven, match="copy open for writing"):
        prove(run)
