"""The directories of runs: what the dashboard writes before a run (the spec) and reads after.

Everything else in them is the runner's to write.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from models import events
from models.errors import InvalidDocument, StorageFailed
from models.events import (
    EngineStarted,
    HelperStarted,
    JournalLine,
    JournalPart,
    RunLook,
    RunProcesses,
    RunStarted,
)
from models.run import FailedFile, RunFiles
from models.run_spec import ONLY_FILES, RunSpec
from storage.engine_log import LogWindow, log_since, log_size, log_window
from storage.failures import read_files
from storage.throughput import RatePoint, read_throughput
from utils.durable_file import replace_file, sync_directory, try_lock
from utils.process_identity import ProcessIdentity

RUNS_DIRECTORY = "runs"
MAX_LOG_WINDOW = 1024 * 1024
_CHUNK = 1024 * 1024
_DAY_SECONDS = 86_400
_PROGRESS = b'"event":"progress"'
_logger = logging.getLogger(__name__)


class RunDirectoryStorage:
    """Run directories beneath a data directory."""

    def __init__(self, data_directory: Path) -> None:
        self._root = data_directory / RUNS_DIRECTORY

    def path_of(self, run_id: str) -> Path:
        """Return a run's directory."""
        return self._root / run_id

    async def prepare(self, spec: RunSpec, *, only_files: Sequence[str] = ()) -> None:
        """Make the directory and freeze the spec in it, with the names on disk of the files that
        the run is over where these are not all. Raises StorageFailed."""
        try:
            await asyncio.to_thread(self._prepare, spec, only_files)
        except OSError as error:
            raise StorageFailed("Preparing the run", error.strerror or str(error)) from error

    async def confine(self, run_id: str, allowed_roots: tuple[str, ...] | None) -> None:
        """Freeze other allowed folders in the spec of a run that has not begun. Raises
        StorageFailed."""
        spec = await self.spec(run_id)
        if spec is None or spec.allowed_roots == allowed_roots:
            return
        spec = spec._replace(allowed_roots=allowed_roots)
        try:
            await asyncio.to_thread(_write_spec, self.path_of(run_id), spec)
        except OSError as error:
            raise StorageFailed("Preparing the run", error.strerror or str(error)) from error

    async def spec(self, run_id: str) -> RunSpec | None:
        """Return what a run is to do, or None when that cannot be read: its runner then says so."""
        return await asyncio.to_thread(_read_spec, self.path_of(run_id))

    async def remove(self, run_id: str) -> None:
        """Remove the directory of a run that never began."""
        await asyncio.to_thread(shutil.rmtree, self.path_of(run_id), ignore_errors=True)

    async def settled(self, days: float) -> frozenset[str]:
        """Return whose directories have been as they are for so long; not those of runs that
        live."""
        return await asyncio.to_thread(self._settled, days * _DAY_SECONDS)

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

    async def look(
        self, offsets: Mapping[str, int], *, at_locks: bool
    ) -> dict[str, RunLook | OSError]:
        """Look at many runs in one go: a thread for each would cost more than all the reading."""
        return await asyncio.to_thread(self._look, offsets, at_locks=at_locks)

    async def is_held(self, run_id: str) -> bool:
        """Whether a live process (the runner or its engine) holds the run's lock."""
        return await asyncio.to_thread(self._is_held, run_id)

    async def files(self, run_id: str) -> RunFiles:
        """Return what the journal tells of single files."""
        return await asyncio.to_thread(read_files, self.path_of(run_id))

    async def failures(self, run_id: str) -> tuple[FailedFile, ...]:
        """Return the files that failed in the run's last attempt, as many as the journal keeps."""
        return (await self.files(run_id)).failed

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

    async def throughput(self, run_id: str, *, most: int) -> tuple[RatePoint, ...]:
        """Return how fast the run sent over time, in at most so many points."""
        return await asyncio.to_thread(read_throughput, self.path_of(run_id), most)

    async def log_size(self, run_id: str) -> int:
        """Return the size of the log in bytes; 0 when there is none."""
        return await asyncio.to_thread(log_size, self.path_of(run_id))

    async def read_log(self, run_id: str, *, offset: int, limit: int) -> bytes:
        """Return a window of the log in bytes; a negative offset counts from the end."""
        return (await self.log_window(run_id, offset=offset, limit=limit)).content

    async def log_window(self, run_id: str, *, offset: int, limit: int) -> LogWindow:
        """Return a window of the log and where it stands; a negative offset counts from the end."""
        path = self.path_of(run_id)
        return await asyncio.to_thread(log_window, path, offset, min(limit, MAX_LOG_WINDOW))

    async def log_since(self, run_id: str, *, place: int, limit: int) -> LogWindow:
        """Return what the tool has written since a place of its output, or the newest of it."""
        path = self.path_of(run_id)
        return await asyncio.to_thread(log_since, path, place, min(limit, MAX_LOG_WINDOW))

    def _look(self, offsets: Mapping[str, int], *, at_locks: bool) -> dict[str, RunLook | OSError]:
        found: dict[str, RunLook | OSError] = {}
        for run_id, offset in offsets.items():
            try:
                # Before reading: what a runner wrote before it let go of the lock is read.
                is_held = not at_locks or self._is_held(run_id)
                part = read_journal_part(self.path_of(run_id), offset)
                found[run_id] = RunLook(is_held, part)
            except OSError as error:
                found[run_id] = error
        return found

    def _prepare(self, spec: RunSpec, only_files: Sequence[str]) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = self.path_of(spec.run_id)
        directory.mkdir(mode=0o700)
        if only_files:
            # Before the spec, which is what makes a run.
            names = b"".join(os.fsencode(name) + b"\0" for name in only_files)
            replace_file(directory / ONLY_FILES, names)
        _write_spec(directory, spec)
        sync_directory(self._root)

    def _settled(self, seconds: float) -> frozenset[str]:
        newest = time.time() - seconds
        try:
            with os.scandir(self._root) as entries:
                found = [
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < newest
                ]
        except FileNotFoundError:
            return frozenset()
        return frozenset(run_id for run_id in found if not self._is_held(run_id))

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
        ids = {"run_id": directory.name}
        _logger.error("journal: %d bytes without a line were passed over", _CHUNK, extra=ids)
        end = _CHUNK
    lines, damaged = [], 0
    for raw in _worth_reading(content[:end].splitlines()):
        try:
            line = events.from_document(json.loads(raw))
        except (InvalidDocument, ValueError, RecursionError) as error:
            ids = {"run_id": directory.name}
            _logger.error("journal: a line was passed over: %s", error, extra=ids)
            damaged += 1
            continue
        if line is not None:
            lines.append(line)
    return JournalPart(tuple(lines), offset + end, damaged, has_more=len(content) == _CHUNK)


