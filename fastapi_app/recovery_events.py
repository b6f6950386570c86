"""What is tried again, left alone or done without at this moment: as events of the error log, for
/health, and for the notes at the top of every page. All of it is in memory: it is shown also while
the database is what does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from core.error_recovery import Degradation
from core.ports import ErrorLog
from core.recovery_states import (
    BREAKER,
    CIRCUIT_HALF_OPEN,
    DEGRADATION,
    RETRY,
    OnChange,
    RecoveryState,
)
from fastapi_app.moments import Moment, moment
from fastapi_app.task_keeper import KeptWork
from models.error_event import Component, ErrorEvent, Fault, Severity

PROBE_SECONDS = 2.0
"""How long after a failure, and how often from then on, is looked whether it has passed."""
_TYPES = {RETRY: "Retrying", BREAKER: "CircuitOpen", DEGRADATION: "Degraded"}
_PAGE = 500
Probe: TypeAlias = Callable[[], Awaitable[None]]
_logger = logging.getLogger(__name__)


class Note(NamedTuple):
    """What every page says of something that does not work for now."""

    text: str
    since: Moment | None


class _Told(NamedTuple):
    state: RecoveryState
    message: str
    began: str


def _nobody() -> None:
    """Nobody shows it yet."""


class RecoveryEvents:
    """Keeps what is not at rest. Each is one event of medium severity, which is counted when it
    fails anew and resolved once it works; `on_change` is called after each change."""

    def __init__(self, error_log: ErrorLog, *, on_change: Callable[[], None] = _nobody) -> None:
        self._error_log = error_log
        self._told: dict[tuple[str, str], _Told] = {}
        self._is_needed = asyncio.Event()
        self._on_change = on_change

    def listener(self, component: Component, words: Callable[[RecoveryState], str]) -> OnChange:
        """Return what takes the states of a component's strategies; `words` makes the sentence of
        one of them, which is to be the same whatever the reason is."""

        def take(state: RecoveryState) -> None:
            error_type = f"{_TYPES[state.kind]}: {state.name}"
            message = words(state)
            before = self._take(state, message)
            if state.is_at_rest and before is not None:
                self._error_log.settle(error_type=error_type, job_id=None)
            elif not state.is_at_rest and state.state != CIRCUIT_HALF_OPEN:
                self._error_log.report(_fault(state, component, error_type, message))

        return take

    def watcher(self, words: Callable[[RecoveryState], str]) -> OnChange:
        """Return what takes the states of strategies whose owner tells the error log of the fault
        itself: a state and a note alone."""

        def take(state: RecoveryState) -> None:
            self._take(state, words(state))

        return take

    def watch_error_log(self, words: str) -> Callable[[str | None], None]:
        """Return what takes the reason why the error log cannot be written, None when it can: a
        state and a note alone, since it is the error log that has no room for an event of it."""

        def take(state: RecoveryState) -> None:
            self._take(state, words)

        log = Degradation("error log", on_change=take)

        def note(reason: str | None) -> None:
            if reason is None:
                log.worked()
            else:
                log.failed(reason)

        return note

    def states(self) -> tuple[RecoveryState, ...]:
        """Return what is not at rest, the oldest first."""
        return tuple(told.state for told in self._told.values())

    def notes(self) -> tuple[Note, ...]:
        """Return it for people, the newest first."""
        return tuple(
            Note(told.message, moment(told.began)) for told in reversed(self._told.values())
        )

    def works(self, *, remotes: Probe, history: Probe, disks: Probe) -> tuple[KeptWork, ...]:
        """Return the tasks that look again: what is to be kept running."""
        of_remotes = partial(self.look_again, BREAKER, remotes)
        of_history = partial(self.look_again, DEGRADATION, history)
        of_disks = partial(self.look_again, DEGRADATION, disks)
        return (
            KeptWork("remotes-again", Component.ENGINE, of_remotes),
            KeptWork("history-again", Component.STORAGE, of_history),
            KeptWork("disks-again", Component.STORAGE, of_disks),
        )

    async def look_again(self, kind: str, probe: Probe) -> None:
        """Call a probe now and then as long as something of a kind is not at rest, until
        cancelled: what it is about works again though nobody asks for it."""
        while True:
            await self._is_needed.wait()
            await asyncio.sleep(PROBE_SECONDS)
            if any(told.state.kind == kind for told in self._told.values()):
                try:
                    await probe()
                except Exception:
                    # The loop's boundary: a defect of a probe must not end the others.
                    _logger.exception("looking again failed")

    async def settle_left_over(self) -> None:
        """Resolve what an earlier dashboard told of and did not see the end of: this one begins
        with everything at rest. Raises StorageFailed."""
        types = tuple(f"{word}: " for word in _TYPES.values())
        left = [event async for event in self._unresolved() if event.error_type.startswith(types)]
        for event in left:
            self._error_log.settle(error_type=event.error_type, job_id=event.job_id)

    async def _unresolved(self) -> AsyncIterator[ErrorEvent]:
        cursor: str | None = None
        while True:
            page = await self._error_log.list_events(
                severity=Severity.MEDIUM, resolved=False, limit=_PAGE, cursor=cursor
            )
            for event in page.items:
                yield event
            cursor = page.next_cursor
            if cursor is None:
                return

    def _take(self, state: RecoveryState, message: str) -> _Told | None:
        """Keep a state; returns what was told of it before."""
        key = (state.kind, state.name)
        before = self._told.pop(key, None) if state.is_at_rest else self._told.get(key)
        if not state.is_at_rest:
            began = before.began if before else state.since
            self._told[key] = _Told(state, message, began)
        elif before is None:
            return None
        (self._is_needed.set if self._told else self._is_needed.clear)()
        self._on_change()
        return before


def _fault(state: RecoveryState, component: Component, error_type: str, message: str) -> Fault:
    return Fault(
        severity=Severity.MEDIUM,
        component=component,
        error_type=error_type,
        message=message,
        details={"strategy": state.kind, "state": state.state, "reason": state.reason},
    )
