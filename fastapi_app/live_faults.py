"""Faults of live connections as events of the error log. A browser that goes is none of them."""

from __future__ import annotations

import traceback

from core.ports import ErrorLog
from models.error_event import Component, Fault, Severity

CONNECTION_FAILED = "LiveConnectionFailed"
CLIENT_DROPPED = "LiveClientDropped"


class LiveFaults:
    """Tells the error log of connections that failed here, and of browsers that did not read."""

    def __init__(self, error_log: ErrorLog) -> None:
        self._error_log = error_log
        self._is_failing = False

    def begin(self) -> None:
        """Resolve what an earlier dashboard told: its connections are gone."""
        for error_type in (CONNECTION_FAILED, CLIENT_DROPPED):
            self._error_log.settle(error_type=error_type, job_id=None)

    def failed(self, error: BaseException) -> None:
        """A connection ended by a defect; returns at once."""
        self._is_failing = True
        self._error_log.report(
            Fault(
                severity=Severity.HIGH,
                component=Component.WEBSOCKET,
                error_type=CONNECTION_FAILED,
                message=f"A live connection failed with {type(error).__name__}. The page connects "
                "anew; it is settled when a later connection ends well.",
                details={"error": str(error)},
                stack_trace="".join(traceback.format_exception(error)),
            )
        )

    def ended_well(self) -> None:
        """A connection ended as it should."""
        if self._is_failing:
            self._is_failing = False
            self._error_log.settle(error_type=CONNECTION_FAILED, job_id=None)

    def dropped(self) -> None:
        """A browser did not read what it was sent, and was dropped."""
        self._error_log.report(
            Fault(
                severity=Severity.LOW,
                component=Component.WEBSOCKET,
                error_type=CLIENT_DROPPED,
                message="A browser did not take in what it was sent for 5 s and was dropped. Its "
                "page connects anew when it can.",
            )
        )

    def calm(self) -> None:
        """No browser was dropped for a while."""
        self._error_log.settle(error_type=CLIENT_DROPPED, job_id=None)
