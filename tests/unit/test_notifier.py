"""Proves by a clock of the test that what happened is told once: gathered, within the rate, tried
again, and through a crash at every step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.job_queries import JobQueries
from core.notifying.process import Letter, Receipt, SenderProcess
from core.recovery_states import RecoveryState
from core.untold_failures import RUN_FAILED
from fastapi_app import notification_courier as courier_module
from fastapi_app import notifier as notifier_module
from fastapi_app.notification_courier import (
    FIRST_DELAY_SECONDS,
    LONGEST_DELAY_SECONDS,
    Surroundings,
    retry_delay,
)
from fastapi_app.notifier import Notifier
from models.error_event import Severity
from models.job_state import JobState
from models.job_status import JobStatus
from models.notifications import NotificationRule
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from storage.database import Database
from storage.notification_repository import NotificationRepository
from storage.notification_rules import NotificationRules
from storage.notification_table import Note
from storage.run_repository import RunRepository
from storage.secrets import SecretsFile
from tests.fakes.builders import a_fault, a_job, a_run
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.stores import InMemoryJobStore
from tests.support import wait_until_async

ADDRESS = "json://127.0.0.1/secret-in-the-path"
PING_ADDRESS = "https://ping.example.org/secret-uuid"


class Postman(SenderProcess):
    """Notes what it is to send, and says of each what the test wants."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"))
        self.sent: list[Letter] = []
        self.reason: str | None = None
        self.found = Receipt("cut off")
        self.refused: set[str] = set()
        """The addresses that take nothing; when there are none here, all of them."""
        self.hangs = False
        self.goes_on = asyncio.Event()
        self.is_broken = False

    async def send(self, delivery: str, letter: Letter) -> Receipt:
        """Note it."""
        if self.is_broken:
            raise RuntimeError("a defect")
        self.sent.append(letter)
        if self.hangs:
            await self.goes_on.wait()
        is_refused = not self.refused or letter.address in self.refused
        return Receipt(self.reason if is_refused else None)

    async def find(self, delivery: str) -> Receipt:
        """Say what came of what an earlier dashboard sent."""
        return self.found

    @property
    def titles(self) -> list[str]:
        """Return the titles of messages."""
        return [letter.title for letter in self.sent]


@dataclass
class Scene:
    """A notifier with a database of its own; `now` is the time."""

    data_dir: Path
    database: Database
    postman: Postman = field(default_factory=Postman)
    errors: InMemoryErrorLog = field(default_factory=InMemoryErrorLog)
    jobs: InMemoryJobStore = field(default_factory=InMemoryJobStore)
    now: float = 1_000_000.0
    changes: list[RecoveryState] = field(default_factory=list)
    notifier: Notifier = field(init=False)
    runs: RunRepository = field(init=False)
    _task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Compose the notifier, as a start of the dashboard does."""
        self.runs = RunRepository(self.database, on_step=self._step)
        outbox = NotificationRepository(self.database)
        rules = await NotificationRules.open(self.data_dir)
        queries = JobQueries(self.jobs, self.runs)
        secrets = SecretsFile(self.data_dir, {})
        parts = Surroundings(
            rules, outbox, self.errors, queries, secrets, self.postman, self.changes.append
        )
        self.notifier = Notifier(parts, clock=lambda: self.now, share=lambda: 0.5)
        self._task = asyncio.create_task(self.notifier.run())

    def _step(self, run: Run) -> None:
        self.notifier.run_step(run)

    async def crash(self) -> None:
        """End it where it stands."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def goes_on(self) -> None:
        """Let the same notifier run again, with what it has in memory."""
        self._task = asyncio.create_task(self.notifier.run())
        await self.settled()

    async def rule(self, **fields: object) -> None:
        """Add a rule."""
        values = {"name": "mail", "target": "hook", "digest_seconds": 0, "title": "{job_name}"}
        rule = NotificationRule.model_validate(values | fields)
        await self.notifier.rules.put(rule, replaces=None)

    async def end_run(self, run_id: str, outcome: RunOutcome, **fields: Any) -> Run:
        """Let a run begin and end."""
        await self.runs.save(a_run(run_id, **fields))
        ended = over(run_id, outcome, **fields)
        await self.runs.save(ended)
        return ended

    async def passes(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.notifier.rules_changed()
        await self.settled()

    async def settled(self) -> None:
        """Wait until all that is due is sent."""

        async def rests() -> bool:
            return self.notifier.is_at_rest and not self.notifier._sending

        await wait_until_async(rests, what="a notifier at rest")

    async def states(self) -> list[str]:
        """Return the states in the outbox, oldest first."""
        return [note.state for note in reversed((await self.notifier.outbox.list_notes()).items)]


def over(run_id: str, outcome: RunOutcome, **fields: Any) -> Run:
    """Return a run that ended."""
    status = JobStatus({"warning": "completed"}.get(outcome, outcome))
    ending = {"status": status, "outcome": outcome, "ended_at": a_run().queued_at}
    return a_run(run_id, **{**ending, **fields})


@asynccontextmanager
async def a_scene(data_dir: Path) -> AsyncIterator[Scene]:
    database = await Database.open(data_dir)
    scene = Scene(data_dir, database)
    await scene.jobs.create(a_job(monitoring={"ping": "check"}), JobState("photos-0001"))
    SecretsFile(data_dir).put("hook", user=None, password=ADDRESS)
    SecretsFile(data_dir).put("check", user=None, password=PING_ADDRESS)
    await scene.begin()
    try:
        yield scene
    finally:
        await scene.crash()
        await database.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path) as made:
        yield made


