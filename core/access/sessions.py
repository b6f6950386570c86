"""Who is signed in. A session's secret is known to its browser alone; here is a hash of it.

Kept over a restart. A session that is used stays; one that nobody uses ends after a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from core.access.ports import SessionStore
from models.access import Session
from models.errors import StorageFailed

MAX_SESSIONS = 500
MAX_OF_ONE = 50
_NOTED_SECONDS = 300.0
"""How much newer than what is kept the time of its last use may be."""
_logger = logging.getLogger(__name__)


class Sessions:
    """For one event loop. What is kept is written in the background, but for ends."""

    def __init__(
        self,
        file: SessionStore,
        *,
        idle_seconds: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._noted: dict[str, float] = {}
        self._writing = asyncio.Lock()
        self._saving: asyncio.Task[None] | None = None
        self.on_end: Callable[[], None] = _nobody

    async def open(self) -> None:
        """Take over what was kept."""
        for session in await asyncio.to_thread(self._file.read):
            self._sessions[session.digest] = session
            self._noted[session.digest] = session.used_at
        self._drop_idle()

    async def close(self) -> None:
        """Keep when each was last used."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
        await self._save()

    def of(self, account: str) -> tuple[Session, ...]:
        """Return the sessions of an account, the last used one first."""
        self._drop_idle()
        found = (one for one in self._sessions.values() if one.account == account)
        return tuple(sorted(found, key=lambda one: -one.used_at))

    def addresses(self) -> tuple[str, ...]:
        """Return from where the sessions began, the oldest first."""
        return tuple(one.address for one in sorted(self._sessions.values(), key=_beginning))

    async def begin(self, account: str, address: str, *, password: str) -> str:
        """Return the secret of a new session, which holds with this password (Session)."""
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        self._drop_idle()
        self._make_room(account)
        session = Session(digest_of(secret), account, password, now, now, address)
        self._sessions[session.digest] = session
        await self._save()
        return secret

    def find(self, secret: str, *, is_use: bool = True) -> Session | None:
        """Return the session of a secret, which is used by that; None when there is none."""
        session = self._sessions.get(digest_of(secret))
        if session is None:
            return None
        now = self._clock()
        if now - session.used_at > self._idle_seconds():
            self._forget(session.digest)
            return None
        if is_use:
            self._sessions[session.digest] = replace(session, used_at=max(now, session.used_at))
            if now - self._noted.get(session.digest, 0.0) > _NOTED_SECONDS:
                self._save_soon()
        return session

    async def end(self, digest: str) -> None:
        """End one session; for good when this returns. Raises StorageFailed when a restart might
        bring it back."""
        if self._forget(digest):
            await self._save(is_end=True)

    async def end_of(self, account: str, *, but: str | None = None) -> int:
        """End all sessions of an account, but for one; returns how many. Raises as `end` does."""
        ended = [one.digest for one in self.of(account) if one.digest != but]
        for digest in ended:
            self._forget(digest)
        if ended:
            await self._save(is_end=True)
        return len(ended)

    def _forget(self, digest: str) -> bool:
        if self._sessions.pop(digest, None) is None:
            return False
        self._noted.pop(digest, None)
        self.on_end()
        return True

    def _drop_idle(self) -> None:
        oldest = self._clock() - self._idle_seconds()
        for digest in [one.digest for one in self._sessions.values() if one.used_at < oldest]:
            self._forget(digest)

    def _make_room(self, account: str) -> None:
        """Let the longest unused one go where there are too many: of that account, then of all."""
        for most, all_of_them in (
            (MAX_OF_ONE, list(self.of(account))),
            (MAX_SESSIONS, sorted(self._sessions.values(), key=lambda one: -one.used_at)),
        ):
            for session in all_of_them[most - 1 :]:
                self._forget(session.digest)

    def _save_soon(self) -> None:
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save(), name="sessions")

    async def _save(self, *, is_end: bool = False) -> None:
        async with self._writing:
            sessions = tuple(self._sessions.values())
            self._noted = {one.digest: one.used_at for one in sessions}
            try:
                await asyncio.to_thread(self._file.write, sessions)
            except StorageFailed as error:
                # It holds for this process; after a restart people sign in again.
                _logger.warning("sessions are not kept: %s", error)
                if is_end:
                    # What stands there still has the one that ended. A full disk can forget.
                    await asyncio.to_thread(self._file.forget)


def _beginning(session: Session) -> float:
    return session.began_at


def digest_of(secret: str) -> str:
    """Return what is kept of a secret that is as random as a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _nobody() -> None:
    """Nobody wants to know."""
