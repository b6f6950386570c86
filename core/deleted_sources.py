"""What becomes of deleted sources after their run: kept on record, put back, removed for good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from core.allowed_roots import EVERYWHERE, Roots, is_allowed, outside_words
from core.patience import answers, in_a_thread
from core.ports import Ports
from core.questions import Questions
from core.runner.trash import NOTHING, PutBack, found_back, purge, put_back, trash_top
from models.deleted_sources import DeletingRun
from models.errors import JobIsActive, JobNotFound, NoAnswer, OutsideRoots, PutBackRefused
from models.run import Run
from models.run_spec import RunSpec
from utils.timestamps import utc_timestamp

AtRest = Callable[[str, str], AbstractAsyncContextManager[None]]
"""Holds a job at rest, by its id and the command that needs it so; a job that was deleted is."""
_BATCH = 1_000
_NOTHING_DELETED = "This run deleted nothing at its source."
_NO_TRASH = "What this run deleted is gone: it was not moved into a trash folder."
_ALL_BACK = "Everything was put back already."
_PURGED = "The trash folder of this run was emptied."
_NOT_THERE = "The trash folder of this run is not there: is the disk of the source mounted?"
_logger = logging.getLogger(__name__)


class Emptied(NamedTuple):
    """Of how many runs the trash folders were emptied, and why others could not be: sentences."""

    runs: int
    faults: tuple[str, ...]


def deleting_run(run: Run, spec: RunSpec | None, *, ended_at: str) -> DeletingRun:
    """Return what is kept of a run that deletes its sources, but for the counts; without the spec,
    which somebody damaged, its trash folder is kept for ever."""
    until = None
    if spec is not None and spec.trash_days is not None:
        end = datetime.fromisoformat(ended_at) + timedelta(days=spec.trash_days)
        until = utc_timestamp(end.timestamp())
    return DeletingRun(
        run_id=run.id,
        job_id=run.job_id,
        job_name=run.job_name,
        source=run.source,
        destination=run.destination,
        ended_at=ended_at,
        trash_until=until,
    )


def why_not_back(run: DeletingRun) -> str | None:
    """Return why what a run deleted cannot be put back, as a sentence, or None."""
    if run.can_be_put_back:
        return None
    if run.purged_at is not None:
        return _PURGED
    if run.restored:
        return _ALL_BACK
    return _NO_TRASH if run.deleted else _NOTHING_DELETED


class DeletedSources:
    """The commands over what runs have deleted."""

    def __init__(
        self,
        ports: Ports,
        at_rest: AtRest,
        *,
        roots: Callable[[], Roots] = lambda: EVERYWHERE,
        questions: Questions | None = None,
    ) -> None:
        """`roots` tells the allowed folders as they are at that moment."""
        self._ports = ports
        self._at_rest = at_rest
        self._roots = roots
        self._questions = questions or Questions()

    async def put_back(self, run_id: str) -> PutBack:
        """Put everything back that a run moved into the trash folder, and never over what is there
        by now.

        Raises PutBackRefused, JobIsActive, NoAnswer, StorageFailed.
        """
        known = await self._ports.deletions.run(run_id)
        if known is None:
            raise PutBackRefused(run_id, _NOTHING_DELETED)
        async with self._at_rest(known.job_id, "put back what was deleted by"):
            known = await self._ports.deletions.run(run_id)
            reason = _NOTHING_DELETED if known is None else why_not_back(known)
            if known is None or reason is not None:
                raise PutBackRefused(run_id, reason or _NOTHING_DELETED)
            try:
                return await self._put_back(known)
            finally:
                self._ports.sink.jobs_changed([known.job_id])

    async def empty_trash(self) -> Emptied:
        """Remove for good what runs moved into trash folders and the settings of their jobs do not
        keep any longer. What cannot be reached now is tried again the next time. Raises
        StorageFailed."""
        emptied, faults = 0, []
        for run in await self._ports.deletions.trash_due(self._ports.clock.now()):
            try:
                async with self._at_rest(run.job_id, "empty the trash folder of"):
                    # Not there: the disk of the source is not mounted, most likely.
                    await answers(self._questions, trash_top(run.source))
                    is_gone = await in_a_thread(partial(self._purge, run), name="trash")
                    if is_gone:
                        now = self._ports.clock.now()
                        await self._ports.deletions.note_purged(run.run_id, now=now)
                        self._ports.sink.jobs_changed([run.job_id])
                        emptied += 1
            except (JobIsActive, JobNotFound, FileNotFoundError):
                continue
            except (OSError, OutsideRoots, NoAnswer) as error:
                ids = {"job_id": run.job_id, "run_id": run.run_id}
                _logger.warning(
                    "the trash folder of run %s stays: %s", run.run_id, error, extra=ids
                )
                why = _told(error)
                faults.append(f"That of run {run.run_id} in {run.source}: {why}")
        return Emptied(emptied, tuple(faults))

    def _purge(self, run: DeletingRun) -> bool:
        # The roots again: what was looked at may be another folder by the time that it is opened.
        return purge(self._top_of(run), run.run_id, self._roots())

    def _top_of(self, run: DeletingRun) -> str:
        """Return the folder that holds the trash folder of a run. Raises OutsideRoots."""
        top, roots = trash_top(run.source), self._roots()
        if not is_allowed(top, roots):
            raise OutsideRoots(run.source, outside_words(roots))
        return top

    async def _put_back(self, run: DeletingRun) -> PutBack:
        loop = asyncio.get_running_loop()
        results: list[tuple[bytes, str | None]] = []

        async def note(*, is_all: bool) -> None:
            some, now = tuple(results), self._ports.clock.now()
            results.clear()
            await self._ports.deletions.note_put_back(run.run_id, some, now=now, is_all=is_all)

        def tell(name: bytes, reason: str | None) -> None:
            results.append((name, reason))
            if len(results) >= _BATCH:
                asyncio.run_coroutine_threadsafe(note(is_all=False), loop).result()

        try:
            await answers(self._questions, trash_top(run.source))
            top = await in_a_thread(partial(self._top_of, run), name="put-back")
        except OutsideRoots as error:
            raise PutBackRefused(run.run_id, f"Source: {error.reason}") from error
        done, roots = NOTHING, self._roots()
        try:
            work = partial(put_back, top, run.run_id, tell=tell, roots=roots)
            done = await in_a_thread(work, name="put-back")
        except OutsideRoots as error:
            # It led elsewhere by the time that it was opened.
            raise PutBackRefused(run.run_id, f"Source: {error.reason}") from error
        except FileNotFoundError as error:
            if not (found := await self._found_back(run, top)):
                raise PutBackRefused(run.run_id, _NOT_THERE) from error
            return PutBack(found, 0)
        except OSError as error:
            reason = f"The trash folder cannot be read: {error.strerror}."
            raise PutBackRefused(run.run_id, reason) from error
        finally:
            # Also of what was done before it failed.
            await note(is_all=True)
        return done._replace(restored=done.restored + await self._found_back(run, top))

    async def _found_back(self, run: DeletingRun, top: str) -> int:
        """Keep what is back at the source though nobody wrote it down: the machine went down in the
        middle of an earlier putting back. Returns how many there are."""
        deletions, after, found = self._ports.deletions, 0, 0
        while some := await deletions.in_trash(run.run_id, after=after):
            after = some[-1].number
            work = partial(found_back, top, run.run_id, some, self._roots())
            names = await in_a_thread(work, name="put-back")
            found += len(names)
            results = [(name, None) for name in names]
            now = self._ports.clock.now()
            await deletions.note_put_back(run.run_id, results, now=now, is_all=True)
        return found


def _told(error: OSError | OutsideRoots | NoAnswer) -> str:
    if isinstance(error, OutsideRoots):
        return error.reason
    return str(error) if isinstance(error, NoAnswer) else f"{error.strerror}."
