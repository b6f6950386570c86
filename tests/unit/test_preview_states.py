"""Proves that a dry run leaves its job as it was: every pair of statuses, every end, every restart.

The commands run against ports in memory; real tools and killed servers are in
`tests/integration/test_dry_run.py`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from core.interruptions import NEVER_BEGAN, NOT_OURS, RESTARTED, RUNNER_GONE, of_dry_run
from core.recovery import recover
from models.errors import IllegalTransition, InvalidDocument, JobIsActive
from models.job_state import AtRest, JobState
from models.job_status import ACTIVE_STATUSES, JobStatus
from models.progress import Progress, RunOutcome
from models.run import MAX_DRY_RUNS
from models.run_spec import RunKind
from models.transitions import advance, begin_dry_run, end_dry_run
from storage.job_documents import state_content, state_from
from tests.fakes.builders import a_run
from tests.fakes.outside import World
from tests.fakes.scenes import ended, put

AT_REST = [status for status in JobStatus if status not in ACTIVE_STATUSES]
PAIRS = list(itertools.product(JobStatus, JobStatus))
# Written out once more, on purpose: a change of the table has to be made twice.
ALLOWED = {("queued", "running"), ("running", "stopping")}
ENDS = ["completed", "warning", "failed", "paused", "interrupted"]


def rested(status: JobStatus) -> JobState:
    """Return a job at rest with everything that a dry run must bring back."""
    return JobState(
        "photos-0001",
        status=status,
        version=7,
        run_id="run-1",
        definition_version=3,
        message="as it was",
        progress=Progress(bytes_done=5, percent=50.0),
        changed_at="then",
        last_good_at="long ago",
    )


@pytest.mark.parametrize("before", AT_REST)
@pytest.mark.parametrize(("current", "wanted"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_every_pair(before: JobStatus, current: JobStatus, wanted: JobStatus) -> None:
    state = replace(rested(current), before_dry_run=AtRest(before))
    if (current, wanted) in ALLOWED:
        moved = advance(state, wanted, changed_at="now")
        assert (moved.status, moved.before_dry_run) == (wanted, state.before_dry_run)
    else:
        with pytest.raises(IllegalTransition):
            advance(state, wanted, changed_at="now")


@pytest.mark.parametrize("status", list(JobStatus))
def test_it_begins_at_rest_and_all_comes_back_from_each_of_its_statuses(status: JobStatus) -> None:
    before = rested(status)
    if status in ACTIVE_STATUSES:
        with pytest.raises(IllegalTransition):
            begin_dry_run(before, changed_at="now")
        return
    queued = begin_dry_run(before, changed_at="now")
    running = advance(queued, JobStatus.RUNNING, changed_at="later")
    stopping = replace(advance(running, JobStatus.STOPPING, changed_at="x"), stop_requested=True)
    for state in (queued, running, stopping):
        shown = replace(state, run_id="run-2", message="told", progress=Progress(percent=9.0))
        assert shown.is_dry_run
        assert end_dry_run(shown) == before


@pytest.mark.parametrize("status", list(JobStatus))
def test_without_one_there_is_none_to_end(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition):
        end_dry_run(rested(status))


def test_what_is_remembered_stands_in_the_file() -> None:
    state = begin_dry_run(rested(JobStatus.PAUSED), changed_at="now")
    kept = state_from(state_content(state), "photos-0001")
    assert kept == state
    assert end_dry_run(kept) == rested(JobStatus.PAUSED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("status: queued", "status: completed"),
        ("  status: paused", "  status: running"),
        ("  status: paused", "  status: nonsense"),
    ],
)
def test_a_file_that_contradicts_itself_is_damaged(old: str, new: str) -> None:
    content = state_content(begin_dry_run(rested(JobStatus.PAUSED), changed_at="now")).decode()
    assert old in content
    with pytest.raises(InvalidDocument):
        state_from(content.replace(old, new, 1).encode(), "photos-0001")


async def start(world: World, status: JobStatus, **fields: object) -> tuple[str, JobState]:
    """Put a job into a status and start a dry run of it; returns the run and the state before."""
    values = {"run_id": "run-1", "message": "as it was", "definition_version": 1}
    progress = Progress(bytes_total=10, files_total=4, percent=50.0, current_file="half")
    await put(world, status=status, progress=progress, last_good_at="then", **values, **fields)  # type: ignore[arg-type]
    before = world.jobs.snapshot()["photos-0001"].state
    return await world.manager.start_dry_run("photos-0001"), before


def state_of(world: World) -> JobState:
    """Return what is kept of the job, without its version."""
    return replace(world.jobs.kept["photos-0001"], version=0)


@pytest.mark.parametrize("status", AT_REST)
@pytest.mark.parametrize("outcome", ENDS)
async def test_whatever_its_end_says_the_job_is_what_it_was(
    status: JobStatus, outcome: str
) -> None:
    world = World()
    run_id, before = await start(world, status)
    spec = world.directories.specs[run_id]
    assert (spec.kind, world.runs.kept[run_id].kind) == (RunKind.DRY_RUN, RunKind.DRY_RUN)
    assert world.jobs.kept["photos-0001"].status is JobStatus.RUNNING
    with pytest.raises(JobIsActive, match="preview"):
        await world.manager.start_dry_run("photos-0001")
    assert await world.manager.update_job_from_engine(run_id, [ended(outcome, message="told")])
    assert state_of(world) == replace(before, version=0)
    run = world.runs.kept[run_id]
    assert run.is_over
    assert "resumed" not in str(run.message), "nobody stopped it, and there is nothing to resume"


@pytest.mark.parametrize("status", AT_REST)
@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
async def test_a_dead_runner_leads_back_too(
    status: JobStatus, stopped: bool, restarted: bool
) -> None:
    world = World()
    run_id, before = await start(world, status)
    if stopped:
        await world.manager.stop_job("photos-0001")
    world.directories.held.clear()
    if restarted:
        world.restart()
        await recover(world.jobs, world.directories, world.manager)
    else:
        await world.manager.close_dead_run(run_id)
    assert state_of(world) == replace(before, version=0)
    run = world.runs.kept[run_id]
    assert run.outcome is (RunOutcome.PAUSED if stopped else RunOutcome.INTERRUPTED)
    assert "resumed" not in str(run.message)
    assert not world.manager.has_waiting()


@pytest.mark.parametrize("in_history", [True, False])
async def test_one_that_lives_is_adopted_as_what_it_is(in_history: bool) -> None:
    world = World()
    run_id, before = await start(world, JobStatus.PAUSED)
    if not in_history:
        await world.runs.remove(run_id)
    world.restart()
    await recover(world.jobs, world.directories, world.manager)
    assert (await world.runs.get(run_id)).kind == RunKind.DRY_RUN
    await world.manager.update_job_from_engine(run_id, [ended()])
    assert state_of(world) == replace(before, version=0)


@pytest.mark.parametrize("status", AT_REST)
async def test_one_that_waited_is_withdrawn(status: JobStatus) -> None:
    world = World(limit=1)
    await put(world, "other")
    await world.manager.start_job("other")
    run_id, before = await start(world, status)
    assert world.jobs.kept["photos-0001"].status is JobStatus.QUEUED
    await world.manager.stop_job("photos-0001")
    assert state_of(world) == replace(before, version=0)
    assert run_id not in world.runs.kept


async def test_a_start_that_cannot_be_kept_leaves_the_job_as_it_was() -> None:
    world = World()
    await put(world, status=JobStatus.PAUSED, run_id="run-1", message="as it was")
    before = replace(world.jobs.kept["photos-0001"], version=0) if world.jobs.kept else None
    world.runs.failing.add("add")
    with pytest.raises(Exception, match="add"):
        await world.manager.start_dry_run("photos-0001")
    assert before is None or state_of(world) == before
    assert not world.jobs.snapshot()["photos-0001"].state.is_dry_run


async def test_a_withdrawn_transfer_does_not_take_a_dry_run_for_the_last_run() -> None:
    world = World(limit=1)
    await put(world, "other")
    await put(world)
    first = await world.manager.start_job("photos-0001")
    await world.manager.update_job_from_engine(first, [ended("failed", message="It failed.")])
    dry = await world.manager.start_dry_run("photos-0001")
    await world.manager.update_job_from_engine(dry, [ended()])
    await world.manager.start_job("other")
    await world.manager.start_job("photos-0001")
    await world.manager.stop_job("photos-0001")
    state = world.jobs.kept["photos-0001"]
    assert (state.status, state.run_id, state.message) == ("failed", first, "It failed.")


async def test_what_follows_is_told_nothing_by_a_dry_run() -> None:
    world = World()
    _, _ = await start(world, JobStatus.PAUSED)
    run_id = world.jobs.kept["photos-0001"].run_id
    assert run_id is not None
    await world.manager.update_job_from_engine(run_id, [ended()])
    second = world.directories.specs[await world.manager.start_job("photos-0001")]
    assert (second.kind, second.resume, second.cut_off_file) == (RunKind.TRANSFER, True, "half")
    assert (second.expected_bytes, second.expected_files) == (10, 4)


async def test_a_dry_run_that_is_cut_off_does_not_go_on_by_itself() -> None:
    world = World(resume_interrupted=True)
    run_id, before = await start(world, JobStatus.COMPLETED)
    await world.manager.close_dead_run(run_id)
    assert state_of(world) == replace(before, version=0)
    assert len(world.directories.specs) == 1


async def test_dry_runs_do_not_hide_how_often_a_job_was_cut_off() -> None:
    world = World(resume_interrupted=True)
    await put(world, status=JobStatus.INTERRUPTED, run_id="run-5")
    for number in range(6):
        cut = replace(a_run(f"run-{number}"), status=JobStatus.INTERRUPTED)
        await world.runs.add(replace(cut, outcome=RunOutcome.INTERRUPTED))
        dry = replace(cut, id=f"dry-{number}", kind=RunKind.DRY_RUN, status=JobStatus.COMPLETED)
        await world.runs.add(replace(dry, outcome=RunOutcome.COMPLETED))
    await world.manager.resume_interrupted("photos-0001")
    assert world.jobs.snapshot()["photos-0001"].state.status is JobStatus.INTERRUPTED


async def test_dry_runs_are_kept_beside_the_last_transfer_and_not_for_ever() -> None:
    world = World()
    run_id, _ = await start(world, JobStatus.COMPLETED)
    old = "2020-01-01T10:00:00.000Z"
    done = {"status": JobStatus.COMPLETED, "outcome": RunOutcome.COMPLETED, "ended_at": old}
    await world.runs.add(replace(a_run("run-1"), **done))  # type: ignore[arg-type]
    for number in range(MAX_DRY_RUNS + 3):
        dry = replace(a_run(f"dry-{number:02d}"), kind=RunKind.DRY_RUN)
        await world.runs.add(replace(dry, **done))  # type: ignore[arg-type]
    await world.manager.update_job_from_engine(run_id, [ended()])
    assert sum(run.kind == RunKind.DRY_RUN for run in world.runs.kept.values()) == MAX_DRY_RUNS
    await world.manager.cleanup_stopped_engines()
    assert "run-1" in world.runs.kept, "the job names it as its last run"


@pytest.mark.parametrize("reason", [NOT_OURS, NEVER_BEGAN, RESTARTED, RUNNER_GONE])
def test_a_reason_does_not_speak_of_resuming(reason: str) -> None:
    told = of_dry_run(reason)
    assert told.endswith("The dry run can be started again.")
    assert "The job can" not in told
