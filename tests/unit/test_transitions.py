"""Proves the state machine: every pair of statuses is allowed or refused as written here."""

from __future__ import annotations

import itertools

import pytest

from models.errors import IllegalTransition
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.transitions import STATUS_OF_OUTCOME, TRANSITIONS, advance

# Written out once more, on purpose: a change of the table has to be made twice.
ALLOWED = {
    "pending": "queued",
    "queued": "pending paused completed failed interrupted running",
    "running": "stopping paused completed failed interrupted",
    "stopping": "paused completed failed interrupted",
    "paused": "queued pending",
    "completed": "queued",
    "failed": "queued",
    "interrupted": "queued pending",
}
PAIRS = list(itertools.product(JobStatus, JobStatus))


def test_the_table_covers_every_status() -> None:
    assert set(TRANSITIONS) == set(JobStatus)


@pytest.mark.parametrize(("current", "wanted"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_every_pair(current: JobStatus, wanted: JobStatus) -> None:
    state = JobState("photos", status=current, message="old", changed_at="then", version=7)
    if wanted in ALLOWED[current].split():
        moved = advance(state, wanted, changed_at="now", message="new")
        assert (moved.status, moved.changed_at, moved.message) == (wanted, "now", "new")
        assert (moved.job_id, moved.version) == ("photos", 7)
        assert state.status is current, "the old state is a value and stays"
    else:
        with pytest.raises(IllegalTransition) as caught:
            advance(state, wanted, changed_at="now")
        facts = caught.value
        assert (facts.job_id, facts.current, facts.wanted) == ("photos", current, wanted)
        assert str(facts) == f"Job 'photos' is {current}; it cannot become {wanted}."


@pytest.mark.parametrize("current", [s for s in JobStatus if "queued" in ALLOWED[s].split()])
def test_a_queued_job_knows_what_it_was(current: JobStatus) -> None:
    queued = advance(JobState("photos", status=current), JobStatus.QUEUED, changed_at="now")
    assert queued.previous_status is current
    assert queued.message is None
    running = advance(queued, JobStatus.RUNNING, changed_at="later")
    assert running.previous_status is None


@pytest.mark.parametrize(("current", "wanted"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_a_request_to_stop_is_forgotten_with_the_status(
    current: JobStatus, wanted: JobStatus
) -> None:
    if wanted in ALLOWED[current].split():
        asked = JobState("photos", status=current, stop_requested=True)
        assert advance(asked, wanted, changed_at="now").stop_requested is False


def test_every_outcome_has_a_status_that_a_running_job_may_reach() -> None:
    assert set(STATUS_OF_OUTCOME) == set(RunOutcome)
    assert STATUS_OF_OUTCOME[RunOutcome.WARNING] is JobStatus.COMPLETED
    assert set(STATUS_OF_OUTCOME.values()) <= TRANSITIONS[JobStatus.RUNNING]


@pytest.mark.parametrize("status", list(JobStatus))
def test_active_and_resumable(status: JobStatus) -> None:
    state = JobState("photos", status=status)
    assert state.is_active == (status in {"queued", "running", "stopping"})
    assert state.is_resumable == (status in {"paused", "interrupted"})
