"""What access needs of the outside."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from models.access import AccessList, AccessToken, Account, FoundAccess, Session

Changing = AbstractContextManager[tuple[dict[str, Account], dict[str, AccessToken]]]


class AccessStore(Protocol):
    """Where accounts and tokens are kept. Blocking."""

    def read(self) -> AccessList:
        """Return everybody. Raises InvalidDocument and StorageFailed."""
        ...

    def look(self) -> FoundAccess:
        """Return everybody, and whether the program wrote that. Raises as `read` does."""
        ...

    def accept(self, digest: str) -> None:
        """Take what has this digest for what the program wrote. Raises StorageFailed."""
        ...

    def changing(self) -> Changing:
        """Give everybody to be changed, and keep it. Raises as `read` does."""
        ...


class SessionStore(Protocol):
    """Where sessions are kept over a restart. Blocking."""

    def read(self) -> tuple[Session, ...]:
        """Return what was kept."""
        ...

    def write(self, sessions: Iterable[Session]) -> None:
        """Keep these and no others. Raises StorageFailed."""
        ...

    def forget(self) -> None:
        """Keep none. Raises StorageFailed."""
        ...