async def test_the_end_of_a_run_is_told_by_the_rules_that_want_it(scene: Scene) -> None:
    await scene.rule()
    await scene.rule(name="good", events=["run_completed", "job_recovered"], title="{event}")
    await scene.end_run("run-1", RunOutcome.FAILED, message="no space")
    await scene.end_run("run-2", RunOutcome.COMPLETED)
    await scene.settled()
    await scene.end_run("run-3", RunOutcome.COMPLETED)
    await scene.settled()
    messages = [one for one in scene.postman.sent if not one.is_ping]
    assert sorted((one.title, one.body.partition("\n")[0], one.type) for one in messages) == [
        ("Job recovered", "It had failed or was cut off; this run completed.", "success"),
        ("Photos", "no space", "failure"),
        ("Run completed", "Everything was copied.", "success"),
    ]
    assert {one.address for one in messages} == {ADDRESS}


async def test_nothing_is_told_of_a_dry_run_and_once_of_a_run_kept_twice(scene: Scene) -> None:
    await scene.rule(events=["run_completed"])
    await scene.end_run("dry", RunOutcome.COMPLETED, kind=RunKind.DRY_RUN)
    ended = await scene.end_run("run-1", RunOutcome.COMPLETED)
    await scene.runs.save(ended)
    await scene.settled()
    assert [one.title for one in scene.postman.sent if not one.is_ping] == ["Photos"]


async def test_what_comes_within_the_window_is_one_message(scene: Scene) -> None:
    await scene.rule(digest_seconds=60)
    for number in range(20):
        await scene.end_run(f"run-{number}", RunOutcome.FAILED, job_id=f"job-{number}")
    await scene.passes(59)
    assert scene.postman.titles == []
    await scene.passes(1)
    assert scene.postman.titles == ["20 notifications: Run failed × 20"]
    assert set(await scene.states()) == {"sent"}
    await scene.passes(3600)
    assert len(scene.postman.sent) == 1


async def test_beyond_the_rate_it_waits_and_goes_as_one_message(scene: Scene) -> None:
    await scene.rule(at_most_per_hour=2)
    for number in range(5):
        await scene.end_run(f"run-{number}", RunOutcome.FAILED, job_id="other")
        await scene.settled()
        scene.now += 10
    assert scene.postman.titles == ["Photos", "Photos"]
    await scene.passes(3500)
    assert len(scene.postman.sent) == 2
    await scene.passes(60)
    assert scene.postman.titles[2:] == ["3 notifications: Run failed × 3"]


