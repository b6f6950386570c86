"""Proves that a source goes only on proof, and that what changed since stays."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.new_run import RunLimits, new_run, spec_of
from core.open_tree import parts_of
from core.runner.proof import OPEN_FOR_WRITING
from core.runner.source_deletion import EXIT_REFUSED, EXIT_STOPPED
from core.runner.trash import Mover
from models.job import JobDefinition, faults_of
from models.job_state import JobRecord, JobState
from models.run_spec import TRASH_FOLDER
from models.source_deletions import DeletionOutcome
from tests.fakes.builders import NOON, a_definition, a_job
from tests.fakes.deleting_runs import (
    NAME,
    DeletingRun,
    a_fifo,
    a_link,
    a_photo_and_its_copy,
    contents_of,
    copy,
    copy_of,
    delete,
    longer_by_a_byte,
    lost_of,
    photo,
    prove,
    told,
)
from tests.support import wait_until


@pytest.fixture
def run(tmp_path: Path) -> DeletingRun:
    """One file in a folder, and its copy."""
    return a_photo_and_its_copy(tmp_path)


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


def another_mode(path: Path) -> None:
    path.chmod(0o640)


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


def test_all_or_nothing_keeps_both_of_two_files_with_one_copy(run: DeletingRun) -> None:
    (run.source / "folder" / "PHOTO.jpg").write_bytes(b"the only copy")
    (run.destination / "folder" / "PHOTO.jpg").hardlink_to(copy(run))
    before = contents_of(run.source)
    run.prepare()

    assert run.perform().returncode == EXIT_REFUSED
    assert contents_of(run.source) == before


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
