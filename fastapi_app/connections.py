"""How many connections there may be, and which one goes when there is no room for another."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Protocol

from fastapi_app import limits


class Waiting(Protocol):
    """A connection that can be let go of."""

    def let_go(self) -> None:
        """End at once."""
        ...


class Connections:
    """Those of one server. The one that has been without a whole request for longest goes first."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._idle: dict[Waiting, None] = {}  # The longest without a request first.
        self.turned_away = 0

    @property
    def most(self) -> int:
        """How many there may be."""
        return limits.MAX_CONNECTIONS if self._most is None else self._most

    def idles(self, connection: Waiting) -> None:
        """Take note that a connection waits for a request, from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def works(self, connection: Waiting) -> None:
        """Take note that it has one, or is none of these any more."""
        self._idle.pop(connection, None)

    def make_room(self, count: int) -> bool:
        """Whether one more than `count` may be; ends one that waits where it is too many."""
        if count < self.most:
            return True
        self.turned_away += 1
        if not self._idle:
            return False
        longest = next(iter(self._idle))
        del self._idle[longest]
        longest.let_go()
        return True


def as_many_as_files_allow() -> int:
    """Ask for enough open files; returns how many of them may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.WANTED_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft == resource.RLIM_INFINITY:
        return limits.MAX_CONNECTIONS
    return max(1, min(limits.MAX_CONNECTIONS, soft - limits.FILES_OF_OUR_OWN))
