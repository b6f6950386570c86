"""What is done about failures that may pass: try again, leave alone for a while, do without.

Named policies on tenacity and purgatory; nothing here knows what it is used for. Each tells its
transitions to `on_change`, so that they are seen: fastapi_app/recovery_events.py makes events of
the error log of them. How the storage tries its own writes again stands there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import random as random_share
from typing import TypeAlias, TypeVar

from purgatory.domain.messages.events import ContextChanged
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context, HalfOpenedState, State
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from core.recovery_states import (
    BREAKER,
    CIRCUIT_CLOSED,
    CIRCUIT_HALF_OPEN,
    CIRCUIT_OPEN,
    DEGRADATION,
    DEGRADED,
    GIVEN_UP,
    RETRY,
    RETRYING,
    WELL,
    OnChange,
    no_listener,
    reason_of,
    state_now,
)
from models.errors import CircuitOpen, StorageFailed

Value = TypeVar("Value")
Fallback = TypeVar("Fallback")
Failures: TypeAlias = type[Exception] | tuple[type[Exception], ...]
_CIRCUIT_STATES = {
    CLOSED: CIRCUIT_CLOSED,
    OPENED: CIRCUIT_OPEN,
    HALF_OPENED: CIRCUIT_HALF_OPEN,
}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """Tries again after waits that double, each of a random length up to its bound: callers that
    failed together do not come back together (full jitter)."""

    attempts: int
    first_delay_seconds: float
    max_delay_seconds: float
    jitter: bool = True
    within_seconds: float = float("inf")
    """No wait begins that would end later than so long after the first attempt began."""

    async def call(
        self,
        work: Callable[[], Awaitable[Value]],
        *,
        retry_on: Failures,
        name: str = "",
        on_change: OnChange | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_share,
    ) -> Value:
        """Return what `work` returns in the end; raises what its last attempt raised, and at once
        what is not among `retry_on`. With a name its states are told: `retrying` after the first
        failure, then `well` or `given_up`, whatever became of it."""
        began = clock()
        longest = wait_exponential(multiplier=self.first_delay_seconds, max=self.max_delay_seconds)
        tell = on_change or no_listener
        reason: str | None = None

        def wait(state: RetryCallState) -> float:
            return longest(state) * (random() if self.jitter else 1.0)

        def stop(state: RetryCallState) -> bool:
            ends = clock() - began + state.upcoming_sleep
            return state.attempt_number >= self.attempts or ends > self.within_seconds

        def note(state: RetryCallState) -> None:
            nonlocal reason
            error = state.outcome.exception() if state.outcome else None
            is_first, reason = reason is None, reason_of(error)
            _logger.warning("%s is tried again: %s", name or "work", reason)
            if is_first and name:
                tell(state_now(name, RETRY, RETRYING, reason))

        async def attempt() -> Value:
            # tenacity awaits what is a coroutine function, and a lambda is none.
            return await work()

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(retry_on),
            wait=wait,
            stop=stop,
            sleep=sleep,
            before_sleep=note,
            reraise=True,
        )
        ending = GIVEN_UP
        try:
            value: Value = await retrying(attempt)
            ending = WELL
        finally:
            if reason is not None and name:
                tell(state_now(name, RETRY, ending, reason))
        return value


class _Circuit(Context):
    """purgatory's model of a breaker by a clock of ours: its own asks the machine's time, which
    may be set back by hours."""

    def __init__(self, name: str, failures: int, clock: Callable[[], float]) -> None:
        super().__init__(name, failures, 0.0)
        self._clock = clock

    def set_state(self, state: State) -> None:
        """Take a state, which began now."""
        state.opened_at = self._clock() if state.name == OPENED else None
        super().set_state(state)


class CircuitBreaker:
    """Leaves alone for a while what failed again and again, then tries with a single call.

    What is not among `counts`, being cancelled above all, counts neither as a failure nor as a
    success. The reason that is told is the exception's text: it must hold no secret.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        open_seconds: float = 60,
        counts: Failures = Exception,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange | None = None,
    ) -> None:
        self.name = name
        self._open_seconds = open_seconds
        self._counts = counts
        self._clock = clock
        self._on_change = on_change or no_listener
        self._circuit = _Circuit(name, failures, clock)
        self._is_trying = False
        self._changes = 0
        self._reason = ""

    @property
    def state(self) -> str:
        """`closed`, `open` or `half_open`."""
        return _CIRCUIT_STATES[self._circuit.state]

    @property
    def retry_in_seconds(self) -> float:
        """How long it stays open yet; 0 when a call would be let through or is the trial."""
        opened_at = self._circuit.opened_at
        left = 0.0 if opened_at is None else opened_at + self._open_seconds - self._clock()
        return max(0.0, left)

    async def call(self, work: Callable[[], Awaitable[Value]]) -> Value:
        """Return what `work` returns. Raises what it raises, and CircuitOpen in its place while it
        is open, or while another call is the trial."""
        is_trial = self._admit()
        begun = self._changes
        try:
            value = await work()
        except self._counts as error:
            if begun == self._changes:
                self._reason = reason_of(error)
                self._circuit.handle_exception(error)
            raise
        else:
            # What began before the last change says nothing of how it is now.
            if begun == self._changes:
                self._circuit.handle_end_request()
        finally:
            if is_trial:
                self._is_trying = False
            self._tell()
        return value

    def forget(self) -> None:
        """Close it without a trial: nobody uses it any more."""
        if self.state != CIRCUIT_CLOSED:
            self._circuit = _Circuit(self.name, self._circuit.threshold, self._clock)
            self._changes += 1
            self._on_change(state_now(self.name, BREAKER, CIRCUIT_CLOSED, self._reason))

    def _admit(self) -> bool:
        """Whether the call is the trial. Raises CircuitOpen."""
        if self._circuit.state == CLOSED:
            return False
        left = self.retry_in_seconds
        if left > 0 or self._is_trying:
            raise CircuitOpen(self.name, left)
        if self._circuit.state == OPENED:
            self._circuit.set_state(HalfOpenedState())
            self._tell()
        self._is_trying = True
        return True

    def _tell(self) -> None:
        messages, self._circuit.messages = self._circuit.messages, []
        for message in messages:
            if isinstance(message, ContextChanged):
                self._changes += 1
                state = _CIRCUIT_STATES[message.state]
                _logger.info("circuit breaker of %s: %s", self.name, state)
                self._on_change(state_now(self.name, BREAKER, state, self._reason))


