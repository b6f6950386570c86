"""The remotes of the person's rclone configuration: which there are, whether one answers, and how
much room it has. Never what stands in the configuration besides: that is secrets.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any

from core.credentials import environment_with
from core.engines.base import ExitMeaning, Verdict
from core.engines.rclone import RcloneEngine, configuration_options
from core.engines.rclone_words import last_words, meaning_of_all
from core.error_recovery import CircuitBreaker, CircuitBreakers
from core.ports import ToolFinder
from core.recovery_states import CIRCUIT_CLOSED, OnChange
from models.errors import CircuitOpen, RemoteNotFound, RemotesUnknown
from models.rclone_url import REMOTE_NAME

_LIST_SECONDS = 10.0
_TEST_SECONDS = 20.0
_MAX_OUTPUT = 1024 * 1024
"""More than a configuration of thousands of remotes has to say; of a top folder the rest does not
matter."""
_MAX_AT_ONCE = 2
FAILURES = 3
"""After so many tests in a row without an answer a remote is left alone."""
OPEN_SECONDS = 60.0
_MAX_BREAKERS = 100
_PREFIX = "remote "
_NO_ANSWER = f"The remote did not answer within {_TEST_SECONDS:.0f} seconds."


@dataclass(frozen=True)
class Remote:
    """One remote: its name, and the kind of storage it is, in rclone's word for it."""

    name: str
    type: str


@dataclass(frozen=True)
class RemoteTest:
    """What a test of a remote came to: a sentence, and sizes in bytes where the remote tells."""

    ok: bool
    message: str
    free_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True)
class _Answer:
    code: int | None
    """None when there was no answer in time."""
    output: bytes
    complaint: bytes


class _Unreachable(Exception):
    """A remote gave no answer; the text says it for a person."""


class RcloneRemotes:
    """Asks rclone, at most two at once, each within a time and an amount of output.

    A remote that gives no answer again and again is left alone for a while. One that refuses the
    password has answered: who mends that may ask again at once.
    """

    def __init__(
        self, tools: ToolFinder, *, config: str | None, on_change: OnChange | None = None
    ) -> None:
        self._tools = tools
        self._on_change = on_change
        self._breakers = CircuitBreakers(self._breaker, most=_MAX_BREAKERS)
        self.config = config
        self._engine = RcloneEngine()
        self._turn = asyncio.Semaphore(_MAX_AT_ONCE)

    async def all(self, *, password: str | None = None) -> tuple[Remote, ...]:
        """Return the remotes by name, of a configuration that may have a password. Raises
        RemotesUnknown with the reason."""
        answer = await self._ask("listremotes", ["--json"], _LIST_SECONDS, password)
        if answer.code:
            raise RemotesUnknown(_reason(answer))
        if answer.code is None:
            raise RemotesUnknown(f"rclone did not answer within {_LIST_SECONDS:.0f} seconds.")
        return tuple(sorted(_remotes(answer.output), key=lambda remote: remote.name.lower()))

    async def test(self, name: str, *, password: str | None = None) -> RemoteTest:
        """List the top of a remote, and ask for its room. Raises RemoteNotFound, RemotesUnknown,
        CircuitOpen."""
        known = {remote.name for remote in await self.all(password=password)}
        if name not in known:
            raise RemoteNotFound(name)
        try:
            return await self._breakers.of(name).call(lambda: self._look_at(name, password))
        except _Unreachable as error:
            return RemoteTest(False, str(error))

    async def look_again(self) -> None:
        """Test those anew that were left alone for long enough: they are in use again as soon as
        they answer, and not only when somebody asks for them."""
        for breaker in self._breakers.all():
            if breaker.state == CIRCUIT_CLOSED or breaker.retry_in_seconds > 0:
                continue
            name = breaker.name.removeprefix(_PREFIX)
            try:
                await self.test(name)
            except CircuitOpen:
                continue  # Somebody was quicker.
            except (RemoteNotFound, RemotesUnknown):
                # It is gone, or the configuration has a password, which nobody keeps: who has it
                # asks himself.
                self._breakers.forget(name)

    def _breaker(self, name: str) -> CircuitBreaker:
        return CircuitBreaker(
            f"{_PREFIX}{name}",
            failures=FAILURES,
            open_seconds=OPEN_SECONDS,
            counts=_Unreachable,
            on_change=self._on_change,
        )

    async def _look_at(self, name: str, password: str | None) -> RemoteTest:
        """Raises _Unreachable."""
        arguments = ["--max-depth=1", "--retries=1", "--low-level-retries=2", "--contimeout=10s"]
        top = await self._ask("lsf", [*arguments, "--", f"{name}:"], _TEST_SECONDS, password)
        if top.code is None:
            raise _Unreachable(_NO_ANSWER)
        if top.code:
            meaning = _meaning(top)
            if meaning is not None and meaning.verdict is Verdict.TRANSIENT:
                raise _Unreachable(meaning.message)
            return RemoteTest(False, _reason(top))
        about = await self._ask("about", ["--json", "--", f"{name}:"], _TEST_SECONDS, password)
        room = _parsed(about.output) if about.code == 0 else None
        free, total = _size(room, "free"), _size(room, "total")
        return RemoteTest(True, "The remote answers.", free, total)

    async def _ask(
        self, command: str, arguments: list[str], seconds: float, password: str | None
    ) -> _Answer:
        tool = await asyncio.to_thread(self._tools.path_of, self._engine.name)
        if tool is None:
            raise RemotesUnknown(f"rclone is not installed. {self._engine.install_hint}")
        argv = [tool, command, *configuration_options(self.config), "--use-json-log"]
        environment = environment_with(os.environ, password)
        async with self._turn:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=self._engine.environment(environment),
                )
            except OSError as error:
                raise RemotesUnknown(f"rclone cannot be started: {error.strerror}.") from error
            return await _answer(process, seconds)


async def _answer(process: asyncio.subprocess.Process, seconds: float) -> _Answer:
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            output, complaint = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            return _Answer(await process.wait(), output, complaint)
    except TimeoutError:
        return _Answer(None, b"", b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _read(stream: asyncio.StreamReader) -> bytes:
    """Return the beginning of an output; the rest is read and forgotten."""
    kept = bytearray()
    while part := await stream.read(64 * 1024):
        kept += part[: _MAX_OUTPUT - len(kept)]
    return bytes(kept)


def _remotes(output: bytes) -> list[Remote]:
    listed = _parsed(output)
    if not isinstance(listed, list):
        raise RemotesUnknown("rclone’s list of remotes cannot be read.")
    return [
        Remote(name, str(one.get("type", "")))
        for one in listed
        # A remote whose name has another form cannot be a location (models/rclone_url.py).
        if isinstance(one, dict)
        and isinstance(name := one.get("name"), str)
        and REMOTE_NAME.fullmatch(name)
    ]


def _reason(answer: _Answer) -> str:
    """Return what was wrong as a sentence: rclone's own words where nothing plainer is known."""
    meaning = _meaning(answer)
    return meaning.message if meaning else f"rclone failed with code {answer.code}."


def _meaning(answer: _Answer) -> ExitMeaning | None:
    found = None
    for line in answer.complaint.splitlines():
        document = _parsed(line)
        if not isinstance(document, dict):
            continue
        level, message = document.get("level"), str(document.get("msg", ""))
        if level == "critical":
            return last_words(message)
        if level == "error":
            found = meaning_of_all(message) or found or last_words(message)
    return found


def _size(room: Any, name: str) -> int | None:
    value = room.get(name) if isinstance(room, dict) else None
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
