"""Proves that a run is the fold of its journal: the same lines give the same run, any number of
times, which is what recovery relies on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import events
from models.events import JournalLine
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import MAX_ATTEMPT_TIMES
from models.run_history import apply_lines, close_run
from tests.fakes.builders import a_run
from utils.process_identity import ProcessIdentity

WHO = ProcessIdentity(4711, 12, "boot")
HALF = Progress(phase="transfer", bytes_done=50, bytes_sent=40, files_done=5, files_skipped=1)
ALL = HALF._replace(bytes_done=100, bytes_sent=90, files_done=10, percent=100.0)
ENDED = events.RunEnded("completed", 2, 0, None, 0, 3, ALL)


def lines(*journal: events.Event) -> list[JournalLine]:
    """Return events as lines, a second apart."""
    return [JournalLine(f"2026-11-23T12:00:{at:02d}.000Z", e) for at, e in enumerate(journal)]


JOURNAL = lines(
    events.RunStarted(WHO),
    events.PhaseStarted("preflight"),
    events.PhaseEnded("preflight", "completed"),
    events.PhaseStarted("transfer"),
    events.EngineStarted(WHO, 1),
    events.FileFailed("a", "Permission denied", 1),
    events.ProgressMade(HALF),
    events.RetryScheduled(2, 10, 1.4, "The connection failed."),
    events.EngineStarted(WHO, 2),
    events.FileFailed("a", "Permission denied", 2),
    events.ProgressMade(ALL),
    events.PhaseEnded("transfer", "completed"),
    ENDED,
)


def test_a_whole_journal() -> None:
    run = apply_lines(a_run(), JOURNAL)
    assert (run.status, run.outcome, run.is_over) == ("completed", "completed", True)
    assert run.started_at == JOURNAL[0].time
    assert run.ended_at == JOURNAL[-1].time
    assert (run.bytes_done, run.bytes_sent, run.files_done, run.files_skipped) == (100, 90, 10, 1)
    assert (run.attempts, run.exit_code, run.files_failed, run.files_deleted) == (2, 0, 0, 3)
    assert [(p.name, p.outcome) for p in run.phases] == [
        ("preflight", "completed"),
        ("transfer", "completed"),
    ]
    assert run.phases[1].started_at == JOURNAL[3].time
    assert run.phases[1].ended_at == JOURNAL[11].time


@given(cut=st.integers(min_value=0, max_value=len(JOURNAL)))
def test_where_the_journal_was_cut_into_parts_makes_no_difference(cut: int) -> None:
    in_parts = apply_lines(apply_lines(a_run(), JOURNAL[:cut]), JOURNAL[cut:])
    assert in_parts == apply_lines(a_run(), JOURNAL)


@given(seen=st.integers(min_value=0, max_value=len(JOURNAL)))
def test_folding_again_from_the_start_gives_the_same_run(seen: int) -> None:
    first = apply_lines(a_run(), JOURNAL[:seen])
    assert apply_lines(a_run(), JOURNAL[:seen]) == first


def test_a_wait_before_the_next_attempt_is_told() -> None:
    run = apply_lines(a_run(), JOURNAL[:8])
    assert run.message == "The connection failed. Attempt 2 of 10, next in 1 s."


def test_the_next_attempt_begins_with_a_clean_slate() -> None:
    run = apply_lines(a_run(), JOURNAL[:9])
    assert (run.attempts, run.message, run.files_failed) == (2, None, 0)
    assert run.attempt_times == tuple(
        line.time for line in JOURNAL[:9] if isinstance(line.event, events.EngineStarted)
    )
    assert apply_lines(run, JOURNAL[9:10]).files_failed == 1


def test_progress_never_ends_a_run() -> None:
    run = apply_lines(a_run(), JOURNAL[:-1])
    assert (run.outcome, run.is_over, run.ended_at) == (None, False, None)
    assert run.progress == ALL


@pytest.mark.parametrize("outcome", list(RunOutcome))
def test_every_outcome_ends_a_run_and_its_open_phase(outcome: RunOutcome) -> None:
    run = apply_lines(a_run(), JOURNAL[:7])
    closed = close_run(run, outcome, ended_at="end", message="why")
    expected = JobStatus.COMPLETED if outcome is RunOutcome.WARNING else JobStatus(outcome)
    assert (closed.status, closed.outcome, closed.message) == (expected, outcome, "why")
    assert closed.ended_at == "end"
    assert [phase.outcome for phase in closed.phases] == ["completed", outcome]
    assert [phase.ended_at for phase in closed.phases] == [JOURNAL[2].time, "end"]


def test_a_phase_that_ends_leaves_the_others_alone() -> None:
    journal = lines(
        events.PhaseStarted("transfer"),
        events.PhaseEnded("transfer", "warning", "Some files vanished."),
        events.PhaseStarted("verify"),
        events.PhaseEnded("verify", "failed", "One file differs."),
    )
    phases = apply_lines(a_run(), journal).phases
    assert [(p.outcome, p.message) for p in phases] == [
        ("warning", "Some files vanished."),
        ("failed", "One file differs."),
    ]


def test_a_run_took_what_its_phases_took_whatever_the_clock_says() -> None:
    journal = lines(
        events.PhaseStarted("preflight"),
        events.PhaseEnded("preflight", "completed", None, 0.25),
        events.PhaseStarted("transfer"),
        events.PhaseEnded("transfer", "completed", None, 3600.5),
        ENDED,
    )
    set_back = [line._replace(time=f"2026-11-23T11:0{9 - at}") for at, line in enumerate(journal)]
    run = apply_lines(a_run(), set_back)
    assert [phase.duration_seconds for phase in run.phases] == [0.25, 3600.5]
    assert run.duration_seconds == 3600.75
    assert apply_lines(a_run(), set_back[:-1]).duration_seconds is None, "it has not ended"


def test_a_run_with_a_phase_that_was_not_measured_has_no_measured_duration() -> None:
    journal = lines(
        events.PhaseStarted("preflight"),
        events.PhaseEnded("preflight", "completed", None, 0.25),
        events.PhaseStarted("transfer"),
    )
    cut_off = close_run(
        apply_lines(a_run(), journal), RunOutcome.INTERRUPTED, ended_at="end", message=None
    )
    assert cut_off.duration_seconds is None
    assert apply_lines(a_run(), JOURNAL).duration_seconds is None
    assert apply_lines(a_run(), [JOURNAL[0], JOURNAL[-1]]).duration_seconds is None


def test_an_outcome_that_is_not_known_is_no_success() -> None:
    run = apply_lines(a_run(), lines(events.RunStarted(WHO), ENDED._replace(outcome="splendid")))
    assert (run.status, run.outcome) == ("failed", "failed")
    assert run.message is not None
    assert "splendid" in run.message


def test_no_more_attempts_are_told_of_by_their_time_than_are_worth_it() -> None:
    run = apply_lines(a_run(), [JOURNAL[4]] * (2 * MAX_ATTEMPT_TIMES))
    assert len(run.attempt_times) == MAX_ATTEMPT_TIMES
