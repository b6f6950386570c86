"""Hashes passwords and checks them, two at once at most: each check takes memory and time on
purpose, and whoever guesses must not have all of the machine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from models.access import MAX_PASSWORD, MIN_PASSWORD
from models.errors import SignInBusy

Value = TypeVar("Value")
AT_ONCE = 2
_MIN_DIFFERENT = 4
MAX_WAITING = 30
MAX_STRANGERS_WAITING = 20
"""Of these, from addresses that are not known."""
_MEMORY_KIB = 19 * 1024
_PASSES = 2
"""argon2id with 19 MiB and two passes: the OWASP Password Storage Cheat Sheet's minimum, which a
small machine can still bear."""


class Passwords:
    """For one event loop."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1, hash_len=32, salt_len=16
        )
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody: str | None = None

    async def matches(self, hashed: str | None, password: str, *, is_known: bool) -> bool:
        """Whether a password belongs to a hash. Takes as long where there is none: nobody learns
        from the clock which accounts there are. Raises SignInBusy when too many wait; for who
        comes from an address that is not known, fewer are too many."""
        if len(password) > MAX_PASSWORD:
            return False
        if hashed is None and self._nobody is None:
            self._nobody = await self.hash("nobody has this one")
        most = MAX_WAITING if is_known else MAX_STRANGERS_WAITING
        work = partial(self._verify, hashed or str(self._nobody), password)
        is_right = await self._in_turn(work, most)
        return is_right and hashed is not None

    async def hash(self, password: str) -> str:
        """Return what is kept of a password. Raises SignInBusy when too many wait."""
        return await self._in_turn(partial(self._hasher.hash, password))

    async def _in_turn(self, work: Callable[[], Value], most: int = MAX_WAITING) -> Value:
        if self._waiting >= most:
            raise SignInBusy
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (Argon2Error, InvalidHashError):
            return False


def password_fault(password: str) -> str | None:
    """Return why a password cannot be one, or None."""
    if len(password) < MIN_PASSWORD:
        return f"A password has at least {MIN_PASSWORD} characters."
    if len(password) > MAX_PASSWORD:
        return f"A password has at most {MAX_PASSWORD:,} characters."
    if len(set(password)) < _MIN_DIFFERENT:
        return "This password is made of too few different characters."
    return None
