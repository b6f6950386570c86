"""Asks all parts how they are: at the same time, within a bound, and none twice while it hangs.

What a part's check does is not here (fastapi_app/health_checks.py), nor what its reasons mean
(models/health.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from models.health import LONG_HUNG_SECONDS, Condition, Part, Reason
from utils.timestamps import utc_timestamp

PATIENCE_SECONDS = 0.4
"""How long a part is waited for: the whole answer has half a second."""
FRESH_SECONDS = 1.0
"""How old an answer may be that is given again."""
Clock = Callable[[], float]
Value = TypeVar("Value")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What a check found: figures for the answer, and why the part is not healthy, if so."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    detail: str | None = None
    """The system's words; never a path."""
    hung_seconds: float | None = None


Look = Callable[[], Awaitable[Finding]]
Figures = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Findings:
    """What all checks found, and when."""

    at: str
    parts: Mapping[Part, Finding]
    conditions: tuple[Condition, ...]


class Check:
    """One part's check. Whatever hangs in it hangs once: it is not begun again meanwhile."""

    def __init__(
        self, look: Look, *, name: str, at_hand: Figures = dict, clock: Clock = time.monotonic
    ) -> None:
        """Take what looks, and what is known of the part without looking: told while it hangs."""
        self._look = look
        self._at_hand = at_hand
        self._name = name
        self._clock = clock
        self._task: asyncio.Task[Finding] | None = None
        self._began_at = 0.0

    async def finding(self) -> Finding:
        """Return what is found within the patience; what hangs is told and not waited for."""
        if self._task is None or self._task.done():
            self._began_at = self._clock()
            self._task = asyncio.create_task(self._checked(), name=f"health-{self._name}")
            await asyncio.wait({self._task}, timeout=PATIENCE_SECONDS)
        if not self._task.done():
            return hung(self._clock() - self._began_at, **self._at_hand())
        finding, self._task = self._task.result(), None
        return finding

    def end(self) -> None:
        """Wait for it no longer. A thread that hangs in it is left to itself."""
        if self._task is not None:
            self._task.cancel()

    async def _checked(self) -> Finding:
        try:
            return await self._look()
        except Exception:
            # The loop's boundary: a defect of a check must not take the others' answers away.
            _logger.exception("the health of %s cannot be told", self._name)
            return Finding(reasons=(Reason.CHECK_FAILED,))


class HealthBoard:
    """All checks. However many ask, they are made once at a time, and once a second at most."""

    def __init__(
        self,
        looks: Mapping[Part, Look],
        at_hand: Mapping[Part, Figures] | None = None,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        known = at_hand or {}
        self._checks = {
            part: Check(look, name=part, at_hand=known.get(part, dict), clock=clock)
            for part, look in looks.items()
        }
        self._clock = clock
        self._asking: asyncio.Task[Findings] | None = None
        self._asked_at = float("-inf")
        self._contributors: list[Callable[[], Condition]] = []

    def contribute(self, tell: Callable[[], Condition]) -> None:
        """Ask this too, each time. It has to answer at once; a count of nothing is no condition."""
        self._contributors.append(tell)

    async def findings(self) -> Findings:
        """Return how all parts are, at most a second old."""
        if self._asking is None or self._is_old(self._asking):
            self._asking = asyncio.create_task(self._ask(), name="health")
        # Whoever goes away must not take the answer with it for which others wait.
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """End what is under way; what hangs is not waited for."""
        for check in self._checks.values():
            check.end()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _is_old(self, asking: asyncio.Task[Findings]) -> bool:
        if not asking.done():
            return False
        failed = asking.cancelled() or asking.exception() is not None
        return failed or self._clock() - self._asked_at > FRESH_SECONDS

    async def _ask(self) -> Findings:
        found = await asyncio.gather(*(check.finding() for check in self._checks.values()))
        self._asked_at = self._clock()
        conditions = (tell() for tell in self._contributors)
        return Findings(
            utc_timestamp(),
            dict(zip(self._checks, found, strict=True)),
            tuple(one for one in conditions if one.count),
        )


def hung(seconds: float, **figures: Any) -> Finding:
    """Return what there is to tell of a part that has not answered for so long."""
    reason = Reason.HUNG if seconds < LONG_HUNG_SECONDS else Reason.LONG_HUNG
    return Finding(figures, (reason,), hung_seconds=round(seconds, 3))
