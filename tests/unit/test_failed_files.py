"""Proves which failed files may be tried again by themselves, that such a run deletes nothing, and
what it leaves its job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.failed_files import STILL_TO_DO, listed, names_to_retry, narrowed
from models.errors import RetryRefused, RunNotFound
from models.events import JournalLine
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import FailedFile, Phase, Run, RunFiles
from models.run_spec import RunKind
from tests.fakes.builders import NOON, a_job, a_run, a_spec
from tests.fakes.outside import World
from tests.fakes.scenes import END, ended, put, status

JOB = "photos-0001"
FILES = RunFiles((FailedFile("a", "no", "a"), FailedFile("b\\n", "no", "b\n")))
TRANSFERRED = (Phase("transfer", NOON, NOON, "completed"), Phase("verify", NOON, NOON, "failed"))


def failed_run(run_id: str = "run-1", **fields: Any) -> Run:
    """Return an ended run of which two files failed."""
    values: dict[str, Any] = {
        "status": JobStatus.COMPLETED,
        "outcome": RunOutcome.WARNING,
        "ended_at": END,
        "files_failed": 2,
        "destination": f"/mnt/nas/{JOB}",
        "message": "Some files could not be copied.",
    }
    return a_run(run_id, **(values | fields))


def a_record(status: JobStatus = JobStatus.COMPLETED, **fields: Any) -> JobRecord:
    """Return the job of that run."""
    job = a_job(JOB, destination=f"/mnt/nas/{JOB}", **fields)
    return JobRecord(job, JobState(JOB, status, run_id="run-1"))


@pytest.mark.parametrize(
    ("run", "files", "record", "words"),
    [
        ({}, FILES, a_record(JobStatus.RUNNING), "running"),
        ({}, FILES, a_record(JobStatus.QUEUED), "queued"),
        ({}, FILES, a_record(JobStatus.PAUSED), "resume it"),
        ({}, FILES, a_record(JobStatus.INTERRUPTED), "resume it"),
        ({}, FILES, a_record(JobStatus.PENDING), "start it"),
        ({"kind": RunKind.DRY_RUN}, FILES, a_record(), "would do"),
        ({}, FILES, a_record(source="/srv/other"), "another engine, source"),
        ({"destination": "/mnt/b"}, FILES, a_record(), "another engine, source"),
        ({}, FILES, a_record(engine="rclone"), "another engine, source"),
        ({"files_failed": 0}, RunFiles(), a_record(), "No file failed"),
        ({"files_failed": 2}, RunFiles(), a_record(), "did not tell"),
        ({}, RunFiles((FailedFile("a", "no"),)), a_record(), "did not tell"),
        ({}, RunFiles((*FILES.failed[:1], FailedFile("b", "no"))), a_record(), "of 1 alone"),
        ({"files_failed": 1500}, FILES, a_record(), "1,500 files failed, and of 2 alone"),
        *(
            ({}, RunFiles((FILES.failed[0], FailedFile("x", why, "x"))), a_record(), "A folder")
            for why in (
                "opendir failed: Permission denied (13)",
                "recv_generator: mkdir failed: Permission denied (13)",
                "directory has vanished",
                "error reading source directory: open /s/x: permission denied",
            )
        ),
        *(
            ({}, RunFiles((FILES.failed[0], FailedFile("x", "no", name))), a_record(), "of 1 alone")
            for name in ("/etc/passwd", "../x", "a/../../x", "..", "a\0b", "", "\ud800")
        ),
    ],
)
def test_what_cannot_be_tried_again_by_itself(
    run: dict[str, Any], files: RunFiles, record: JobRecord, words: str
) -> None:
    with pytest.raises(RetryRefused) as refused:
        names_to_retry(failed_run(**run), files, record)
    assert words in refused.value.reason
    assert refused.value.reason.endswith(".")


def test_each_name_once_and_as_it_is_on_disk() -> None:
    names = (
        "-rf",
        "a\nb",
        "bytes \udcff",
        "[glob]*",
        "..hidden",
        "a..b/c",
        " ",
        "#x",
        "two/..three",
    )
    files = tuple(FailedFile("shown", "no", name) for name in names)
    # A file that the transfer and the verification both told of was counted twice.
    run = failed_run(files_failed=len(names) + 1)

    assert names_to_retry(run, RunFiles(files, repeated=1), a_record()) == names


def test_rsync_must_not_take_a_name_for_a_comment() -> None:
    names = ("#a", ";b", "c#", "d/#e", "-f")
    assert listed(names, "rsync") == ("./#a", "./;b", "c#", "d/#e", "-f")
    assert listed(names, "rclone") == names


@pytest.mark.parametrize(
    ("verification", "outcome", "expected"),
    [
        ("checksum", RunOutcome.FAILED, ("--sparse", "--ignore-times")),
        ("checksum", RunOutcome.WARNING, ("--sparse",)),
        ("fast", RunOutcome.FAILED, ("--sparse",)),
    ],
)
def test_what_a_checksum_found_wrong_is_sent_whatever_its_size_and_time(
    verification: str, outcome: RunOutcome, expected: tuple[str, ...]
) -> None:
    spec = a_spec(verification=verification, extra_args=("--sparse",))
    assert narrowed(spec, failed_run(outcome=outcome)).extra_args == expected


def test_such_a_run_deletes_nothing_and_expects_no_totals_of_all_files() -> None:
    spec = a_spec(
        delete_extraneous=True,
        max_delete=7,
        source_deletion="per_file",
        delete_empty_directories=True,
        trash_days=3,
        expected_bytes=1,
        expected_files=1,
        exclude=("*.tmp",),
        keep_replaced_in="kept",
    )

    found = narrowed(spec, failed_run())

    assert found == a_spec(only_failed_of="run-1", exclude=("*.tmp",), keep_replaced_in="kept")


async def scene(world: World, failed: Run, **state: Any) -> None:
    """Put a job into the world whose last run failed with two files."""
    values: dict[str, Any] = {
        "status": failed.status,
        "run_id": failed.id,
        "message": failed.message,
        "definition_version": 1,
        "last_good_at": "2026-11-20T10:00:00.000Z",
    }
    await put(world, JOB, **(values | state))
    await world.runs.add(failed)
    world.directories.found_files[failed.id] = FILES


async def retry_to_end(world: World, run_id: str, outcome: str = "completed", **end: Any) -> Run:
    """Start a retry and let it end so; returns its run."""
    new_id = await world.manager.retry_failed(run_id)
    assert await world.manager.update_job_from_engine(new_id, [ended(outcome, **end)])
    return await world.runs.get(new_id)


async def test_a_retry_is_a_run_of_its_own_over_those_files() -> None:
    world = World()
    await scene(world, failed_run())

    new_id = await world.manager.retry_failed("run-1")

    run = await world.runs.get(new_id)
    assert (run.only_failed_of, run.only_files, run.leaves_job) == ("run-1", 2, None)
    assert run.kind == RunKind.TRANSFER
    assert world.directories.only_files[new_id] == ("a", "b\n")
    assert world.directories.specs[new_id].only_failed_of == "run-1"
    assert world.executor.submitted == [new_id]
    assert status(world, JOB) is JobStatus.RUNNING
    with pytest.raises(RetryRefused, match="running"):
        await world.manager.retry_failed("run-1")


async def test_a_start_over_everything_has_no_such_list() -> None:
    world = World()
    await scene(world, failed_run())
    totals = Progress(bytes_done=7, bytes_total=7, files_total=2, percent=100.0)
    await retry_to_end(world, "run-1", progress=totals)

    run_id = await world.manager.start_job(JOB)

    assert world.directories.only_files[run_id] == ()
    spec = world.directories.specs[run_id]
    # Nor are the totals of two files taken for those of all.
    assert (spec.only_failed_of, spec.expected_bytes, spec.expected_files) == (None, None, None)


async def test_when_all_of_them_are_good_the_job_is_completed() -> None:
    world = World()
    await scene(world, failed_run())

    await retry_to_end(world, "run-1")

    state = world.jobs.snapshot()[JOB].state
    assert (state.status, state.message, state.last_good_at) == (JobStatus.COMPLETED, None, END)


async def test_after_a_verification_that_found_them_the_job_is_completed_too() -> None:
    world = World()
    await scene(
        world,
        failed_run(status=JobStatus.FAILED, outcome=RunOutcome.FAILED, phases=TRANSFERRED),
    )

    await retry_to_end(world, "run-1")

    state = world.jobs.snapshot()[JOB].state
    assert (state.status, state.message, state.last_good_at) == (JobStatus.COMPLETED, None, END)


@pytest.mark.parametrize("outcome", ["completed", "warning"])
async def test_a_run_that_ended_early_left_more_to_do_than_these_files(outcome: str) -> None:
    world = World()
    cut = replace(TRANSFERRED[0], outcome="failed")
    early = failed_run(status=JobStatus.FAILED, outcome=RunOutcome.FAILED, phases=(cut,))
    await scene(world, early)

    again = await retry_to_end(world, "run-1", outcome)

    state = world.jobs.snapshot()[JOB].state
    assert (state.status, state.message) == (JobStatus.FAILED, STILL_TO_DO)
    assert state.last_good_at == "2026-11-20T10:00:00.000Z"
    assert again.outcome == outcome
    # Nor does a second one make it whole.
    world.directories.found_files[again.id] = FILES
    await world.runs.save(replace(again, files_failed=2))
    await retry_to_end(world, again.id)
    assert status(world, JOB) is JobStatus.FAILED


async def test_an_older_run_does_not_make_good_what_a_later_one_left_undone() -> None:
    world = World()
    await scene(world, failed_run())
    later = failed_run("run-2", status=JobStatus.FAILED, outcome=RunOutcome.FAILED)
    await world.runs.add(later)
    await world.jobs.transform(
        JOB,
        lambda record: replace(
            record, state=replace(record.state, status=JobStatus.FAILED, run_id="run-2")
        ),
    )

    await retry_to_end(world, "run-1")

    assert status(world, JOB) is JobStatus.FAILED


async def test_files_of_an_older_run_when_the_last_one_did_all_it_should() -> None:
    world = World()
    await scene(world, failed_run(), run_id="run-2", message=None)

    await retry_to_end(world, "run-1")

    assert world.jobs.snapshot()[JOB].state.message is None
    assert status(world, JOB) is JobStatus.COMPLETED


async def test_a_retry_that_fails_leaves_a_failed_job() -> None:
    world = World()
    await scene(world, failed_run())

    await retry_to_end(world, "run-1", "failed", message="No.")

    state = world.jobs.snapshot()[JOB].state
    assert (state.status, state.message) == (JobStatus.FAILED, "No.")


async def test_what_is_refused_leaves_nothing_behind() -> None:
    world = World()
    await scene(world, failed_run(source="/elsewhere"))
    before = world.jobs.snapshot()[JOB]

    with pytest.raises(RetryRefused):
        await world.manager.retry_failed("run-1")
    with pytest.raises(RunNotFound):
        await world.manager.retry_failed("none")

    assert world.jobs.snapshot()[JOB] == before
    assert list(world.runs.kept) == ["run-1"]
    assert world.directories.specs == {}


async def test_a_folder_is_not_tried_again_by_its_name(tmp_path: Path) -> None:
    world = World()
    (tmp_path / "a").mkdir()
    job = a_job(JOB, source=str(tmp_path))
    await world.jobs.create(job, JobState(JOB, JobStatus.COMPLETED, run_id="run-1"))
    await world.runs.add(failed_run(source=job.source, destination=job.destination))
    world.directories.found_files["run-1"] = FILES

    with pytest.raises(RetryRefused, match="A folder is among them"):
        await world.manager.retry_failed("run-1")
    (tmp_path / "a").rmdir()
    (tmp_path / "a").symlink_to(tmp_path)

    await world.manager.retry_failed("run-1")


async def test_a_queued_retry_that_is_stopped_leaves_the_job_as_it_was() -> None:
    world = World(limit=1)
    await scene(world, failed_run())
    await put(world, "other-0001")
    await world.manager.start_job("other-0001")

    new_id = await world.manager.retry_failed("run-1")
    assert status(world, JOB) is JobStatus.QUEUED
    await world.manager.stop_job(JOB)

    state = world.jobs.snapshot()[JOB].state
    assert (state.status, state.run_id) == (JobStatus.COMPLETED, "run-1")
    assert new_id not in world.directories.specs


async def test_a_queued_retry_is_one_still_when_its_turn_comes() -> None:
    world = World(limit=1)
    await scene(world, failed_run())
    await put(world, "other-0001")
    other = await world.manager.start_job("other-0001")
    new_id = await world.manager.retry_failed("run-1")

    await world.manager.update_job_from_engine(other, [ended()])
    lines: list[JournalLine] = [ended()]
    await world.manager.update_job_from_engine(new_id, lines)

    assert (await world.runs.get(new_id)).only_failed_of == "run-1"
    assert status(world, JOB) is JobStatus.COMPLETED