class CircuitBreakers:
    """A breaker for each name, of so many names at most: who was not asked for the longest is
    forgotten."""

    def __init__(self, make: Callable[[str], CircuitBreaker], *, most: int = 100) -> None:
        self._make = make
        self._most = most
        self._breakers: dict[str, CircuitBreaker] = {}

    def of(self, name: str) -> CircuitBreaker:
        """Return the breaker of a name."""
        breaker = self._breakers.pop(name, None) or self._make(name)
        self._breakers[name] = breaker
        while len(self._breakers) > self._most:
            self.forget(next(iter(self._breakers)))
        return breaker

    def all(self) -> tuple[CircuitBreaker, ...]:
        """Return every breaker there is."""
        return tuple(self._breakers.values())

    def forget(self, name: str) -> None:
        """Nothing of this name is called any more; its breaker ends closed."""
        breaker = self._breakers.pop(name, None)
        if breaker is not None:
            breaker.forget()


class Degradation:
    """Does without what fails, and says so until it works again.

    It covers several parts: that one of them works says nothing of another, so that each that
    failed has to work again, or `clear` is called by who knows better.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: Failures = (StorageFailed, CircuitOpen, OSError),
        patience_seconds: float | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Do without what raises one of `failures`, or has no answer within the patience."""
        self.name = name
        self._failures = failures
        more = failures if isinstance(failures, tuple) else (failures,)
        self._caught: tuple[type[Exception], ...] = (TimeoutError, *more)
        self._patience = patience_seconds
        self._on_change = on_change or no_listener
        self._failing: dict[str, str] = {}
        self.since: str | None = None
        """When it began to do without; None while it is well."""

    @property
    def is_degraded(self) -> bool:
        """Whether something is done without now."""
        return bool(self._failing)

    @property
    def reason(self) -> str:
        """Return the last failure in words; empty while it is well."""
        return next(reversed(self._failing.values()), "")

    async def value(
        self, work: Callable[[], Awaitable[Value]], fallback: Fallback, *, part: str = ""
    ) -> Value | Fallback:
        """Return what `work` returns, or the fallback when it failed."""
        limit = asyncio.timeout(self._patience)
        try:
            async with limit:
                value = await work()
        except self._caught as error:
            if limit.expired():
                self.failed(f"no answer within {self._patience:g} seconds", part=part)
            elif isinstance(error, self._failures):
                self.failed(reason_of(error), part=part)
            else:
                raise
            return fallback
        self.worked(part=part)
        return value

    def failed(self, reason: str, *, part: str = "") -> None:
        """Take note that a part failed; the first one begins the degradation."""
        was_degraded = self.is_degraded
        self._failing.pop(part, None)
        self._failing[part] = reason
        if not was_degraded:
            _logger.warning("%s is done without: %s", self.name, reason)
            told = state_now(self.name, DEGRADATION, DEGRADED, reason)
            self.since = told.since
            self._on_change(told)

    def worked(self, *, part: str = "") -> None:
        """Take note that a part works; the last one that failed ends the degradation."""
        reason = self._failing.pop(part, None)
        if reason is not None and not self._failing:
            self._end(reason)

    def clear(self) -> None:
        """Take note that everything works again."""
        if self._failing:
            reason = self.reason
            self._failing.clear()
            self._end(reason)

    def _end(self, reason: str) -> None:
        _logger.info("%s works again", self.name)
        self.since = None
        self._on_change(state_now(self.name, DEGRADATION, WELL, reason))