async def test_what_does_not_arrive_is_tried_again_and_told_until_it_does(scene: Scene) -> None:
    await scene.rule()
    scene.postman.reason = "It cannot be reached."
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    assert [event.severity for event in scene.errors.unresolved] == [Severity.MEDIUM]
    await scene.passes(FIRST_DELAY_SECONDS - 1)
    assert len(scene.postman.sent) == 1
    await scene.passes(1)
    await scene.passes(2 * FIRST_DELAY_SECONDS)
    assert len(scene.postman.sent) == 3
    (event,) = scene.errors.unresolved
    assert (event.severity, event.count) == (Severity.HIGH, 1)
    assert "secret-in-the-path" not in repr(event)
    # Three in a row: now the target is left alone, and that counts as no attempt.
    await scene.passes(4 * FIRST_DELAY_SECONDS)
    assert len(scene.postman.sent) == 3
    (note,) = (await scene.notifier.outbox.list_notes()).items
    assert note.attempts == 3
    scene.postman.reason = None
    assert (await scene.notifier.test((await scene.notifier.rules.current())[0])).reason is None
    await scene.settled()
    assert await scene.states() == ["sent"]
    assert scene.errors.unresolved == []


async def test_what_could_not_be_sent_for_days_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "BREAKER_FAILURES", 100)
    await scene.rule()
    scene.postman.reason = "It answered with the status 503."
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    await scene.passes(4 * 86_400)
    assert await scene.states() == ["given_up"]
    assert any("given up" in event.message for event in scene.errors.unresolved)


async def test_a_rule_that_is_gone_sends_nothing_more(scene: Scene) -> None:
    await scene.rule(digest_seconds=60)
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    await scene.notifier.rules.delete("mail")
    await scene.passes(60)
    assert await scene.states() == ["dropped"]
    assert scene.postman.sent == []


async def test_an_error_is_told_once_and_not_again_after_a_restart(scene: Scene) -> None:
    await scene.rule(events=["error", "job_overdue"], title="{event}", body="{message}")
    scene.errors.report(a_fault())
    scene.errors.report(a_fault(error_type="JobOverdue", message="late"))
    scene.errors.report(a_fault(severity=Severity.MEDIUM, message="minor"))
    scene.notifier.errors_changed()
    await scene.settled()
    told = {letter.body for letter in scene.postman.sent}
    await scene.crash()
    await scene.begin()
    scene.errors.report(a_fault())
    await scene.settled()
    bodies = "\n".join(told)
    assert "late" in bodies
    assert "minor" not in bodies
    assert bodies.count("There is no space left") == 1
    assert len(await scene.states()) == 2
    assert len(scene.postman.sent) == len(told)


async def test_nothing_is_told_of_errors_from_before_a_rule_or_of_runs_that_tell_themselves(
    scene: Scene,
) -> None:
    scene.errors.report(a_fault(message="before"))
    scene.notifier.errors_changed()
    await scene.settled()
    await scene.rule(events=["error"], body="{message}")
    scene.errors.report(a_fault(error_type=RUN_FAILED, message="a run"))
    scene.errors.report(a_fault(message="after"))
    scene.notifier.errors_changed()
    await scene.settled()
    assert [letter.body for letter in scene.postman.sent] == ["after"]


async def test_what_ends_while_nobody_looks_is_told_at_the_next_start(scene: Scene) -> None:
    await scene.rule()
    await scene.crash()
    await scene.end_run("run-1", RunOutcome.FAILED)
    assert scene.postman.sent == []
    await scene.begin()
    await scene.settled()
    assert [one.title for one in scene.postman.sent if not one.is_ping] == ["Photos"]


@pytest.mark.parametrize(
    ("receipt", "sent_again"),
    [(Receipt(), 0), (Receipt("refused"), 1)],
)
async def test_a_crash_while_sending_is_settled_by_the_receipt(
    scene: Scene, receipt: Receipt, sent_again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier_module, "_FAREWELL_SECONDS", 0.0)
    await scene.rule()
    scene.postman.hangs = True
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await wait_until_async(lambda: _is(len(scene.postman.sent) == 1))
    await scene.crash()
    assert await scene.states() == ["sending"]
    scene.postman.hangs, scene.postman.found = False, receipt
    await scene.begin()
    await scene.settled()
    await scene.passes(LONGEST_DELAY_SECONDS)
    assert await scene.states() == ["sent"]
    assert len(scene.postman.sent) == 1 + sent_again


