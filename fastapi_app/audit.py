"""The audit log as routes write it: what somebody did, with whoever stands behind the request.

Called after an act has succeeded; nothing here waits, and nothing here fails it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from core.access.attempts import network_of
from models.access import Identity
from models.audit import SYSTEM, Action, NewAuditEntry, changes
from models.error_event import Component, Fault, Severity
from models.job import Job, JobDefinition
from models.setting_facts import SAVED, plain
from models.settings import SavedSettings
from storage.audit_repository import AuditRepository
from utils.timestamps import utc_timestamp

GATHER_SECONDS = 60.0
"""Of refused sign-ins from one address there is one entry in so long."""
MAX_ADDRESSES = 1_000
"""How many addresses are counted each by itself; further ones together, without an address."""
_DEFINITION = frozenset(JobDefinition.model_fields)
_BY_HAND = "a file was edited"


@dataclass
class _Attempts:
    """Sign-ins from one address that were refused and are not in the log yet."""

    count: int = 0
    account: str = ""
    first: str = ""


class Audit:
    """Writes the audit log. `name_of` returns the name of a job that there is."""

    def __init__(self, log: AuditRepository, name_of: Callable[[str], str | None]) -> None:
        self.log = log
        self._name_of = name_of
        self._attempts: dict[str, _Attempts] = {}

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
        """Note that a sign-in was refused: the first from an address at once, those that follow
        within a minute as one entry with their number at its end.

        `account` is the name of an account that there is; any other text that was typed as one may
        be a password, and is not to be told.
        """
        address = network_of(address_of(request))
        if address not in self._attempts and len(self._attempts) >= MAX_ADDRESSES:
            address = ""
        attempts = self._attempts.get(address)
        if attempts is None:
            self._attempts[address] = _Attempts()
            self._add_refused(address, account, {"attempts": 1})
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._gather, address)
            return
        attempts.first = attempts.first or utc_timestamp()
        attempts.count += 1
        attempts.account = account or attempts.account

    def tell_gathered(self) -> None:
        """Note what was only counted so far: the program ends."""
        for address in list(self._attempts):
            self._tell(address)
        self._attempts.clear()

    def _gather(self, address: str) -> None:
        if self._tell(address):
            self._attempts[address] = _Attempts()
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._gather, address)
        else:
            self._attempts.pop(address, None)

    def _tell(self, address: str) -> bool:
        attempts = self._attempts.get(address)
        if attempts is None or not attempts.count:
            return False
        details = {"attempts": attempts.count, "since": attempts.first}
        self._add_refused(address, attempts.account, details)
        return True

    def _add_refused(self, address: str, account: str, details: Mapping[str, object]) -> None:
        entry = NewAuditEntry(
            utc_timestamp(), account, None, None, address, Action.SIGN_IN_FAILED, details=details
        )
        self.log.add(entry)


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
        self._note(action, details, job_id=job.id, job_name=job.name)

    def settings_edited(self, before: SavedSettings, after: SavedSettings) -> None:
        """settings.yaml was written."""
        details = settings_changes(before, after)
        if details:
            self._note(Action.SETTINGS_CHANGED, details)

    def _note(
        self,
        action: Action,
        details: Mapping[str, object],
        *,
        job_id: str | None = None,
        job_name: str | None = None,
    ) -> None:
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
