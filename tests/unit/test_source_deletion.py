"""Proves that a source goes only on proof, and that what changed since stays."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.new_run import RunLimits, new_run, spec_of
from core.runner.claimed_copies import CLAIMED_NAME
from core.runner.deleting import Deleter
from core.runner.mount_regions import Mount, regions_of, share
from core.runner.proof import OPEN_FOR_WRITING, Cancelled, Copies, Proof, Unproven
from core.runner.source_deletion import EXIT_REFUSED, EXIT_STOPPED
from core.runner.source_tree import Tree, parts_of
from core.runner.trash import Mover, PutBack, Trash, purge, put_back
from models.job import JobDefinition, faults_of
from models.job_state import JobRecord, JobState
from models.run_spec import TRASH_FOLDER
from models.source_deletions import DeletionOutcome
from tests.fakes.builders import NOON, a_definition, a_job
from tests.fakes.deleting_runs import DeletingRun, contents_of, copy_of, lost_of, told
from tests.support import wait_until

NAME = b"folder/photo.jpg"


@pytest.fixture
def run(tmp_path: Path) -> DeletingRun:
    """One file in a folder, and its copy."""
    run = DeletingRun(tmp_path / "from", tmp_path / "to", tmp_path / "run")
    (run.source / "folder").mkdir(parents=True)
    (run.source / "folder" / "photo.jpg").write_bytes(b"the only copy")
    copy_of(run.source, run.destination)
    return run


def nothing(_count: int) -> None:
    """Take no note."""


def prove(run: DeletingRun, name: bytes = NAME, tick: Callable[[int], None] = nothing) -> Proof:
    """Prove one file of a run."""
    source, destination = Tree.at(str(run.source)), Tree.at(str(run.destination))
    try:
        with source.place(name) as place, destination.place(name) as copy:
            copies = Copies(
                tick, sync=lambda _descriptor, _facts: None, claim=lambda _source, _copy: True
            )
            return copies.prove(name, place, copy)
    finally:
        source.close()
        destination.close()


def delete(
    run: DeletingRun, proof: Proof, *, keeps_trash: bool = False
) -> tuple[DeletionOutcome, str | None]:
    """Delete one proven file of a run."""
    source, destination = Tree.at(str(run.source)), Tree.at(str(run.destination))
    trash = Trash(source, run.run_id, remembers_folders=keeps_trash)
    try:
        deleter = Deleter(source, destination, trash, keeps_trash=keeps_trash, tick=nothing)
        return deleter.delete(proof)
    finally:
        trash.close()
        destination.close()
        source.close()


def photo(run: DeletingRun) -> Path:
    """The file's path in the source."""
    return run.source / "folder" / "photo.jpg"


def copy(run: DeletingRun) -> Path:
    """The file's path at the destination."""
    return run.destination / "folder" / "photo.jpg"


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


def rewritten_in_the_same_size_and_time(path: Path) -> None:
    facts = path.stat()
    path.write_bytes(b"another photo")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def replaced_with_the_same_size_and_time(path: Path) -> None:
    facts = path.stat()
    other = path.with_name("new")
    other.write_bytes(b"another photo")
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.replace(path)


def longer_by_a_byte(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"!")


def another_mode(path: Path) -> None:
    path.chmod(0o640)


