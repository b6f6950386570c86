"""Proves the rules of health, and that no check is waited for, made twice or piled up."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import jsonschema
import pytest

from core import health as rooms
from core.health import Check, Finding, HealthBoard, Look
from core.patience import in_a_thread
from core.recovery_states import (
    BREAKER,
    CIRCUIT_CLOSED,
    CIRCUIT_OPEN,
    DEGRADATION,
    DEGRADED,
    RETRY,
    RETRYING,
    WELL,
    state_now,
)
from fastapi_app.health_checks import contribute_conditions, health_of, readiness_of
from fastapi_app.recovery_events import RecoveryEvents
from models.error_event import Component
from models.health import (
    CONDITIONS,
    RULES,
    Condition,
    HealthStatus,
    Part,
    Reason,
    health_schema,
    status_for,
)
from tests.fakes.error_logs import InMemoryErrorLog
from tests.support import PROJECT_ROOT, wait_until

DOCS = PROJECT_ROOT / "docs"


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "PATIENCE_SECONDS", 0.05)


async def well() -> Finding:
    """Return that all is well."""
    return Finding()


@asynccontextmanager
async def board(
    looks: Mapping[Part, Look], *, clock: Callable[[], float]
) -> AsyncIterator[HealthBoard]:
    """A board with some checks of the test's own; the other parts are well."""
    one = HealthBoard({**dict.fromkeys(Part, well), **looks}, clock=clock)
    try:
        yield one
    finally:
        await one.close()


