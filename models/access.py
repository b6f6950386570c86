"""Who may do what: roles, and whoever stands behind a request."""

from __future__ import annotations

from dataclasses import dataclass
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
    TOKEN = "token"
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