def a_link(path: Path) -> None:
    path.rename(path.with_name("kept elsewhere"))
    path.symlink_to("kept elsewhere")


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CHANGES = [
    rewritten_in_the_same_size_and_time,
    replaced_with_the_same_size_and_time,
    longer_by_a_byte,
    another_mode,
    a_link,
    a_fifo,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changed_after_the_proof_stays(
    run: DeletingRun, change: Callable[[Path], None]
) -> None:
    proof = prove(run)
    change(photo(run))
    before = photo(run).lstat()

    outcome, reason = delete(run, proof)

    assert (outcome, reason) == (
        DeletionOutcome.KEPT,
        "It was changed after its copy had been proven.",
    )
    after = photo(run).lstat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert not (run.source / TRASH_FOLDER).exists()


class Meddler(Mover):
    """Changes the file in the moment between the last look and the move."""

    def __init__(self, change: Callable[[], None]) -> None:
        super().__init__()
        self._change: Callable[[], None] | None = change

    def move(self, source: object, target: object) -> None:
        change, self._change = self._change, None
        if change is not None:
            change()
        super().move(source, target)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", CHANGES[1:3] + CHANGES[4:], ids=lambda change: change.__name__)
def test_what_is_changed_in_the_last_moment_is_put_back(
    run: DeletingRun, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = prove(run)
    monkeypatch.setattr("core.runner.deleting.Mover", lambda: Meddler(lambda: change(photo(run))))

    outcome, reason = delete(run, proof)

    assert outcome is DeletionOutcome.KEPT
    assert reason == "It was changed after its copy had been proven."
    assert os.path.lexists(photo(run))
    if stat.S_ISREG(photo(run).lstat().st_mode):
        assert photo(run).read_bytes() in {b"another photo", b"the only copy!"}


def test_a_file_that_is_opened_for_writing_in_the_last_moment_is_put_back(
    run: DeletingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = prove(run)
    opened = []
    monkeypatch.setattr(
        "core.runner.deleting.Mover",
        lambda: Meddler(lambda: opened.append(photo(run).open("ab"))),
    )

    assert delete(run, proof) == (DeletionOutcome.KEPT, OPEN_FOR_WRITING)
    opened[0].write(b" and what comes later")
    opened[0].close()
    assert photo(run).read_bytes() == b"the only copy and what comes later"


def test_when_its_name_is_taken_meanwhile_both_files_are_kept(
    run: DeletingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = prove(run)

    class Replacing(Mover):
        moves = 0

        def move(self, source: object, target: object) -> None:
            self.moves += 1
            if self.moves == 1:
                longer_by_a_byte(photo(run))
            else:
                photo(run).write_bytes(b"a new one")
            super().move(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr("core.runner.deleting.Mover", Replacing)

    outcome, reason = delete(run, proof)

    assert outcome is DeletionOutcome.TRASHED
    assert reason is not None
    assert "lies in the trash folder" in reason
    assert photo(run).read_bytes() == b"a new one"
    kept = run.source / TRASH_FOLDER / f"{run.run_id}.aside" / "folder" / "photo.jpg"
    assert kept.read_bytes() == b"the only copy!"


def test_a_folder_that_became_a_link_leads_nowhere(run: DeletingRun, tmp_path: Path) -> None:
    proof = prove(run)
    outside = tmp_path / "outside"
    (run.source / "folder").rename(outside)
    (run.source / "folder").symlink_to(outside)

    outcome, reason = delete(run, proof)

    assert (outcome, reason) == (
        DeletionOutcome.KEPT,
        "A folder on the way to it was replaced by something else.",
    )
    assert (outside / "photo.jpg").read_bytes() == b"the only copy"


def test_both_names_of_one_file_go(run: DeletingRun) -> None:
    (run.source / "second name").hardlink_to(photo(run))
    copy_of(run.source, run.destination)
    proofs = [prove(run, NAME), prove(run, b"second name")]

    assert [delete(run, proof)[0] for proof in proofs] == [DeletionOutcome.DELETED] * 2


def test_the_second_name_of_a_changed_file_stays(run: DeletingRun) -> None:
    (run.source / "second name").hardlink_to(photo(run))
    copy_of(run.source, run.destination)
    proofs = [prove(run, NAME), prove(run, b"second name")]
    delete(run, proofs[0])
    rewritten_in_the_same_size_and_time(run.source / "second name")

    assert delete(run, proofs[1])[0] is DeletionOutcome.KEPT
    assert (run.source / "second name").read_bytes() == b"another photo"


@pytest.mark.parametrize("name", [b"", b"/etc/passwd", b"../x", b"a/../../x", b"a//b", b"."])
def test_a_name_that_leads_elsewhere_is_refused(name: bytes) -> None:
    with pytest.raises(OSError, match="no name within a tree"):
        parts_of(name)


def test_all_or_nothing_keeps_everything_for_a_single_doubt(run: DeletingRun) -> None:
    (run.source / "second").write_bytes(b"2")
    run.prepare()
    before = contents_of(run.source)

    performed = run.perform()

    assert performed.returncode == 4, performed.stderr
    assert (
        "Nothing was deleted at the source: 1 file has no proven copy" in told(performed)["message"]
    )
    assert contents_of(run.source) == before
    assert run.outcomes() == {"second": ("kept", "The destination has no file of this name.")}


def test_each_file_by_its_own_proof(run: DeletingRun) -> None:
    (run.source / "second").write_bytes(b"2")
    run.prepare(source_deletion="per_file")

    performed = run.perform()

    assert performed.returncode == 0, performed.stderr
    assert (told(performed)["deleted"], told(performed)["kept"]) == (1, 1)
    assert list(contents_of(run.source)) == [b"second"]
    assert run.outcomes()["folder/photo.jpg"] == ("deleted", None)


def test_what_is_not_on_the_list_stays(run: DeletingRun) -> None:
    (run.source / "second").write_bytes(b"2")
    copy_of(run.source, run.destination)
    run.prepare()
    run.list_names(b"second")

    assert run.perform().returncode == 0
    assert list(contents_of(run.source)) == [NAME]


def test_the_trash_of_earlier_runs_is_no_source(run: DeletingRun) -> None:
    trash = run.source / TRASH_FOLDER / "run-0"
    trash.mkdir(parents=True)
    (trash / "kept").write_bytes(b"of an earlier run")
    copy_of(run.source, run.destination)
    run.prepare()

    assert run.perform().returncode == 0
    assert (trash / "kept").read_bytes() == b"of an earlier run"


def test_a_destination_that_is_the_source_by_another_path_deletes_nothing(
    run: DeletingRun, tmp_path: Path
) -> None:
    run.destination = tmp_path / "alias"
    run.destination.symlink_to(run.source)
    run.prepare()

    performed = run.perform()

    assert performed.returncode == 4
    assert "source itself" in told(performed)["message"]
    assert photo(run).exists()


def test_the_manifest_and_the_record_are_for_nobody_else(run: DeletingRun) -> None:
    run.prepare()
    assert run.perform().returncode == 0
    for name in ("manifest.jsonl", "deletions.jsonl"):
        path = run.directory / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, name
    assert b'"content":"sha256:' in (run.directory / "manifest.jsonl").read_bytes()


def test_a_trash_folder_that_is_a_link_is_not_followed(run: DeletingRun, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (run.source / TRASH_FOLDER).symlink_to(outside)
    run.prepare()
    run.list_names(NAME)

    assert run.perform().returncode == 1
    assert photo(run).exists()
    assert list(outside.iterdir()) == []


def put_back_all(run: DeletingRun) -> tuple[PutBack, dict[bytes, str | None]]:
    """Put back what a run moved into the trash folder; returns what was told of each name."""
    heard: dict[bytes, str | None] = {}
    done = put_back(str(run.source), run.run_id, tell=heard.__setitem__)
    return done, heard


def test_what_lies_in_the_trash_comes_back_as_it_was(run: DeletingRun) -> None:
    (run.source / "folder").chmod(0o750)
    (run.source / "link").symlink_to("folder")
    copy_of(run.source, run.destination)
    before = contents_of(run.source)
    run.prepare(trash_days=30, delete_empty_directories=True)
    assert run.perform().returncode == 0
    assert os.listdir(run.source) == [TRASH_FOLDER]

    done, heard = put_back_all(run)

    assert (done, heard) == (PutBack(2, 0), {NAME: None, b"link": None})
    assert contents_of(run.source) == before
    assert stat.S_IMODE((run.source / "folder").stat().st_mode) == 0o750
    assert sorted(os.listdir(run.source)) == ["folder", "link"]


def test_nothing_is_put_back_over_what_is_there_by_now(run: DeletingRun) -> None:
    run.prepare(trash_days=30)
    assert run.perform().returncode == 0
    photo(run).write_bytes(b"a new one of the same name")

    done, heard = put_back_all(run)

    assert done == PutBack(0, 1)
    assert heard[NAME] == "Another file has its name by now: it stays in the trash folder."
    assert photo(run).read_bytes() == b"a new one of the same name"
    kept = run.source / TRASH_FOLDER / run.run_id / "folder" / "photo.jpg"
    assert kept.read_bytes() == b"the only copy"


def test_nothing_is_put_back_through_a_link(run: DeletingRun, tmp_path: Path) -> None:
    run.prepare(trash_days=30, delete_empty_directories=True)
    assert run.perform().returncode == 0
    (tmp_path / "outside").mkdir()
    (run.source / "folder").symlink_to(tmp_path / "outside")

    done, _ = put_back_all(run)

    assert done == PutBack(0, 1)
    assert list((tmp_path / "outside").iterdir()) == []


def test_the_trash_of_one_run_is_removed_and_that_of_others_stays(run: DeletingRun) -> None:
    run.prepare(trash_days=30)
    assert run.perform().returncode == 0
    other = run.source / TRASH_FOLDER / "run-2"
    other.mkdir()
    (other / "file").touch()

    assert purge(str(run.source), run.run_id)
    assert not purge(str(run.source), run.run_id)
    assert os.listdir(run.source / TRASH_FOLDER) == ["run-2"]
    assert copy(run).read_bytes() == b"the only copy"


def test_what_is_in_the_trash_folder_of_a_link_is_not_removed(
    run: DeletingRun, tmp_path: Path
) -> None:
    (tmp_path / "outside" / run.run_id).mkdir(parents=True)
    (run.source / TRASH_FOLDER).symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        purge(str(run.source), run.run_id)
    assert (tmp_path / "outside" / run.run_id).exists()


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


def test_what_a_run_that_was_killed_had_moved_aside_comes_back(run: DeletingRun) -> None:
    source = Tree.at(str(run.source))
    trash = Trash(source, "killed", remembers_folders=False)
    with source.place(NAME) as place, trash.place(NAME) as aside:
        Mover().move(place, aside)
    assert not photo(run).exists()
    run.prepare()

    assert told(run.put_back_cut_off())["message"] is None, "its run lives"
    assert not photo(run).exists()

    os.close(trash._tree.top)
    assert "1 file was put back at the source" in told(run.put_back_cut_off())["message"]
    assert photo(run).read_bytes() == b"the only copy"
    assert not (run.source / TRASH_FOLDER).exists()


def test_what_is_kept_in_the_trash_is_nothing_that_was_cut_off(run: DeletingRun) -> None:
    run.prepare(trash_days=30)
    assert run.perform().returncode == 0

    assert told(run.put_back_cut_off())["message"] is None
    assert not photo(run).exists()
    assert put_back_all(run)[0] == PutBack(1, 0)


def test_a_stop_between_two_files_leaves_nothing_in_between(run: DeletingRun) -> None:
    for number in range(2000):
        (run.source / f"{number}").write_bytes(b"%d" % number)
    copy_of(run.source, run.destination)
    before = contents_of(run.source)
    run.prepare()
    with subprocess.Popen(run.command, stdout=subprocess.DEVNULL, cwd="/") as process:
        wait_until(lambda: len(os.listdir(run.source)) < 2000, what="the first deletion")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == EXIT_STOPPED

    left = contents_of(run.source)
    assert 0 < len(left) < len(before)
    assert lost_of(run, before) == []
    assert not (run.source / TRASH_FOLDER).exists()
    outcomes = {os.fsencode(path): told for path, told in run.outcomes().items()}
    assert {name for name, told in outcomes.items() if told[0] == "deleted"} == before.keys() - left
    assert {told[0] for told in outcomes.values()} <= {"deleted", "kept"}


def test_the_marker_of_a_source_stays(run: DeletingRun) -> None:
    (run.source / "folder" / "this is the disk").touch()
    copy_of(run.source, run.destination)
    run.prepare(source_marker="folder/this is the disk")

    assert run.perform().returncode == 0
    assert contents_of(run.source).keys() == {b"folder/this is the disk"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"verification": "fast"}, "choose the verification"),
        ({"verification": "off"}, "choose the verification"),
        ({"source": "ssh://nas/photos"}, "Only a source on this machine"),
        ({"destination": "ssh://nas/photos"}, "when the destination is on this machine"),
        ({"destination": "rsync://nas/photos"}, "when the destination is on this machine"),
        ({"options": {"delete_extraneous": True}}, "would delete their copies"),
    ],
)
def test_a_job_that_could_delete_without_proof_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    good = a_definition(verification="checksum", source_deletion={"enabled": True})
    assert JobDefinition.model_validate(good).source_deletion.enabled
    with pytest.raises(ValidationError) as refused:
        JobDefinition.model_validate({**good, **fields})
    faults = {fault.field: fault.message for fault in faults_of(refused.value)}
    assert message in faults["source_deletion.enabled"]


def test_what_such_a_job_replaces_at_the_destination_is_always_kept() -> None:
    for enabled in (False, True):
        job = a_job(verification="checksum", source_deletion={"enabled": enabled})
        record = JobRecord(job, JobState(job.id))
        run = new_run(job, now=NOON)
        spec = spec_of(run, record, tool_path="/usr/bin/rsync", limits=RunLimits())
        assert (spec.keep_replaced_in is not None) is enabled
        assert spec.source_deletion == ("verify_then_delete" if enabled else None)


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


def test_all_or_nothing_keeps_both_of_two_files_with_one_copy(run: DeletingRun) -> None:
    (run.source / "folder" / "PHOTO.jpg").write_bytes(b"the only copy")
    (run.destination / "folder" / "PHOTO.jpg").hardlink_to(copy(run))
    before = contents_of(run.source)
    run.prepare()

    assert run.perform().returncode == EXIT_REFUSED
    assert contents_of(run.source) == before


def test_one_copy_proves_both_names_of_one_file(run: DeletingRun) -> None:
    (run.source / "second name").hardlink_to(photo(run))
    copy_of(run.source, run.destination)
    assert (run.destination / "second name").samefile(copy(run))
    run.prepare()

    assert run.perform().returncode == 0
    assert contents_of(run.source) == {}


def gone(path: Path) -> None:
    path.unlink()


def written_to(path: Path) -> None:
    path.write_bytes(b"another photo")


def a_link_of_its_size_and_time(path: Path) -> None:
    facts = path.stat()
    path.unlink()
    path.symlink_to("x" * facts.st_size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns), follow_symlinks=False)


COPY_CHANGES = [gone, written_to, longer_by_a_byte, a_link, a_link_of_its_size_and_time, a_fifo]


@pytest.mark.parametrize("change", COPY_CHANGES, ids=lambda change: change.__name__)
def test_what_has_lost_its_copy_since_the_proof_stays(
    run: DeletingRun, change: Callable[[Path], None]
) -> None:
    proof = prove(run)
    change(copy(run))

    assert delete(run, proof) == (
        DeletionOutcome.KEPT,
        "Its copy was changed or removed after it had been proven.",
    )
    assert photo(run).read_bytes() == b"the only copy"
    assert not (run.source / TRASH_FOLDER).exists()


def test_a_copy_that_is_open_for_writing_is_no_proof(run: DeletingRun) -> None:
    with copy(run).open("ab"), pytest.raises(Unproven, match="copy open for writing"):
        prove(run)
