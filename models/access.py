"""Who may do what: roles, and whoever stands behind a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"
    """Sees everything and changes nothing."""
    OPERATOR = "operator"
    """Starts, stops and goes on with jobs, resolves errors."""
    ADMIN = "admin"
    """Edits and deletes jobs, changes settings, accounts and tokens."""

    def allows(self, needed: Role) -> bool:
        """Whether whoever has this role may do what needs the other."""
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = tuple(Role)


class Way(StrEnum):
    """How a request told whose it is."""

    OPEN = "open"
    """There is no password yet: whoever reaches the dashboard is its owner."""
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a word
    LOCAL = "local"
    """By the token that the server leaves in the data directory for the command line."""
    PROXY = "proxy"
    """By the header of a trusted proxy."""


@dataclass(frozen=True)
class Identity:
    """Whoever stands behind a request."""

    name: str
    """The account's name, or the token's."""
    role: Role
    way: Way
    address: str
    """Where the request came from; empty where that is not known."""


ACCOUNT_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?"
MIN_PASSWORD = 10
"""Characters. NIST SP 800-63B, 3.1.1.2, asks for eight; ten as nothing else is asked for."""
MAX_PASSWORD = 1024
DEFAULT_ACCOUNT = "admin"


@dataclass(frozen=True)
class Account:
    """Somebody who may sign in."""

    role: Role
    password: str | None = field(default=None, repr=False)
    """As argon2id writes it; None for who comes through a trusted proxy alone."""


@dataclass(frozen=True)
class AccessToken:
    """What a program shows instead of a password."""

    role: Role
    digest: str = field(repr=False)
    """SHA-256 of the token, in hexadecimal: it is as random as a key, so that nothing slower is
    needed."""
    created_at: str
    expires_at: str | None

    def is_valid(self, now: str) -> bool:
        """Whether it may still be used, at a time as utc_timestamp writes it."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True)
class AccessList:
    """Everybody who may get in, by name."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    tokens: Mapping[str, AccessToken] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundAccess:
    """What stands in the file, and whether the program wrote it."""

    listed: AccessList
    digest: str
    """Of the file's content; empty where there is none."""
    left: str | None
    """The same of what the program wrote last; None where that is not on record."""

    @property
    def is_by_hand(self) -> bool:
        """Whether somebody else wrote it."""
        return self.digest != self.left


@dataclass(frozen=True)
class Session:
    """Somebody who is signed in; times in seconds since the epoch."""

    digest: str
    """Of the secret that the browser shows."""
    account: str
    password: str
    """A hash of the hash of the password that it began with."""
    began_at: float
    used_at: float
    address: str
