"""Starts the process that sends, and reads what came of it: the receipt, also of one that an
earlier dashboard started."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.credentials import environment_with
from models.errors import StorageFailed
from utils.file_locks import is_locked

PROJECT_ROOT = Path(__file__).resolve().parents[2]
MAX_AT_ONCE = 2
"""How many processes send at once; further ones wait for their turn."""
LIMIT_SECONDS = 40.0
"""A sender that has not ended by then is killed."""
# -E, -s: nothing of the person's own Python gets in. -S: quicker, where no package is needed.
_SENDER = ("-E", "-s", "-m", "core.notifying.sender")
_PINGER = ("-S", "-E", "-s", "-m", "core.notifying.pinger")
_POLL_SECONDS = 0.05
_SUFFIX = ".receipt"
_CUT_OFF = "It took too long, or was cut off."


@dataclass(frozen=True)
class Letter:
    """What is sent, and where to; the address is a secret."""

    address: str = field(repr=False)
    body: str
    title: str = ""
    type: str = "info"
    is_ping: bool = False

    def content(self) -> bytes:
        """Return what the sender reads."""
        document = {
            "format": 1,
            "address": self.address,
            "title": self.title,
            "body": self.body,
            "type": self.type,
        }
        return json.dumps(document).encode("ascii")


@dataclass(frozen=True)
class Receipt:
    """What came of sending. Without a `reason` it arrived."""

    reason: str | None = None


class SenderProcess:
    """Sends through processes of their own; their receipts stand in a folder of the data
    directory until what they say is kept."""

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] = os.environ,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._limit_seconds = limit_seconds
        self._room = asyncio.Semaphore(MAX_AT_ONCE)

    async def send(self, delivery: str, letter: Letter) -> Receipt:
        """Send, and return what came of it. Raises StorageFailed when there is no room for the
        receipt: then nothing was sent."""
        async with self._room:
            return await self._send(delivery, letter)

    async def _send(self, delivery: str, letter: Letter) -> Receipt:
        try:
            process = await asyncio.to_thread(self._start, delivery, letter)
        except OSError as error:
            return Receipt(f"The sender cannot be started: {error.strerror or error}.")
        try:
            async with asyncio.timeout(self._limit_seconds):
                await _end_of(process)
        except TimeoutError:
            process.kill()
            await _end_of(process)
        return await asyncio.to_thread(self._read, delivery)

    def _start(self, delivery: str, letter: Letter) -> subprocess.Popen[bytes]:
        """Start the sender. Raises StorageFailed, OSError.

        Not by asyncio, which kills what it has started when the dashboard ends (from Python 3.12
        on): the message would be sent again.
        """
        descriptor = self._open_receipt(delivery)
        try:
            with open(os.memfd_create("letter"), "w+b", buffering=0) as content:
                content.write(letter.content())
                content.seek(0)
                return subprocess.Popen(
                    [sys.executable, *(_PINGER if letter.is_ping else _SENDER), str(descriptor)],
                    cwd=PROJECT_ROOT,
                    stdin=content,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # What a terminal sends to the dashboard is not for a message under way.
                    start_new_session=True,
                    pass_fds=(descriptor,),
                    env=environment_with(self._environment, None),
                )
        finally:
            # The lock is now the sender's alone.
            os.close(descriptor)

    async def find(self, delivery: str) -> Receipt:
        """Return what came of a message that an earlier dashboard began to send; waits for its
        sender, which ends itself in time."""
        while True:
            # The kernel tells nobody that a lock is free again without a thread that waits for it.
            if not await asyncio.to_thread(is_locked, self._path(delivery)):
                break
            await asyncio.sleep(_POLL_SECONDS)
        return await asyncio.to_thread(self._read, delivery)

    async def forget(self, delivery: str) -> None:
        """Remove a receipt: what it says is kept elsewhere by now."""
        with suppress(OSError):
            await asyncio.to_thread(os.unlink, self._path(delivery))

    async def forget_others(self, deliveries: Collection[str]) -> None:
        """Remove what crashes left: receipts of no delivery that is under way, and of no sender
        that lives."""

        def work() -> None:
            for path in self._folder.glob(f"*{_SUFFIX}"):
                delivery = path.name.removesuffix(_SUFFIX)
                if delivery not in deliveries and not is_locked(self._path(delivery)):
                    path.unlink(missing_ok=True)

        with suppress(OSError):
            await asyncio.to_thread(work)

    def _path(self, delivery: str) -> Path:
        return self._folder / f"{delivery}{_SUFFIX}"

    def _open_receipt(self, delivery: str) -> int:
        descriptor = -1
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path(delivery), flags, 0o600)
            # The sender inherits it: as long as one of the two lives, it is held.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise StorageFailed("Preparing a message", error.strerror or str(error)) from error
        return descriptor

    def _read(self, delivery: str) -> Receipt:
        try:
            document = json.loads(self._path(delivery).read_bytes())
            reason = document["reason"]
        except (OSError, ValueError, KeyError, TypeError):
            return Receipt(_CUT_OFF)  # Nobody can tell whether it arrived.
        return Receipt(str(reason) if reason is not None else None)


async def _end_of(process: subprocess.Popen[bytes]) -> None:
    while True:
        if process.poll() is not None:
            return
        await asyncio.sleep(_POLL_SECONDS)
