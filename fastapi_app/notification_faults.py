"""What the error log is told of targets that take nothing, and that they take it again. Never an
address: a target is told by the name of its secret."""

from __future__ import annotations

from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity

_HIGH_FROM = 3
"""From this attempt in a row on it is no passing trouble any more."""


class TargetFaults:
    """Tells of each target once while it is so, and settles it when something arrives."""

    def __init__(self, error_log: ErrorLog) -> None:
        self._error_log = error_log
        self._known_good: set[tuple[str, str | None]] = set()

    def failed(
        self, target: str, reason: str, attempts: int, *, is_last: bool, job_id: str | None
    ) -> None:
        """Something could not be sent; `attempts` counts this one too."""
        self._known_good.discard((target, job_id))
        what = "ping" if job_id is not None else "notification"
        told = f"The {what} to “{target}” does not arrive: {reason}"
        if is_last:
            told += " It was tried for long enough and is given up."
        is_bad = is_last or attempts >= _HIGH_FROM
        self._error_log.report(
            Fault(
                severity=Severity.HIGH if is_bad else Severity.MEDIUM,
                component=Component.NOTIFICATIONS,
                error_type=_type_of(target, job_id),
                message=told,
                details={"target": target, "attempts": attempts},
                job_id=job_id,
            )
        )

    def arrived(self, target: str, job_id: str | None = None) -> None:
        """Something arrived."""
        # The first one after a start also settles what an earlier dashboard had told.
        if (target, job_id) not in self._known_good:
            self._known_good.add((target, job_id))
            self._error_log.settle(error_type=_type_of(target, job_id), job_id=job_id)

    def dropped(self, count: int) -> None:
        """So many were dropped because too many were waiting."""
        self._error_log.report(
            Fault(
                severity=Severity.HIGH,
                component=Component.NOTIFICATIONS,
                error_type="NotificationsDropped",
                message="Too many notifications are waiting: the oldest were dropped.",
                details={"dropped": count},
            )
        )


def _type_of(target: str, job_id: str | None) -> str:
    # With its name: each target has its own end.
    return "PingFailed" if job_id is not None else f"NotificationFailed:{target}"
