"""What the pages about accounts, sessions and tokens show."""

from __future__ import annotations

from dataclasses import dataclass

from core.access.registry import Access
from core.access.sessions import digest_of
from fastapi_app.moments import Moment, moment
from models.access import Identity, Role, Way
from models.errors import InvalidDefinition, LongshoreError, TooManyAttempts
from utils.timestamps import utc_timestamp

ROLE_WORDS = {
    Role.VIEWER: "Viewer: sees everything",
    Role.OPERATOR: "Operator: starts and stops as well",
    Role.ADMIN: "Administrator: edits, deletes, settings",
}
WAY_WORDS = {
    Way.OPEN: "There is no password yet: whoever reaches this dashboard may do everything.",
    Way.SESSION: "Signed in with a password.",
    Way.TOKEN: "By a token.",
    Way.LOCAL: "By the token of the command line.",
    Way.PROXY: "The reverse proxy vouches for you.",
}


@dataclass(frozen=True)
class SessionView:
    """A session of one's own account."""

    address: str
    began: Moment | None
    used: Moment | None
    is_this: bool


@dataclass(frozen=True)
class AccountView:
    """One's own account."""

    name: str
    role: str
    way: str
    is_open: bool
    takes_code: bool
    """Whether the first password can be set here."""
    has_session: bool
    sessions: tuple[SessionView, ...]


@dataclass(frozen=True)
class AccountRow:
    """An account in the list of all."""

    name: str
    role: Role
    has_password: bool
    sessions: int


@dataclass(frozen=True)
class TokenRow:
    """A token in the list of all."""

    name: str
    role: str
    created: Moment | None
    expires: Moment | None
    is_expired: bool


def account_view(access: Access, who: Identity | None, secret: str | None) -> AccountView:
    """Return what the page of one's own account shows."""
    assert who is not None
    has_session = who.way is Way.SESSION
    this = digest_of(secret) if secret else ""
    sessions = access.sessions.of(who.name) if has_session else ()
    return AccountView(
        name=who.name,
        role=ROLE_WORDS[who.role],
        way=WAY_WORDS[who.way],
        is_open=access.is_open,
        takes_code=access.takes_first_code,
        has_session=has_session,
        sessions=tuple(
            SessionView(
                one.address or "–",
                moment(utc_timestamp(one.began_at)),
                moment(utc_timestamp(one.used_at)),
                one.digest == this,
            )
            for one in sessions
        ),
    )


def account_rows(access: Access) -> tuple[AccountRow, ...]:
    """Return all accounts by name."""
    return tuple(
        AccountRow(name, one.role, one.password is not None, len(access.sessions.of(name)))
        for name, one in sorted(access.listed.accounts.items())
    )


def token_rows(access: Access) -> tuple[TokenRow, ...]:
    """Return all tokens by name."""
    now = utc_timestamp()
    return tuple(
        TokenRow(
            name,
            one.role.value,
            moment(one.created_at),
            moment(one.expires_at) if one.expires_at else None,
            not one.is_valid(now),
        )
        for name, one in sorted(access.listed.tokens.items())
    )


def faults_by_field(error: LongshoreError | None) -> tuple[int, dict[str, str]]:
    """Return the status of an answer, and what is wrong by field; `old` is the password that a
    person gave."""
    if error is None:
        return 200, {}
    if isinstance(error, InvalidDefinition):
        return 422, {fault.field: fault.message for fault in error.faults}
    status = 429 if isinstance(error, TooManyAttempts) else 422
    return status, {"old": str(error)}
