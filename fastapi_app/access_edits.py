"""What people change in access.yaml past the program, as entries of the audit log: one for each
difference, and never a hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from fastapi_app.audit import HandEdits
from models.access import AccessList, AccessToken, Account
from models.audit import Action

MAX_ENTRIES = 50
"""Of one edit; what is beyond that is told as a number."""
_AWAY = "access.yaml was edited while no server ran"
_Edit = tuple[Action, Mapping[str, object]]


@dataclass(frozen=True)
class AccessEdits:
    """Notes them: who that was is not known."""

    by_hand: HandEdits

    def edited(self, before: AccessList, after: AccessList) -> None:
        """The file was written by somebody else."""
        edits = access_edits(before, after)
        for action, details in islice(edits, MAX_ENTRIES):
            self.by_hand.note(action, details)
        left_out = sum(1 for _ in edits)
        if left_out:
            self.by_hand.note(Action.ACCOUNT_CHANGED, {"further_differences": left_out})

    def edited_while_away(self) -> None:
        """The file is not as the program left it; what it said then is not known."""
        self.by_hand.note(Action.ACCOUNT_CHANGED, {"how": _AWAY})


def access_edits(before: AccessList, after: AccessList) -> Iterator[_Edit]:
    """Yield each difference."""
    for name in sorted(before.accounts.keys() | after.accounts.keys()):
        yield from _of_account(name, before.accounts.get(name), after.accounts.get(name))
    for name in sorted(before.tokens.keys() | after.tokens.keys()):
        yield from _of_token(name, before.tokens.get(name), after.tokens.get(name))


def _of_account(name: str, old: Account | None, new: Account | None) -> Iterator[_Edit]:
    if new is None:
        yield Action.ACCOUNT_DELETED, {"account": name}
    elif old is None:
        has_password = new.password is not None
        details = {"account": name, "role": new.role, "new_password": has_password, "is_new": True}
        yield Action.ACCOUNT_CHANGED, details
    else:
        if old.role is not new.role:
            role = {"before": old.role.value, "after": new.role.value}
            yield Action.ACCOUNT_CHANGED, {"account": name, "role": role}
        if old.password != new.password:
            details = {"account": name, "has_password": new.password is not None}
            yield Action.PASSWORD_CHANGED, details


def _of_token(name: str, old: AccessToken | None, new: AccessToken | None) -> Iterator[_Edit]:
    if new is None:
        yield Action.TOKEN_REVOKED, {"name": name}
    elif old is None:
        yield Action.TOKEN_MADE, {"name": name, "role": new.role, "expires_at": new.expires_at}
    elif old != new:
        details: dict[str, object] = {"name": name, "is_another": old.digest != new.digest}
        for what in ("role", "created_at", "expires_at"):
            values = getattr(old, what), getattr(new, what)
            if values[0] != values[1]:
                details[what] = dict(zip(("before", "after"), values, strict=True))
        yield Action.TOKEN_CHANGED, details
