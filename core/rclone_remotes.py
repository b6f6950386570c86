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
from core.engines.rclone import RcloneEngine, configuration_options
from core.engines.rclone_words import last_words, meaning_of_all
from core.ports import ToolFinder
from models.errors import RemoteNotFound, RemotesUnknown
from models.rclone_url import REMOTE_NAME

_LIST_SECONDS = 10.0
_TEST_SECONDS = 20.0
_MAX_OUTPUT = 1024 * 1024
"""More than a configuration of thousands of remotes has to say; of a top folder the rest does not
matter."""
_MAX_AT_ONCE = 2
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


class RcloneRemotes:
    """Asks rclone, at most two at once, each within a time and an amount of output."""

    def __init__(self, tools: ToolFinder, *, config: str | None) -> None:
        self._tools = tools
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
        """List the top of a remote, and ask for its room. Raises RemoteNotFound, RemotesUnknown."""
        known = {remote.name for remote in await self.all(password=password)}
        if name not in known:
            raise RemoteNotFound(name)
        arguments = ["--max-depth=1", "--retries=1", "--low-level-retries=2", "--contimeout=10s"]
        top = await self._ask("lsf", [*arguments, "--", f"{name}:"], _TEST_SECONDS, password)
        if top.code is None:
            return RemoteTest(False, _NO_ANSWER)
        if top.code:
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
    found = None
    for line in answer.complaint.splitlines():
        document = _parsed(line)
        if not isinstance(document, dict):
            continue
        level, message = document.get("level"), str(document.get("msg", ""))
        if level == "critical":
            return last_words(message).message
        if level == "error":
            found = meaning_of_all(message) or found or last_words(message)
    return found.message if found else f"rclone failed with code {answer.code}."


def _size(room: Any, name: str) -> int | None:
    value = room.get(name) if isinstance(room, dict) else None
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
