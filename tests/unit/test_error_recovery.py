"""Proves every transition of the recovery strategies, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from core.error_recovery import CircuitBreaker, CircuitBreakers, Degradation, RetryPolicy
from core.recovery_states import RecoveryState
from fastapi_app import errors
from models.errors import CircuitOpen, JobNotFound, StorageBusy, StorageFailed

BUSY = StorageBusy("The database", "database is locked")
BROKEN = StorageFailed("The database", "disk I/O error")


class FakeTime:
    """A clock that only a test, or a sleep, moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self.sleeps.append(seconds)
        self.now += seconds


class Work:
    """Work with a script: an exception is raised, anything else is returned."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)
        self.calls = 0

    async def __call__(self) -> object:
        """Do the next step of the script; the last one again and again."""
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if isinstance(step, BaseException):
            raise step
        return step


class Untold:
    """Takes failures and tells nobody."""

    def failed(self, _error: Exception) -> None:
        """Take no note."""


def words(told: Sequence[RecoveryState]) -> list[str]:
    """Return the states that were told, in their order."""
    return [state.state for state in told]


@pytest.mark.parametrize(
    ("script", "random", "sleeps", "outcome", "states"),
    [
        pytest.param(["a"], 1.0, [], "a", [], id="works at once"),
        pytest.param([BUSY, "a"], 1.0, [1.0], "a", ["retrying", "well"], id="works at last"),
        pytest.param([BUSY, BUSY, "a"], 0.5, [0.5, 1.0], "a", ["retrying", "well"], id="jitter"),
        pytest.param([BUSY, BUSY, BUSY, "a"], 0.0, [0, 0, 0], "a", ["retrying", "well"], id="0"),
        pytest.param(
            [BUSY], 1.0, [1.0, 2.0, 4.0, 5.0], BUSY, ["retrying", "given_up"], id="never works"
        ),
        pytest.param([BROKEN], 1.0, [], BROKEN, [], id="not to be tried again"),
        pytest.param([BUSY, BROKEN], 1.0, [1.0], BROKEN, ["retrying", "given_up"], id="then worse"),
    ],
)
async def test_what_fails_is_tried_again_after_waits_that_double(
    script: list[object],
    random: float,
    sleeps: list[float],
    outcome: object,
    states: list[str],
) -> None:
    policy = RetryPolicy(attempts=5, first_delay_seconds=1, max_delay_seconds=5)
    clock, told, work = FakeTime(), list[RecoveryState](), Work(*script)

    def begin() -> Awaitable[object]:
        # As most callers have it, in a lambda: no coroutine function.
        return work()

    try:
        result = await policy.call(
            begin,
            retry_on=StorageBusy,
            name="keeping a run",
            on_change=told.append,
            sleep=clock.sleep,
            clock=clock,
            random=lambda: random,
        )
    except StorageFailed as error:
        result = error
    assert result == outcome
    assert clock.sleeps == sleeps
    assert work.calls == len(sleeps) + 1
    assert words(told) == states
    assert {(state.name, state.kind) for state in told} <= {("keeping a run", "retry")}


async def test_a_wait_that_would_end_too_late_is_not_begun() -> None:
    policy = RetryPolicy(9, 1, 60, jitter=False, within_seconds=8)
    clock, work = FakeTime(), Work(BUSY)
    with pytest.raises(StorageBusy):
        await policy.call(work, retry_on=StorageBusy, sleep=clock.sleep, clock=clock)
    assert clock.sleeps == [1, 2, 4]


async def test_waits_are_spread_over_their_whole_length() -> None:
    policy = RetryPolicy(2, 10, 10)
    clock = FakeTime()
    for _ in range(200):
        with pytest.raises(StorageBusy):
            await policy.call(Work(BUSY), retry_on=StorageBusy, sleep=clock.sleep, clock=clock)
    assert min(clock.sleeps) < 2
    assert max(clock.sleeps) > 8
    assert all(0 <= seconds <= 10 for seconds in clock.sleeps)


async def test_a_cancelled_wait_is_the_end() -> None:
    told: list[RecoveryState] = []
    work = Work(BUSY)
    policy = RetryPolicy(5, 60, 60, jitter=False)
    task = asyncio.create_task(
        policy.call(work, retry_on=StorageBusy, name="x", on_change=told.append)
    )
    while not told:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (work.calls, words(told)) == (1, ["retrying", "given_up"])


def a_breaker(clock: FakeTime, told: list[RecoveryState] | None = None) -> CircuitBreaker:
    """Return one that opens at the third failure, for a minute."""
    on_change = None if told is None else told.append
    return CircuitBreaker(
        "nas", failures=3, open_seconds=60, counts=OSError, clock=clock, on_change=on_change
    )


async def outcome_of(breaker: CircuitBreaker, step: object) -> object:
    """Return what a call came to: its value, or the type of what was raised."""
    try:
        return await breaker.call(Work(step))
    except (OSError, JobNotFound, CircuitOpen, asyncio.CancelledError) as error:
        return type(error)


DOWN, OTHER, CANCELLED = OSError("no answer"), JobNotFound("x"), asyncio.CancelledError()
# Each step: how much time passes, what the work does, what the caller gets, the state afterwards.
Step = tuple[float, object, object, str]
OPENED: list[Step] = [
    (0, DOWN, OSError, "closed"),
    (0, DOWN, OSError, "closed"),
    (0, DOWN, OSError, "open"),
]


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        pytest.param([(0, "a", "a", "closed")], [], id="stays closed"),
        pytest.param(
            [*OPENED[:2], (0, "a", "a", "closed"), *OPENED],
            ["open"],
            id="a success begins the count anew",
        ),
        pytest.param(
            [*OPENED[:2], (0, OTHER, JobNotFound, "closed"), (0, DOWN, OSError, "open")],
            ["open"],
            id="what does not count changes no count",
        ),
        pytest.param(
            [*OPENED[:2], (0, CANCELLED, asyncio.CancelledError, "closed"), OPENED[2]],
            ["open"],
            id="being cancelled changes no count",
        ),
        pytest.param(
            [*OPENED, (0, "a", CircuitOpen, "open"), (59.9, "a", CircuitOpen, "open")],
            ["open"],
            id="open refuses",
        ),
        pytest.param(
            [*OPENED, (60, "a", "a", "closed"), (0, "a", "a", "closed"), *OPENED],
            ["open", "half_open", "closed", "open"],
            id="a trial that works closes it",
        ),
        pytest.param(
            [
                *OPENED,
                (60, DOWN, OSError, "open"),
                (59, "a", CircuitOpen, "open"),
                (1, 1, 1, "closed"),
            ],
            ["open", "half_open", "open", "half_open", "closed"],
            id="a trial that fails opens it anew",
        ),
        pytest.param(
            [*OPENED, (60, CANCELLED, asyncio.CancelledError, "half_open"), (0, 1, 1, "closed")],
            ["open", "half_open", "closed"],
            id="a trial that was cancelled is had again",
        ),
        pytest.param(
            [*OPENED, (60, OTHER, JobNotFound, "half_open"), (0, DOWN, OSError, "open")],
            ["open", "half_open", "open"],
            id="a trial that does not count is had again",
        ),
    ],
)
async def test_each_transition_of_the_breaker(steps: list[Step], states: list[str]) -> None:
    clock, told = FakeTime(), list[RecoveryState]()
    breaker = a_breaker(clock, told)
    for seconds, step, expected, state in steps:
        clock.now += seconds
        assert await outcome_of(breaker, step) == expected
        assert breaker.state == state
    assert words(told) == states
    assert {state.reason for state in told} <= {"no answer"}


async def test_while_half_open_only_one_call_is_the_trial() -> None:
    clock = FakeTime()
    breaker = a_breaker(clock)
    for _ in range(3):
        await outcome_of(breaker, DOWN)
    clock.now += 61
    goes_on, asked = asyncio.Event(), Work("never called")

    async def trial() -> str:
        await goes_on.wait()
        return "it works"

    running = asyncio.create_task(breaker.call(trial))
    while breaker.state != "half_open":
        await asyncio.sleep(0)
    with pytest.raises(CircuitOpen, match="being tried at this moment"):
        await breaker.call(asked)
    goes_on.set()
    assert (await running, breaker.state, asked.calls) == ("it works", "closed", 0)


@pytest.mark.parametrize("late", [DOWN, "works"])
async def test_who_was_asked_before_the_change_says_nothing_of_the_trial(late: object) -> None:
    clock, told, goes_on = FakeTime(), list[RecoveryState](), asyncio.Event()
    breaker = a_breaker(clock, told)

    async def slow() -> object:
        await goes_on.wait()
        return await Work(late)()

    earlier = asyncio.create_task(_call(breaker, slow))
    await asyncio.sleep(0)
    for _ in range(3):
        await outcome_of(breaker, DOWN)
    clock.now += 61
    await outcome_of(breaker, CANCELLED)
    goes_on.set()
    await earlier
    assert (breaker.state, words(told)) == ("half_open", ["open", "half_open"])


async def _call(breaker: CircuitBreaker, work: Callable[[], Awaitable[object]]) -> None:
    try:
        await breaker.call(work)
    except OSError:
        pass


async def test_a_machine_whose_clock_is_set_back_does_not_keep_it_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeTime()
    breaker = a_breaker(clock)
    for _ in range(3):
        await outcome_of(breaker, DOWN)
    monkeypatch.setattr("purgatory.domain.model.time.time", lambda: -1e9)
    clock.now += 60
    assert await outcome_of(breaker, "a") == "a"


async def test_an_open_breaker_says_when_it_tries_again() -> None:
    clock = FakeTime()
    breaker = a_breaker(clock)
    for _ in range(3):
        await outcome_of(breaker, DOWN)
    clock.now += 17.4
    with pytest.raises(CircuitOpen, match="again in 43 s") as caught:
        await breaker.call(Work("a"))
    assert (caught.value.name, round(caught.value.retry_in_seconds, 1)) == ("nas", 42.6)


async def test_of_many_breakers_the_least_used_is_forgotten_and_ends_closed() -> None:
    clock, told = FakeTime(), list[RecoveryState]()

    def make(name: str) -> CircuitBreaker:
        return CircuitBreaker(name, failures=1, clock=clock, on_change=told.append)

    breakers = CircuitBreakers(make, most=2)
    first = breakers.of("a")
    await outcome_of(first, DOWN)
    breakers.of("b")
    assert breakers.of("a") is first
    breakers.of("c")
    await outcome_of(breakers.of("a"), "never asked")
    assert [(state.name, state.state) for state in told] == [("a", "open")]
    breakers.of("d")
    breakers.of("e")
    assert [(state.name, state.state) for state in told] == [("a", "open"), ("a", "closed")]
    assert breakers.of("a") is not first


@pytest.mark.parametrize(
    ("script", "given", "states"),
    [
        pytest.param(["a"], ["a"], [], id="works"),
        pytest.param([BROKEN, BROKEN, "a"], [None, None, "a"], ["degraded", "well"], id="again"),
        pytest.param(
            [BROKEN, "a", OSError(), "b"],
            [None, "a", None, "b"],
            ["degraded", "well", "degraded", "well"],
            id="twice",
        ),
        pytest.param(
            [TimeoutError(), "a"], [None, "a"], ["degraded", "well"], id="its own timeout"
        ),
    ],
)
async def test_a_degradation_begins_and_ends_once(
    script: list[object], given: list[object], states: list[str]
) -> None:
    told: list[RecoveryState] = []
    degradation, work = Degradation("history", on_change=told.append), Work(*script)
    for expected in given:
        assert await degradation.value(work, None) == expected
        assert degradation.is_degraded == (expected is None)
        assert (degradation.since is not None, bool(degradation.reason)) == (expected is None,) * 2
    assert words(told) == states


async def test_a_degradation_lasts_until_each_part_works_again() -> None:
    told: list[RecoveryState] = []
    history = Degradation("history", on_change=told.append)
    await history.value(Work(BROKEN), None, part="runs")
    await history.value(Work(BUSY), None, part="days")
    await history.value(Work("a"), None, part="another")
    await history.value(Work("a"), None, part="days")
    assert (history.is_degraded, history.reason) == (True, str(BROKEN))
    await history.value(Work("a"), None, part="runs")
    assert (history.is_degraded, words(told)) == (False, ["degraded", "well"])
    await history.value(Work(BROKEN), None, part="runs")
    history.clear()
    history.clear()
    assert words(told) == ["degraded", "well"] * 2


async def test_a_degradation_hides_no_other_failure() -> None:
    history = Degradation("history", failures=StorageFailed)
    for error in (OTHER, TimeoutError(), CANCELLED):
        with pytest.raises(type(error)):
            await history.value(Work(error), None)
    assert not history.is_degraded


async def test_what_has_no_answer_in_time_is_done_without() -> None:
    history = Degradation("history", failures=StorageFailed, patience_seconds=0.02)
    assert await history.value(asyncio.Event().wait, "nothing") == "nothing"
    assert history.reason == "no answer within 0.02 seconds"


@pytest.mark.parametrize(
    ("error", "retry_after", "told"),
    [
        (CircuitOpen("remote nas", 12.3), "13", "It is tried again in 12 s."),
        (BUSY, None, "try again when that is done, or end it."),
        (BROKEN, None, "can be written to, then try again."),
    ],
)
async def test_who_asks_for_what_does_not_work_now_is_told_what_to_do(
    error: Exception, retry_after: str | None, told: str
) -> None:
    app = FastAPI()
    errors.register(app)
    # Who has the error log told of such failures is not what this is about.
    app.state.services = SimpleNamespace(faults=SimpleNamespace(storage=Untold()))

    @app.get("/api/test")
    async def ask() -> None:
        raise error

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/api/test")
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, retry_after)
    assert answer.json()["detail"].endswith(told)