def test_the_documentation_has_the_rules_and_the_schema_that_the_code_has() -> None:
    row = re.compile(r"^\| ([\w, ]+) \| `(\w+)` \| (\w+) \| (.*) \|$", re.MULTILINE)
    told = row.findall((DOCS / "health.md").read_text(encoding="utf-8"))
    assert told == [(_named(rule.parts), rule.reason, rule.status, rule.meaning) for rule in RULES]
    pairs = [(part, rule.reason) for rule in RULES for part in rule.parts]
    assert len(set(pairs)) == len(pairs)
    for reason in (Reason.HUNG, Reason.LONG_HUNG, Reason.CHECK_FAILED):
        assert {(part, reason) for part in Part} <= set(pairs)
    assert {rule.reason for rule in RULES} == set(Reason), "a reason that nothing is made of"

    row = re.compile(r"^\| `(\w+)` \| ([^|]*) \|$", re.MULTILINE)
    assert dict(row.findall((DOCS / "health.md").read_text(encoding="utf-8"))) == CONDITIONS

    kept = json.loads((DOCS / "health.schema.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(health_schema())), (
        "keep what a server answers at /health/schema"
    )
    jsonschema.Draft202012Validator.check_schema(kept)
    assert set(kept["$defs"]["Components"]["required"]) == set(Part)


def _named(parts: tuple[Part, ...]) -> str:
    return "any" if parts == tuple(Part) else ", ".join(parts)


@pytest.mark.parametrize(
    ("part", "reasons", "status"),
    [
        (Part.STORAGE, (), "healthy"),
        (Part.STORAGE, (Reason.JOBS_DAMAGED,), "degraded"),
        (Part.STORAGE, (Reason.JOBS_DAMAGED, Reason.WRITE_FAILED), "unhealthy"),
        (Part.STORAGE, (Reason.HUNG,), "degraded"),
        (Part.STORAGE, (Reason.LONG_HUNG,), "unhealthy"),
        (Part.DATABASE, (Reason.BUSY,), "degraded"),
        (Part.DATABASE, (Reason.LOCKED,), "unhealthy"),
        (Part.DATABASE, (Reason.NO_ROOM,), "unhealthy"),
        (Part.MONITOR, (Reason.ENDED,), "unhealthy"),
        (Part.MONITOR, (Reason.LONG_HUNG,), "unhealthy"),
        (Part.ENGINES, (Reason.ENGINE_MISSING,), "degraded"),
        (Part.ENGINES, (Reason.NO_ENGINE,), "unhealthy"),
        (Part.ENGINES, (Reason.LONG_HUNG,), "degraded"),
        (Part.ERROR_TRACKING, (Reason.NOT_RECORDING,), "degraded"),
        (Part.DISK, (Reason.LOW_ROOM,), "degraded"),
        (Part.DISK, (Reason.NO_ROOM,), "unhealthy"),
        (Part.TOOLS, (Reason.TOOL_MISSING,), "degraded"),
    ],
)
def test_rules(part: Part, reasons: tuple[Reason, ...], status: str) -> None:
    assert status_for(part, reasons) == status


async def test_the_whole_is_as_the_worst_part_and_every_answer_is_of_the_schema() -> None:
    clock = Clock()
    overdue = Condition(name="overdue_jobs", count=0)

    async def locked() -> Finding:
        return Finding(reasons=(Reason.LOCKED,), detail="database is locked")

    async def nothing_there() -> Finding:
        return Finding({"available": {}, "missing": ("rsync",)}, (Reason.ENGINE_MISSING,))

    async def defect() -> Finding:
        raise ZeroDivisionError

    for looks, status, unusable in (
        ({}, "healthy", ()),
        ({Part.ENGINES: nothing_there}, "degraded", ()),
        ({Part.DISK: defect}, "degraded", ()),
        ({Part.ENGINES: nothing_there, Part.DATABASE: locked}, "unhealthy", (Part.DATABASE,)),
    ):
        async with board(looks, clock=clock) as one:
            one.contribute(lambda: overdue)
            answer = health_of(await one.findings())
            assert (answer.status, readiness_of(answer).unusable) == (status, unusable)
            jsonschema.validate(answer.model_dump(mode="json"), health_schema())
            assert answer.conditions == ()
    overdue = Condition(name="overdue_jobs", count=2)
    async with board({}, clock=clock) as one:
        one.contribute(lambda: overdue)
        answer = health_of(await one.findings())
    assert (answer.status, answer.conditions) == (HealthStatus.DEGRADED, (overdue,))


class _Overdue:
    """Takes the place of what computes overdue jobs."""

    def __init__(self) -> None:
        self.jobs: tuple[str, ...] = ()

    def now(self) -> tuple[str, ...]:
        """Return what the test put there."""
        return self.jobs


async def test_overdue_jobs_and_what_is_not_at_rest_are_counted_until_they_are_over() -> None:
    clock, overdue, recovery = Clock(), _Overdue(), RecoveryEvents(InMemoryErrorLog())
    listen = recovery.listener(Component.ENGINE, lambda state: state.name)

    async def counted() -> tuple[str, dict[str, int]]:
        clock.now += 2
        answer = health_of(await one.findings())
        return answer.status, {found.name: found.count for found in answer.conditions}

    async with board({}, clock=clock) as one:
        contribute_conditions(one, overdue, recovery)  # type: ignore[arg-type]
        assert await counted() == ("healthy", {})
        overdue.jobs = ("photos", "music")
        listen(state_now("nas", BREAKER, CIRCUIT_OPEN, "no answer"))
        listen(state_now("history", DEGRADATION, DEGRADED, "locked"))
        listen(state_now("run", RETRY, RETRYING, "locked"))
        answer = ("degraded", dict.fromkeys(CONDITIONS, 1) | {"overdue_jobs": 2})
        assert await counted() == answer
        listen(state_now("nas", BREAKER, CIRCUIT_CLOSED, ""))
        listen(state_now("history", DEGRADATION, WELL, ""))
        assert await counted() == ("degraded", {"overdue_jobs": 2, "tried_again": 1})
        listen(state_now("run", RETRY, WELL, ""))
        overdue.jobs = ()
        assert await counted() == ("healthy", {})


async def test_however_many_ask_it_is_looked_once_a_second() -> None:
    clock, looks = Clock(), 0
    let_go = asyncio.Event()

    async def counted() -> Finding:
        nonlocal looks
        looks += 1
        await let_go.wait()
        return Finding()

    async with board({Part.STORAGE: counted}, clock=clock) as one:
        asking = [asyncio.create_task(one.findings()) for _ in range(50)]
        await asyncio.sleep(0)
        asking[0].cancel()  # Who goes away takes the answer from nobody.
        let_go.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(answer is answers[1] for answer in answers[1:])
        clock.now += 0.9
        assert await one.findings() is answers[1]
        assert looks == 1
        clock.now += 0.2
        assert await one.findings() is not answers[1]
        assert looks == 2


async def test_what_hangs_is_told_with_its_time_and_neither_begun_nor_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, release = Clock(), threading.Event()
    begun: list[str] = []

    def hang() -> None:
        begun.append(threading.current_thread().name)
        assert release.wait(30)

    async def look() -> Finding:
        await in_a_thread(hang, name="health-storage")
        return Finding({"jobs": 3})

    async with board({Part.STORAGE: look}, clock=clock) as one:
        seen = []
        for seconds in (0, 2, 2, 2, 20):
            clock.now += seconds
            async with asyncio.timeout(20):
                storage = health_of(await one.findings()).components.storage
            seen.append((storage.status, *storage.reasons, storage.hung_seconds))
            # Whoever waited once more would do so for an hour.
            monkeypatch.setattr(rooms, "PATIENCE_SECONDS", 3600)
        assert seen == [
            ("degraded", "hung", 0),
            ("degraded", "hung", 2),
            ("degraded", "hung", 4),
            ("unhealthy", "long_hung", 6),
            ("unhealthy", "long_hung", 26),
        ]
        assert begun == ["health-storage"]
        assert sum(thread.name == "health-storage" for thread in threading.enumerate()) == 1

        release.set()
        wait_until(
            lambda: not any(one.name == "health-storage" for one in threading.enumerate()),
            what="the thread's end",
        )
        await asyncio.sleep(0)
        clock.now += 2
        storage = health_of(await one.findings()).components.storage
        # What came too late is not told: it is looked again.
        assert (storage.status, storage.jobs, len(begun)) == ("healthy", 3, 2)


async def test_the_end_waits_for_nothing_that_hangs() -> None:
    release = threading.Event()
    try:
        async with asyncio.timeout(5), board({Part.DISK: _hanging(release)}, clock=Clock()) as one:
            await one.findings()
    finally:
        release.set()


def _hanging(release: threading.Event) -> Look:
    async def look() -> Finding:
        await in_a_thread(lambda: release.wait(30), name="disk")
        return Finding()

    return look


async def test_a_check_with_a_defect_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def defect() -> Finding:
        raise ZeroDivisionError

    check = Check(defect, name="disk")
    assert (await check.finding()).reasons == (Reason.CHECK_FAILED,)
    assert "the health of disk cannot be told" in caplog.text
    assert "ZeroDivisionError" in caplog.text
