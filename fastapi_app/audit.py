"""The audit log as routes write it: what somebody did, with whoever stands behind the request.

Called after an act has succeeded; nothing here waits, and nothing here fails it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from core.access.attempts import network_of
from core.ports import ErrorLog
from fastapi_app.refused_sign_ins import RefusedSignIns
from models.access import Identity
from models.audit import SYSTEM, Action, NewAuditEntry, changes
from models.error_event import Component, Fault, Severity
from models.job import Job, JobDefinition
from models.setting_facts import SAVED, plain
from models.settings import SavedSettings
from storage.audit_repository import AuditRepository
from utils.timestamps import utc_timestamp

ENTRIES_WENT_EARLY = "AuditEntriesWentEarly"
_DEFINITION = frozenset(JobDefinition.model_fields)
_BY_HAND = "a file was edited"


class Audit:
    """Writes the audit log. `name_of` returns the name of a job that there is."""

    def __init__(self, log: AuditRepository, name_of: Callable[[str], str | None]) -> None:
        self.log = log
        self._name_of = name_of
        self.refused = RefusedSignIns(log)

    def note(
        self,
        request: HTTPConnection,
        action: Action,
        *,
        job_id: str | None = None,
        job_name: str | None = None,
        run_id: str | None = None,
        details: Mapping[str, object] | None = None,
        who: Identity | None = None,
    ) -> None:
        """Note what was done, by whoever stands behind the request or by `who`. Of a job that is
        gone by now its name is to be told."""
        who = who or who_asks(request)
        self.log.add(
            NewAuditEntry(
                time=utc_timestamp(),
                account=who.name if who else "",
                role=who.role if who else None,
                way=who.way if who else None,
                address=who.address if who else address_of(request),
                action=action,
                job_id=job_id,
                job_name=job_name or (self._name_of(job_id) if job_id else None),
                run_id=run_id,
                details=details or {},
            )
        )

    def note_refused_sign_in(self, request: HTTPConnection, account: str = "") -> None:
        """Note that a sign-in was refused (RefusedSignIns).

        `account` is the name of an account that there is; any other text that was typed as one may
        be a password, and is not to be told.
        """
        self.refused.note(network_of(address_of(request)), account)


def who_asks(request: HTTPConnection) -> Identity | None:
    """Return whoever stands behind a request; None for a stranger's."""
    identity: Identity | None = request.scope.get("state", {}).get("identity")
    return identity


def address_of(request: HTTPConnection) -> str:
    """Return where a request came from."""
    told = request.scope.get("state", {}).get("address")
    if isinstance(told, str):
        return told
    client = request.scope.get("client")
    return str(client[0]) if client else ""


def entries_lost(count: int) -> Fault:
    """Return the fault that entries will never be in the log; the service's log has them."""
    return Fault(
        severity=Severity.HIGH,
        component=Component.STORAGE,
        error_type="AuditEntriesLost",
        message="What was done is not in the audit log, which could not be written. The service’s "
        "log has it.",
        details={"entries": count},
    )


def tell_of_early(log: AuditRepository, error_log: ErrorLog, is_so: bool) -> None:
    """Report that entries were forgotten for being too many, or that they are no more."""
    if not is_so:
        error_log.settle(error_type=ENTRIES_WENT_EARLY, job_id=None)
        return
    error_log.report(
        Fault(
            severity=Severity.MEDIUM,
            component=Component.STORAGE,
            error_type=ENTRIES_WENT_EARLY,
            message=f"The audit log has more than {log.max_entries:,} entries: the oldest are "
            f"forgotten before their {log.kept_days:g} days are over. What is needed for longer is "
            "to be kept with `longshore audit export`.",
        )
    )


def job_changes(before: Job, after: Job) -> dict[str, object]:
    """Return what of a definition is different, each with its value before and after."""
    return changes(
        before.model_dump(mode="json", include=set(_DEFINITION)),
        after.model_dump(mode="json", include=set(_DEFINITION)),
    )


def settings_changes(before: SavedSettings, after: SavedSettings) -> dict[str, object]:
    """Return which settings are different, each with its value before and after."""
    values = ({name: plain(getattr(one, name)) for name in SAVED} for one in (before, after))
    return changes(*values)


@dataclass(frozen=True)
class HandEdits:
    """Notes what people do to files past the program: who that was is not known."""

    log: AuditRepository

    def job_edited(self, before: Job | None, after: Job | None) -> None:
        """A definition's file was written, or removed."""
        job = after or before
        if job is None:
            return
        action = Action.JOB_EDITED
        if before is None:
            action = Action.JOB_CREATED
        elif after is None:
            action = Action.JOB_DELETED
        details = job_changes(before, after) if before and after else {}
        self.note(action, details, job_id=job.id, job_name=job.name)

    def settings_edited(self, before: SavedSettings, after: SavedSettings) -> None:
        """settings.yaml was written."""
        details = settings_changes(before, after)
        if details:
            self.note(Action.SETTINGS_CHANGED, details)

    def note(
        self,
        action: Action,
        details: Mapping[str, object],
        *,
        job_id: str | None = None,
        job_name: str | None = None,
    ) -> None:
        """Note anything else; details say `how` themselves where it was in another way."""
        entry = NewAuditEntry(
            time=utc_timestamp(),
            account=SYSTEM,
            role=None,
            way=None,
            address="",
            action=action,
            job_id=job_id,
            job_name=job_name,
            details={"how": _BY_HAND, **details},
        )
        self.log.add(entry)
