"""What the error log is told of targets that take nothing, and that they take it again. Never an
address: a target is told by the name of its secret."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from core.ports import ErrorLog
from models.error_event import Component, Fault, JsonValue, Severity

_HIGH_FROM = 3
"""From this attempt in a row on it is no passing trouble any more."""
_PAGE = 500
_OF_RULES, _OF_PINGS = "NotificationFailed:", "PingFailed"
_CROWDED, _OF_NO_RULE = "NotificationsDropped", "NotificationsOfNoRule"
_Key = tuple[str, str | None]
"""The type of an event, and its job."""


class TargetFaults:
    """Tells of each target while it is so, anew when it is no passing trouble any more, and settles
    it when something arrives or nobody names the target any more."""

    def __init__(self, error_log: ErrorLog) -> None:
        self._error_log = error_log
        self._open: dict[_Key, Severity] = {}

    async def find_told(self) -> None:
        """Find what an earlier dashboard told and did not see the end of. Raises StorageFailed."""
        cursor: str | None = None
        while True:
            page = await self._error_log.list_events(
                component=Component.NOTIFICATIONS, resolved=False, limit=_PAGE, cursor=cursor
            )
            for event in page.items:
                if event.error_type.startswith((_OF_RULES, _OF_PINGS, _CROWDED)):
                    self._note((event.error_type, event.job_id), event.severity)
            cursor = page.next_cursor
            if cursor is None:
                return

    def failed(
        self, target: str, reason: str, attempts: int, *, is_last: bool, job_id: str | None
    ) -> None:
        """Something could not be sent; `attempts` counts this one too."""
        key = _key_of(target, job_id)
        before = self._open.get(key)
        what = "ping" if job_id is not None else "notification"
        told = f"The {what} to “{target}” does not arrive: {reason}"
        is_bad = is_last or attempts >= _HIGH_FROM or before is Severity.HIGH
        if is_last:
            told += " It was tried for long enough and is given up."
        elif is_bad:
            told += " It was tried several times."
        if is_bad and before is Severity.MEDIUM:
            # As a new event: who is told of high ones alone has passed the other by.
            self._settle(key)
        severity = Severity.HIGH if is_bad else Severity.MEDIUM
        self._note(key, severity)
        facts: dict[str, JsonValue] = {"target": target, "attempts": attempts}
        self._error_log.report(_fault(key, severity, told, facts))

    def arrived(self, target: str, job_id: str | None = None) -> None:
        """Something arrived."""
        self._settle(_key_of(target, job_id))

    def is_about(self, job_ids: Iterable[str]) -> bool:
        """Whether the pings of one of these jobs do not arrive."""
        return any((_OF_PINGS, job_id) in self._open for job_id in job_ids)

    def settle_unnamed(
        self, targets: Collection[str] | None, has_ping: Callable[[str], bool]
    ) -> None:
        """Settle what is told of targets that no rule names any more, where the rules are known,
        and of jobs that ping nobody."""
        for key in tuple(self._open):
            error_type, job_id = key
            if job_id is not None:
                is_named = has_ping(job_id)
            else:
                target = error_type.removeprefix(_OF_RULES)
                is_named = targets is None or error_type == _CROWDED or target in targets
            if not is_named:
                self._settle(key)

    def dropped(self, count: int) -> None:
        """So many were dropped because too many were waiting."""
        key = (_CROWDED, None)
        self._note(key, Severity.HIGH)
        told = "Too many notifications are waiting: the oldest were dropped."
        self._error_log.report(_fault(key, Severity.HIGH, told, {"dropped": count}))

    @property
    def is_crowded(self) -> bool:
        """Whether it is told that too many wait."""
        return (_CROWDED, None) in self._open

    def has_room(self) -> None:
        """There is room again."""
        self._settle((_CROWDED, None))

    def dropped_with_rule(self, rule_name: str, count: int) -> None:
        """So many were dropped because their rule is gone or switched off: it is on record, and
        there is nothing to be done about it."""
        key = (_OF_NO_RULE, None)
        told = f"What waited for the rule “{rule_name}” is not sent: that is gone or switched off."
        self._error_log.report(_fault(key, Severity.LOW, told, {"dropped": count}))
        self._error_log.settle(error_type=_OF_NO_RULE, job_id=None)

    def _note(self, key: _Key, severity: Severity) -> None:
        if self._open.get(key) is not Severity.HIGH:
            self._open[key] = severity

    def _settle(self, key: _Key) -> None:
        if self._open.pop(key, None) is not None:
            self._error_log.settle(error_type=key[0], job_id=key[1])


def _key_of(target: str, job_id: str | None) -> _Key:
    # With its name: each target has its own end. The pings of a job end together.
    return (_OF_PINGS, job_id) if job_id is not None else (f"{_OF_RULES}{target}", None)


def _fault(key: _Key, severity: Severity, message: str, details: Mapping[str, JsonValue]) -> Fault:
    return Fault(
        severity=severity,
        component=Component.NOTIFICATIONS,
        error_type=key[0],
        message=message,
        details=details,
        job_id=key[1],
    )
