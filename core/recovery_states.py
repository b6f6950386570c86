"""What the strategies of core/error_recovery.py tell of themselves: the words, and the values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from utils.timestamps import utc_timestamp

RETRY, BREAKER, DEGRADATION = "retry", "circuit_breaker", "degradation"
RETRYING, GIVEN_UP, DEGRADED, WELL = "retrying", "given_up", "degraded", "well"
CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN = "closed", "open", "half_open"
_AT_REST = frozenset({WELL, CIRCUIT_CLOSED, GIVEN_UP})
_LONGEST_REASON = 500


@dataclass(frozen=True)
class RecoveryState:
    """Where a strategy stands since a time (UTC, ISO 8601), and the last failure in words."""

    name: str
    kind: str
    """RETRY, BREAKER or DEGRADATION."""
    state: str
    since: str
    reason: str

    @property
    def is_at_rest(self) -> bool:
        """Whether there is nothing to tell: all is well, or who was given up on tells it."""
        return self.state in _AT_REST


OnChange: TypeAlias = Callable[[RecoveryState], None]


def no_listener(_state: RecoveryState) -> None:
    """Nobody wants to know."""


def state_now(name: str, kind: str, state: str, reason: str) -> RecoveryState:
    """Return a state that begins now."""
    return RecoveryState(name, kind, state, utc_timestamp(), reason[:_LONGEST_REASON])


def reason_of(error: BaseException | None) -> str:
    """Return a failure in words."""
    return (str(error) or type(error).__name__)[:_LONGEST_REASON]
