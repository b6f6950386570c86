"""Proves what pages and live updates show of a job and a run: words, actions, unknowns, strips."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from core.overdue import OverdueJob
from fastapi_app.live_values import live_values
from fastapi_app.moments import moment
from fastapi_app.run_views import run_detail, run_row
from fastapi_app.status_views import status_counts, status_view
from fastapi_app.view_models import STRIP_LENGTH, job_card
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import Phase, Run, outline_of
from models.run_history import close_run
from tests.fakes.builders import a_job, a_run

WORDS = {
    "pending": "Not run yet",
    "queued": "Queued",
    "running": "Running",
    "stopping": "Stopping",
    "paused": "Paused",
    "completed": "Completed",
    "failed": "Failed",
    "interrupted": "Interrupted",
}


def record(status: str = "pending", **state: Any) -> JobRecord:
    """Return a job in a state."""
    return JobRecord(a_job(), JobState("photos-0001", status=JobStatus(status), **state))


def past(number: int, seconds: int, outcome: RunOutcome = RunOutcome.COMPLETED) -> Run:
    """Return an ended run of this length."""
    run = a_run(f"run-{number}", started_at="2026-11-23T12:00:00.000Z")
    ended_at = f"2026-11-23T12:{seconds // 60:02d}:{seconds % 60:02d}.000Z"
    return close_run(run, outcome, ended_at=ended_at, message=None)


def test_every_status_has_a_word_and_a_shape_of_its_own() -> None:
    assert set(WORDS) == set(JobStatus)
    for status, word in WORDS.items():
        assert (status_view(status).key, status_view(status).word) == (status, word)
    assert status_view("warning").word == "Completed with warnings"
    icons = {status_view(key).icon for key in [*WORDS, "warning"]}
    assert len(icons) == len(WORDS) + 1


@pytest.mark.parametrize("outcome", list(RunOutcome))
def test_every_outcome_can_be_shown(outcome: RunOutcome) -> None:
    assert run_row(past(1, 5, outcome)).status.key == outcome


@pytest.mark.parametrize(
    ("status", "action", "label", "can_delete", "can_discard"),
    [
        ("pending", "start", "Start", True, False),
        ("queued", "stop", "Stop", False, False),
        ("running", "stop", "Stop", False, False),
        ("stopping", None, "Stopping", False, False),
        ("paused", "start", "Resume", True, True),
        ("interrupted", "start", "Resume", True, True),
        ("completed", "start", "Run again", True, False),
        ("failed", "start", "Start", True, False),
    ],
)
def test_the_one_likely_action(
    status: str, action: str | None, label: str, can_delete: bool, can_discard: bool
) -> None:
    card = job_card(record(status), [])
    assert (card.primary_action, card.primary_label) == (action, label)
    assert (card.can_delete, card.can_discard) == (can_delete, can_discard)
    assert card.is_active is not can_delete


def test_a_completed_job_with_a_message_has_warnings() -> None:
    assert job_card(record("completed", message="Some files vanished."), []).status.key == "warning"
    assert job_card(record("completed"), []).status.key == "completed"
    assert job_card(record("failed", message="Why."), []).status.key == "failed"


@pytest.mark.parametrize(
    ("status", "word"), [("failed", "Overdue"), ("running", "Overdue, a run is under way")]
)
def test_an_overdue_job_says_so_and_since_when(status: str, word: str) -> None:
    overdue = OverdueJob("photos-0001", "Photos", "2026-11-24T11:00:00.000Z", 90_000, None)
    view = job_card(record(status), [], overdue=overdue).overdue
    assert view is not None
    assert view.word == word
    assert view.exact == (
        "A success is expected within 1 day 1 hour: overdue since 2026-11-24 11:00:00 UTC"
    )
    assert job_card(record(status), []).overdue is None


def test_without_progress_everything_is_unknown_and_nothing_is_zero() -> None:
    live = live_values(None, None, JobStatus.PENDING)
    assert {live.percent_text, live.rate, live.eta, live.bytes, live.files} == {"–"}
    assert (live.percent, live.run_id, live.current_file) == (None, "", "")
    assert live.phase == "Not run yet"


def test_before_the_totals_are_known() -> None:
    progress = Progress(phase="transfer", bytes_done=2048, files_done=3)
    live = live_values("run-1", progress, JobStatus.RUNNING)
    assert (live.percent, live.percent_text, live.eta, live.rate) == (None, "–", "–", "–")
    assert (live.bytes, live.files, live.phase) == ("2.0 KiB", "3", "Copying")


def test_with_totals() -> None:
    progress = Progress(
        phase="verify",
        bytes_done=1024,
        bytes_total=2048,
        files_done=1,
        files_total=2000,
        percent=50.0,
        bytes_per_second=1024,
        eta_seconds=90,
        current_file="/a" * 100,
    )
    live = live_values("run-1", progress, JobStatus.RUNNING)
    assert (live.percent, live.percent_text) == (50.0, "50%")
    assert (live.bytes, live.files) == ("1.0 KiB of 2.0 KiB", "1 of 2,000")
    assert (live.rate, live.eta, live.phase) == ("1.0 KiB/s", "1 min 30 s left", "Verifying")
    assert len(live.current_file) <= 64
    assert live.patch() == dataclasses.asdict(live)


@pytest.mark.parametrize("status", [status for status in JobStatus if status != "running"])
def test_at_rest_the_status_stands_where_the_phase_stood(status: JobStatus) -> None:
    live = live_values("run-1", Progress(phase="transfer"), status)
    assert live.phase == WORDS[status]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "Verifying"),
        ({"phase_percent": 42.9, "phase_files": 3}, "Verifying 42%"),
        ({"phase_percent": 0.0, "phase_files": 0}, "Verifying 0%"),
        ({"phase_files": 1204}, "Verifying 1,204 files"),
    ],
)
def test_a_phase_shows_its_own_progress_beside_that_of_the_run(
    fields: dict[str, Any], shown: str
) -> None:
    progress = Progress(phase="verify", percent=100.0, **fields)
    live = live_values("run-1", progress, JobStatus.RUNNING)
    assert (live.phase, live.percent_text) == (shown, "100%")
    assert live_values("run-1", progress, JobStatus.COMPLETED).phase == "Completed"


def test_a_phase_of_a_newer_runner_is_shown_by_its_own_name() -> None:
    live = live_values("run-1", Progress(phase="polish"), JobStatus.RUNNING)
    assert live.phase == "polish"
    detail = run_detail(a_run(phases=(Phase("polish", "2026-11-23T12:00:00.000Z"),)))
    assert detail.phases[0].word == "polish"


def test_the_strip_shows_ended_runs_by_length_and_outcome() -> None:
    runs = [
        past(1, 0),
        past(2, 80, RunOutcome.FAILED),
        past(3, 40, RunOutcome.WARNING),
        past(4, 1),
        a_run("run-5", started_at="2026-11-23T12:00:00.000Z"),
    ]
    strip = job_card(record("running"), [outline_of(run) for run in runs]).strip
    assert [bar.key for bar in strip] == ["completed", "failed", "warning", "completed"]
    assert [bar.height for bar in strip] == [1, 8, 5, 1]
    assert [bar.run_id for bar in strip] == ["run-1", "run-2", "run-3", "run-4"]
    assert strip[1].title == "Failed, 2026-11-23 12:00:00 UTC, 1 min 20 s"


def test_the_strip_is_bounded_and_its_bars_too() -> None:
    strip = job_card(record(), [outline_of(past(number, number * 7)) for number in range(50)]).strip
    assert len(strip) == STRIP_LENGTH
    assert strip[-1].run_id == "run-49"
    assert all(1 <= bar.height <= 8 for bar in strip)
    instant = job_card(record(), [outline_of(past(1, 0)), outline_of(past(2, 0))]).strip
    assert [bar.height for bar in instant] == [1, 1]


def test_a_run_that_never_started_has_no_times() -> None:
    row = run_row(a_run(status=JobStatus.QUEUED))
    assert (row.started, row.duration.text) == (None, "–")
    assert row.queued.exact == "2026-11-23 12:00:00 UTC"
    assert moment(None) is moment("") is None


def test_the_page_of_a_run() -> None:
    run = dataclasses.replace(
        past(1, 5, RunOutcome.FAILED),
        phases=(
            Phase("transfer", "2026-11-23T12:00:00Z", "2026-11-23T12:00:04Z", "completed"),
            Phase("verify", "2026-11-23T12:00:04Z", "2026-11-23T12:00:05Z", "failed", "Differs."),
        ),
        files_failed=1500,
        exit_code=23,
    )
    detail = run_detail(run)
    assert (detail.is_active, detail.can_stop, detail.exit_code) == (False, False, 23)
    assert detail.files_failed == "1,500"
    assert [(p.word, p.status.key, p.duration.text) for p in detail.phases] == [
        ("Copying", "completed", "4.0 s"),
        ("Verifying", "failed", "1.0 s"),
    ]
    assert detail.phases[1].message == "Differs."
    assert run_detail(a_run()).can_stop is True


def test_status_counts_are_in_the_order_of_urgency() -> None:
    counts = status_counts({"pending": 2, "running": 1, "completed": 1, "failed": 1})
    assert [(count.status.key, count.count) for count in counts] == [
        ("failed", 1),
        ("running", 1),
        ("completed", 1),
        ("pending", 2),
    ]
    assert status_counts({}) == ()
