"""Which tools this machine has, and in which version: each executable is asked once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from core.credentials import environment_with
from core.engines.base import Engine

_VALID_SECONDS = 1.0
_ASKED_AGAIN_SECONDS = 60.0
"""When an executable is asked again that did not tell its version."""
_VERSION_SECONDS = 10.0
_MOST_REMEMBERED = 50


@dataclass(frozen=True)
class Tool:
    """One engine's tool; `path` is None when it is not installed."""

    engine: str
    path: str | None
    version: str | None
    install_hint: str
    notice: str | None = None
    """What is known against this version, as a sentence."""


class LocalTools:
    """Finds executables beside this Python first (rclone comes as a wheel), then on PATH."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines
        self._known: tuple[Tool, ...] = ()
        self._versions: dict[tuple[str, int, int], tuple[str | None, float]] = {}
        """Of executables, and when each was asked."""
        self._known_at = float("-inf")
        self._turn = asyncio.Lock()

    def path_of(self, engine: str) -> str | None:
        """Return the engine's executable, or None when the tool is not installed."""
        places = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", "")))
        return shutil.which(self._engines[engine].command, path=places)

    async def version_of(self, engine: str) -> str | None:
        """Return the executable's version; None where there is none or it does not tell.

        It is asked once for each executable, and again when that is another file than before; after
        a minute when it did not tell.
        """
        path = await asyncio.to_thread(self.path_of, engine)
        return await self._version_at(self._engines[engine], path) if path else None

    async def all(self) -> tuple[Tool, ...]:
        """Return every engine's tool with its version, at most a second old."""
        async with self._turn:  # However many pages ask, each tool is asked once.
            if time.monotonic() - self._known_at > _VALID_SECONDS:
                tools = [await self._look(engine) for engine in self._engines.values()]
                self._known, self._known_at = tuple(tools), time.monotonic()
            return self._known

    async def _look(self, engine: Engine) -> Tool:
        path = await asyncio.to_thread(self.path_of, engine.name)
        version = await self._version_at(engine, path) if path else None
        notice = engine.version_notice(version) if version else None
        return Tool(engine.name, path, version, engine.install_hint, notice)

    async def _version_at(self, engine: Engine, path: str) -> str | None:
        try:
            facts = await asyncio.to_thread(os.stat, path)
        except OSError:
            return None
        executable = (path, facts.st_ino, facts.st_mtime_ns)
        version, asked_at = self._versions.get(executable, (None, float("-inf")))
        if version is None and time.monotonic() - asked_at > _ASKED_AGAIN_SECONDS:
            version = await self._version(engine, path)
            if len(self._versions) >= _MOST_REMEMBERED:
                self._versions.clear()
            self._versions[executable] = version, time.monotonic()
        return version

    async def _version(self, engine: Engine, path: str) -> str | None:
        try:
            process = await asyncio.create_subprocess_exec(
                *engine.version_argv(path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=engine.environment(environment_with(os.environ, None)),
                start_new_session=True,
            )
        except OSError:
            return None
        try:
            async with asyncio.timeout(_VERSION_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            # With what it started, which holds the output open: asyncio waits for that as well.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            return None
        return engine.parse_version(output.decode("utf-8", errors="replace"))
