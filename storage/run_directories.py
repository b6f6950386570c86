"""The directories of runs: what the dashboard writes before a run (the spec) and reads after.

Everything else in them is the runner's to write.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from pathlib import Path

from models import events
from models.errors import InvalidDocument, StorageFailed
from models.events import (
    EngineStarted,
    FileFailed,
    HelperStarted,
    JournalLine,
    JournalPart,
    RunProcesses,
    RunStarted,
)
from models.run import FailedFile
from models.run_spec import RunSpec
from utils.durable_file import replace_file, sync_directory, try_lock
from utils.process_identity import ProcessIdentity

RUNS_DIRECTORY = "runs"
MAX_LOG_WINDOW = 1024 * 1024
_CHUNK = 1024 * 1024
_logger = logging.getLogger(__name__)


class RunDirectoryStorage:
    """Run directories beneath a data directory."""

    def __init__(self, data_directory: Path) -> None:
        self._root = data_directory / RUNS_DIRECTORY

    def path_of(self, run_id: str) -> Path:
        """Return a run's directory."""
        return self._root / run_id

    async def prepare(self, spec: RunSpec) -> None:
        """Make the directory and freeze the spec in it. Raises StorageFailed."""
        try:
            await asyncio.to_thread(self._prepare, spec)
        except OSError as error:
            raise StorageFailed("Preparing the run", error.strerror or str(error)) from error

    async def remove(self, run_id: str) -> None:
        """Remove the directory of a run that never began."""
        await asyncio.to_thread(shutil.rmtree, self.path_of(run_id), ignore_errors=True)

    async def read_journal(self, run_id: str) -> tuple[JournalLine, ...]:
        """Return the whole journal; a line that cannot be read is passed over and logged."""
        lines: list[JournalLine] = []
        offset = 0
        while (part := await self.read_journal_part(run_id, offset)).next_offset > offset:
            lines += part.lines
            offset = part.next_offset
        return tuple(lines)

    async def read_journal_part(self, run_id: str, offset: int) -> JournalPart:
        """Return the next whole lines of a journal, up to 1 MiB of them."""
        return await asyncio.to_thread(read_journal_part, self.path_of(run_id), offset)

    async def is_held(self, run_id: str) -> bool:
        """Whether a live process (the runner or its engine) holds the run's lock."""
        return await asyncio.to_thread(self._is_held, run_id)

    async def failures(self, run_id: str) -> tuple[FailedFile, ...]:
        """Return the files that failed in the run's last attempt, as many as the journal keeps."""
        failed = [
            line.event
            for line in await self.read_journal(run_id)
            if isinstance(line.event, FileFailed)
        ]
        last = max((event.attempt for event in failed), default=0)
        return tuple(FailedFile(e.path, e.reason) for e in failed if e.attempt == last)

    async def processes(self, run_id: str) -> RunProcesses:
        """Return who performs the run, as far as the journal tells yet."""
        runner = None
        engines: list[ProcessIdentity] = []
        for line in await self.read_journal(run_id):
            if isinstance(line.event, RunStarted):
                runner = line.event.runner
            elif isinstance(line.event, (EngineStarted, HelperStarted)):
                engines.append(line.event.engine)
        return RunProcesses(runner, tuple(engines))

    async def result(self, run_id: str) -> JournalLine | None:
        """Return the end of the run as result.json tells it, or None when there is none."""
        return await asyncio.to_thread(_read_result, self.path_of(run_id))

    async def log_size(self, run_id: str) -> int:
        """Return the size of engine.log in bytes; 0 when there is none."""
        return await asyncio.to_thread(_size, self.path_of(run_id) / "engine.log")

    async def read_log(self, run_id: str, *, offset: int, limit: int) -> bytes:
        """Return a window of engine.log in bytes; a negative offset counts from the end."""
        path = self.path_of(run_id) / "engine.log"
        return await asyncio.to_thread(_window, path, offset, min(limit, MAX_LOG_WINDOW))

    def _prepare(self, spec: RunSpec) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = self.path_of(spec.run_id)
        directory.mkdir(mode=0o700)
        content = json.dumps(spec.to_document(), indent=1).encode("utf-8")
        replace_file(directory / "spec.json", content)
        sync_directory(self._root)

    def _is_held(self, run_id: str) -> bool:
        path = self.path_of(run_id) / "lock"
        if not path.exists():
            return False
        descriptor = try_lock(path)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False


def read_journal_part(directory: Path, offset: int) -> JournalPart:
    """Return the whole lines from `offset` on; nothing when there is no journal yet."""
    try:
        with (directory / "journal.jsonl").open("rb") as file:
            file.seek(offset)
            content = file.read(_CHUNK)
    except FileNotFoundError:
        return JournalPart((), offset)
    end = content.rfind(b"\n") + 1
    if not end and len(content) == _CHUNK:
        _logger.error("journal of %s: %d bytes without a line were passed over", directory, _CHUNK)
        end = _CHUNK
    lines = []
    for raw in content[:end].splitlines():
        try:
            line = events.from_document(json.loads(raw)) if raw else None
        except (InvalidDocument, ValueError, RecursionError) as error:
            _logger.error("journal of %s: a line was passed over: %s", directory.name, error)
            continue
        if line is not None:
            lines.append(line)
    return JournalPart(tuple(lines), offset + end)


def _read_result(directory: Path) -> JournalLine | None:
    try:
        return events.from_document(json.loads((directory / "result.json").read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InvalidDocument) as error:
        _logger.error("result of %s cannot be used: %s", directory.name, error)
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _window(path: Path, offset: int, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size + offset) if offset < 0 else min(offset, size))
            return file.read(max(0, limit))
    except FileNotFoundError:
        return b""