def _worth_reading(lines: list[bytes]) -> Iterator[bytes]:
    """Yield lines but for progress that a later line outdates: most of a long journal is that, and
    fifty runs are to be taken over within a moment."""
    last_progress = max((n for n, raw in enumerate(lines) if _PROGRESS in raw[:80]), default=-1)
    for number, raw in enumerate(lines):
        if raw and (number == last_progress or _PROGRESS not in raw[:80]):
            yield raw


def _write_spec(directory: Path, spec: RunSpec) -> None:
    content = json.dumps(spec.to_document(), indent=1).encode("utf-8")
    replace_file(directory / "spec.json", content)


def _read_spec(directory: Path) -> RunSpec | None:
    try:
        return RunSpec.from_document(json.loads((directory / "spec.json").read_bytes()))
    except (OSError, ValueError, RecursionError, InvalidDocument) as error:
        ids = {"run_id": directory.name}
        _logger.error("the spec of %s cannot be used: %s", directory.name, error, extra=ids)
        return None


def _read_result(directory: Path) -> JournalLine | None:
    try:
        return events.from_document(json.loads((directory / "result.json").read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InvalidDocument) as error:
        ids = {"run_id": directory.name}
        _logger.error("result of %s cannot be used: %s", directory.name, error, extra=ids)
        return None
