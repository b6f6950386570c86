"""The audit log: who did what to which job, when and from where; each entry is kept as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from models.access import Role, Way

SYSTEM = "system"
"""Whose name an entry has when a person acted past the program: a file was edited."""
MAX_ENTRIES = 100_000
"""How many entries are kept; beyond that the oldest go."""
PROTECTED_DAYS = 30
"""Entries younger than this cannot be removed but for being too many; the database sees to it."""
MAX_NAME = 200
MAX_TEXT = 300
"""How many characters of a value are kept."""
MAX_DETAILS = 4_000
"""How many characters of JSON the details have at most; of more the names alone are kept."""
_MOST_NAMES = 40
_USERINFO = re.compile(r"(?<=//)[^/@\s]*@")
Value: TypeAlias = str | int | float | bool | None


class Action(StrEnum):
    """What was done; a closed list."""

    JOB_CREATED = "job_created"
    JOB_EDITED = "job_edited"
    JOB_DELETED = "job_deleted"
    JOB_STARTED = "job_started"
    DRY_RUN_STARTED = "dry_run_started"
    FAILED_RETRIED = "failed_retried"
    JOB_STOPPED = "job_stopped"
    JOB_DISCARDED = "job_discarded"
    JOB_DUPLICATED = "job_duplicated"
    JOBS_TAGGED = "jobs_tagged"
    ERROR_RESOLVED = "error_resolved"
    SETTINGS_CHANGED = "settings_changed"
    NOTIFICATION_RULE_CHANGED = "notification_rule_changed"
    NOTIFICATION_RULE_DELETED = "notification_rule_deleted"
    NOTIFICATION_TESTED = "notification_tested"
    SOURCES_PUT_BACK = "sources_put_back"
    SECRET_CHANGED = "secret_changed"  # noqa: S105 - no secret but a word
    SECRET_REMOVED = "secret_removed"  # noqa: S105 - no secret but a word
    IMPORTED = "imported"
    EXPORTED = "exported"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - no secret but a word
    ACCOUNT_CHANGED = "account_changed"
    ACCOUNT_DELETED = "account_deleted"
    TOKEN_MADE = "token_made"  # noqa: S105 - no secret but a word
    TOKEN_CHANGED = "token_changed"  # noqa: S105 - no secret but a word
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - no secret but a word
    SESSIONS_ENDED = "sessions_ended"


@dataclass(frozen=True)
class NewAuditEntry:
    """What is to be kept. Every text is cut to its limit and made printable here, so that neither
    the database nor JSON can stumble over it."""

    time: str
    """UTC, ISO 8601, in milliseconds."""
    account: str
    role: Role | None
    way: Way | None
    """How the request told whose it is; None where there was no request."""
    address: str
    action: Action
    job_id: str | None = None
    job_name: str | None = None
    run_id: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("account", "address", "job_id", "job_name", "run_id"):
            text = getattr(self, name)
            object.__setattr__(self, name, text and printable(text)[:MAX_NAME])
        object.__setattr__(self, "details", _bounded(self.details))


@dataclass(frozen=True)
class AuditEntry:
    """One entry as it is kept."""

    id: str
    time: str
    account: str
    role: str | None
    way: str | None
    address: str
    action: Action
    job_id: str | None
    job_name: str | None
    run_id: str | None
    details: Mapping[str, object]


@dataclass(frozen=True)
class AuditPage:
    """A page of the audit log, newest first; `next_cursor` is None on the last page."""

    items: tuple[AuditEntry, ...]
    total: int
    next_cursor: str | None = None


@dataclass(frozen=True)
class AuditFilter:
    """Which entries; None and the empty text mean any."""

    account: str | None = None
    action: Action | None = None
    job_id: str | None = None
    q: str | None = None
    """A text in the account's name, the address, the job's name or the details, in any case of
    ASCII letters."""
    since: str | None = None
    until: str | None = None
    """Times (UTC, ISO 8601): from the one on and before the other."""


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """Return by name what differs, each with its value before and after; parts of parts have their
    names joined by a dot. Of URLs nobody's name or password is told."""
    old, new = _flat(before), _flat(after)
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: {"before": _told(old.get(name)), "after": _told(new.get(name))}
        for name in names
        if old.get(name) != new.get(name)
    }


def without_userinfo(text: str) -> str:
    """Return a text without what stands before the host in the URLs in it."""
    return _USERINFO.sub("…@", text)


def printable(text: str) -> str:
    """Return a text that has bytes in UTF-8; what has none, and a control character, is written as
    an escape."""
    plain = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in plain
    )


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _told(value: object) -> Value:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ", ".join(map(str, value))
    return _short(without_userinfo(str(value)))


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _bounded(details: Mapping[str, object]) -> Mapping[str, object]:
    kept = {printable(str(name))[:MAX_NAME]: _plain(value) for name, value in details.items()}
    if len(json.dumps(kept)) <= MAX_DETAILS:
        return kept
    names = list(kept)[:_MOST_NAMES]
    return {"names": [name[:80] for name in names], "left_out": f"the values of {len(kept)} names"}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {printable(str(name))[:MAX_NAME]: _told(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_told(inner) for inner in value]
    return _told(value)
