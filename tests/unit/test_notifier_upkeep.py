"""Proves what becomes of what waits when its rule is lost, renamed or gone, or its job pings nobody
any more, and that what is told of a target ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.recovery_states import CIRCUIT_CLOSED, CIRCUIT_OPEN
from fastapi_app import notification_courier as courier_module
from fastapi_app.notification_courier import GIVE_UP_SECONDS
from fastapi_app.notification_events import PING_LANE, RULE_LANE
from models.error_event import Severity
from models.errors import RuleConflict
from models.job_options import Monitoring
from models.job_state import JobRecord
from models.notifications import NotificationRule
from models.progress import RunOutcome
from storage import notification_rules
from storage.notification_document import RULES_NAME
from storage.secrets import SecretsFile
from tests.fakes.builders import a_fault
from tests.support import wait_until_async
from tests.unit.test_notifier import ADDRESS, PING_ADDRESS, Scene, a_scene

OTHER = "json://127.0.0.1/other"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with a_scene(tmp_path) as made:
        yield made


def messages(scene: Scene) -> list[str]:
    """Return the titles of what was sent by rules."""
    return [letter.title for letter in scene.postman.sent if not letter.is_ping]


async def rename(scene: Scene, name: str, to: str, version: str = "") -> None:
    """Give a rule another name."""
    rule = await scene.notifier.rules.find(name)
    values = rule.model_dump() | {"name": to}
    renamed = NotificationRule.model_validate(values)
    await scene.notifier.put_rule(renamed, replaces=name, version=version)


async def without_ping(scene: Scene) -> None:
    """Let the job ping nobody any more."""

    def change(record: JobRecord) -> JobRecord:
        return replace(record, job=record.job.model_copy(update={"monitoring": Monitoring()}))

    await scene.jobs.transform("photos-0001", change)
    scene.notifier.jobs_changed(["photos-0001"])
    await scene.settled()


async def test_what_waits_outlasts_rules_that_are_damaged(scene: Scene) -> None:
    await scene.rule(digest_seconds=60, events=["run_failed", "error"], title="{run_id}{severity}")
    await scene.end_run("run-1", RunOutcome.FAILED)
    await scene.settled()
    await scene.crash()
    path = scene.data_dir / RULES_NAME
    good = path.read_bytes()
    path.write_bytes(b"rules: [")
    Path(f"{path}.bak").unlink(missing_ok=True)
    await scene.begin()
    await scene.end_run("run-2", RunOutcome.FAILED)
    scene.errors.report(a_fault())
    scene.notifier.errors_changed()
    await scene.passes(60)
    assert messages(scene) == []
    pings = [letter.address for letter in scene.postman.sent]
    assert pings == [f"{PING_ADDRESS}{step}" for step in ("/start", "/fail") * 2]
    path.write_bytes(good)
    await scene.passes(0)
    await scene.passes(60)
    (message,) = [letter for letter in scene.postman.sent if not letter.is_ping]
    assert message.title == "3 notifications: Run failed × 2, Error × 1"
    assert len(scene.postman.sent) == len(pings) + 1


@pytest.mark.parametrize(("seconds", "state"), [(60.0, "waiting"), (0.0, "dropped")])
async def test_a_file_that_is_away_for_a_moment_is_not_taken_for_no_rules(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seconds: float, state: str
) -> None:
    monkeypatch.setattr(notification_rules, "_MISSING_SECONDS", seconds)
    await scene.rule(digest_seconds=60)
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    path = scene.data_dir / RULES_NAME
    path.rename(scene.data_dir / "aside")
    await scene.passes(60)
    assert await scene.states() == [state]
    (scene.data_dir / "aside").rename(path)
    await scene.passes(60)
    assert await scene.states() == ["sent" if state == "waiting" else state]


async def test_giving_up_takes_only_what_is_too_old(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "BREAKER_FAILURES", 100)
    await scene.rule()
    scene.postman.reason = "It answered with the status 503."
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    await scene.end_run("run-2", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    scene.now += GIVE_UP_SECONDS[RULE_LANE] + 1
    await scene.end_run("run-3", RunOutcome.FAILED, job_id="other")
    await scene.passes(0)
    assert await scene.states() == ["given_up", "given_up", "waiting"]
    await scene.passes(1_000)
    assert {event.severity for event in scene.errors.unresolved} == {Severity.HIGH}
    scene.postman.reason = None
    await scene.passes(1_000)
    assert await scene.states() == ["given_up", "given_up", "sent"]


async def test_what_waits_goes_along_with_a_rule_that_is_renamed(scene: Scene) -> None:
    await scene.rule(digest_seconds=60)
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    with pytest.raises(RuleConflict):
        await rename(scene, "mail", "phone", version="another")
    await rename(scene, "mail", "phone")
    await scene.passes(60)
    assert await scene.states() == ["sent"]
    assert messages(scene) == ["Photos"]


async def test_what_is_being_sent_while_its_rule_is_renamed_is_tried_again(scene: Scene) -> None:
    await scene.rule()
    scene.postman.hangs, scene.postman.reason = True, "It cannot be reached."
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")

    async def is_sending() -> bool:
        return bool(scene.postman.sent)

    await wait_until_async(is_sending, what="what is being sent")
    await rename(scene, "mail", "phone")
    await rename(scene, "phone", "desk")
    scene.postman.goes_on.set()
    await scene.settled()
    scene.postman.reason = None
    await scene.passes(1_000)
    assert await scene.states() == ["sent"]
    assert [note.lane for note in (await scene.notifier.outbox.list_notes()).items] == ["rule:desk"]


async def test_what_is_dropped_with_its_rule_is_on_record(scene: Scene) -> None:
    await scene.rule(digest_seconds=60)
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    await scene.notifier.rules.delete("mail")
    await scene.passes(60)
    (event,) = scene.errors.events
    assert "“mail”" in event.message
    assert (event.details, event.resolved) == ({"dropped": 1}, True)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_is_told_of_a_target_ends_when_no_rule_names_it(
    scene: Scene, is_restarted: bool
) -> None:
    await scene.rule()
    scene.postman.reason = "It cannot be reached."
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    assert len(scene.errors.unresolved) == 1
    if is_restarted:
        await scene.crash()
        await scene.begin()
    await scene.notifier.rules.delete("mail")
    await scene.passes(0)
    assert scene.errors.unresolved == []


async def test_pings_of_a_job_that_pings_nobody_any_more_end_with_what_is_told_of_them(
    scene: Scene,
) -> None:
    scene.postman.reason = "It cannot be reached."
    await scene.end_run("run-1", RunOutcome.COMPLETED)
    await scene.settled()
    assert len(scene.errors.unresolved) == 1
    await without_ping(scene)
    assert scene.errors.unresolved == []
    await scene.passes(1_000)
    assert await scene.states() == ["dropped", "dropped"]
    assert scene.errors.unresolved == []
    assert len(scene.postman.sent) == 1


async def test_a_ping_that_arrives_at_another_target_ends_what_is_told_of_its_job(
    scene: Scene,
) -> None:
    SecretsFile(scene.data_dir).put("other", user=None, password="https://ping.example.org/other")
    scene.postman.reason, scene.postman.refused = "It is broken.", {f"{PING_ADDRESS}/start"}
    await scene.end_run("run-1", RunOutcome.PAUSED)
    await scene.settled()
    assert len(scene.errors.unresolved) == 1

    def change(record: JobRecord) -> JobRecord:
        other = Monitoring(ping="other")
        return replace(record, job=record.job.model_copy(update={"monitoring": other}))

    await scene.jobs.transform("photos-0001", change)
    await scene.passes(GIVE_UP_SECONDS[PING_LANE] + 1)
    assert len(scene.errors.unresolved) == 1
    await scene.end_run("run-2", RunOutcome.COMPLETED)
    await scene.settled()
    assert await scene.states() == ["given_up", "sent", "sent"]
    assert scene.errors.unresolved == []


async def test_it_is_told_that_too_many_wait_until_they_do_not(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.notification_repository.MAX_WAITING", 3)
    monkeypatch.setattr("fastapi_app.notifier.MAX_WAITING", 3)
    await scene.rule(events=["error"], digest_seconds=60, title="{message}")
    for number in range(5):
        scene.errors.report(a_fault(message=f"error {number}"))
    scene.notifier.errors_changed()
    await scene.settled()
    told = [event for event in scene.errors.unresolved if "Too many" in event.message]
    assert len(told) == 1
    await scene.passes(60)
    await scene.passes(0)
    assert not [event for event in scene.errors.unresolved if "Too many" in event.message]


async def test_a_target_that_stays_broken_is_told_to_the_other_rules_once(scene: Scene) -> None:
    SecretsFile(scene.data_dir).put("other", user=None, password=OTHER)
    await scene.rule()
    await scene.rule(name="watch", target="other", events=["error"], title="{severity}: {message}")
    scene.postman.reason, scene.postman.refused = "It cannot be reached.", {ADDRESS}
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    for _ in range(6):
        scene.notifier.errors_changed()
        await scene.passes(1_000)
    told = [letter.title for letter in scene.postman.sent if letter.address == OTHER]
    assert told == [
        "high: The notification to “hook” does not arrive: It cannot be reached. "
        "It was tried several times."
    ]
    (event,) = scene.errors.unresolved
    assert event.severity is Severity.HIGH


async def test_a_target_that_is_left_alone_is_seen_until_nothing_waits_for_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "BREAKER_FAILURES", 1)
    await scene.rule()
    scene.postman.reason = "It cannot be reached."
    await scene.end_run("run-1", RunOutcome.FAILED, job_id="other")
    await scene.settled()
    (change,) = scene.changes
    assert (change.name, change.state) == ("notification target hook", CIRCUIT_OPEN)
    await scene.notifier.rules.delete("mail")
    await scene.passes(0)
    await scene.passes(0)
    assert [change.state for change in scene.changes] == [CIRCUIT_OPEN, CIRCUIT_CLOSED]