async def test_a_defect_while_sending_holds_nothing_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifier_module, "RETRY_SECONDS", 0.0)
    await scene.rule()
    scene.postman.is_broken = True
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await wait_until_async(lambda: _is("a notification is not sent" in caplog.text))
    scene.postman.is_broken = False
    await scene.settled()
    await scene.passes(LONGEST_DELAY_SECONDS)
    assert await scene.states() == ["sent"]


async def test_a_storm_of_errors_is_told_in_its_order_as_one_message(scene: Scene) -> None:
    await scene.rule(events=["error"], title="{message}")
    for number in range(170):
        scene.errors.report(a_fault(message=f"error {number}"))
    scene.notifier.errors_changed()
    await scene.settled()
    (message,) = scene.postman.sent
    assert message.title == "170 notifications: Error × 170"
    lines = message.body.splitlines()
    assert [lines[0], lines[-1]] == ["• error 0 – error 0", "… and 120 more"]


async def test_pings_tell_start_success_and_failure_in_their_order(scene: Scene) -> None:
    await scene.end_run("run-1", RunOutcome.COMPLETED, files_done=3)
    await scene.settled()
    await scene.end_run("run-2", RunOutcome.FAILED, message="no space")
    await scene.end_run("run-3", RunOutcome.PAUSED)
    await scene.settled()
    assert [one.address for one in scene.postman.sent] == [
        f"{PING_ADDRESS}{step}" for step in ("/start", "", "/start", "/fail", "/start")
    ]
    bodies = [one.body for one in scene.postman.sent]
    assert bodies[1].startswith("Photos: completed after –, 3 files")
    assert "no space" in bodies[3]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_pings_of_a_run_right_behind_another_keep_their_order(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    await scene.crash()
    for run_id in ("run-1", "run-2", "run-3"):
        await scene.runs.save(a_run(run_id, status=JobStatus.QUEUED))
        scene.runs.publish(a_run(run_id))
        if run_id != "run-3":
            await scene.runs.save(over(run_id, RunOutcome.FAILED))
    # Rules that cannot be read hold no ping up.
    monkeypatch.setattr(NotificationRules, "is_lost", is_lost)
    await scene.goes_on()
    assert [one.address for one in scene.postman.sent if one.is_ping] == [
        f"{PING_ADDRESS}{step}" for step in ("/start", "/fail", "/start", "/fail", "/start")
    ]


async def test_a_later_ping_waits_for_the_earlier_one(scene: Scene) -> None:
    scene.postman.reason = "It cannot be reached."
    await scene.end_run("run-1", RunOutcome.COMPLETED)
    await scene.settled()
    assert [one.address for one in scene.postman.sent] == [f"{PING_ADDRESS}/start"]
    (event,) = scene.errors.unresolved
    assert event.job_id == "photos-0001"
    assert "secret" not in repr(event)
    scene.postman.reason = None
    await scene.passes(FIRST_DELAY_SECONDS)
    assert [one.address for one in scene.postman.sent][1:] == [
        f"{PING_ADDRESS}/start",
        PING_ADDRESS,
    ]
    assert scene.errors.unresolved == []


async def test_a_run_that_waited_for_its_turn_pings_its_start_once(scene: Scene) -> None:
    await scene.runs.save(a_run("run-1", status=JobStatus.QUEUED))
    await scene.settled()
    assert scene.postman.sent == []
    for _ in range(2):
        scene.runs.publish(a_run("run-1"))
    await scene.settled()
    assert [one.address for one in scene.postman.sent] == [f"{PING_ADDRESS}/start"]


async def test_what_waits_is_bounded_and_what_is_dropped_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.notification_repository.MAX_WAITING", 3)
    notes = [Note("rule:mail", f"k{n}", "hook", "error", f"t{n}", "b") for n in range(5)]
    assert await scene.notifier.outbox.add(notes, scene.now) == 2
    assert sorted(await scene.states()) == ["dropped"] * 2 + ["waiting"] * 3


def test_delays_double_up_to_a_bound_and_are_spread() -> None:
    assert [retry_delay(attempts, 0.5) for attempts in (1, 2, 3)] == [5.0, 10.0, 20.0]
    assert retry_delay(1_000, 1.0) == pytest.approx(LONGEST_DELAY_SECONDS * 1.2)
    assert retry_delay(1, 0.0) == 4.0


async def _is(value: bool) -> bool:
    return value
