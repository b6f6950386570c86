"""Makes a group of changes durable: every file is written, then every file synced and put in its
place, then each directory synced once. Blocking; belongs into the writer's thread.

What may be over a moment later is tried again, from memory and into new files; what fails is told
to the change that it belongs to, and to no other.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from models.errors import SaveOutcomeUnknown, StorageFailed
from storage.spare_files import SpareFiles
from utils.durable_file import Replacement, backup_of, sync_directory

_TRIES = 4
_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 0.25
_TRANSIENT = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""What may be over a moment later; a full or read-only disk is not among them."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewContent:
    """One file to replace; with `keep_backup` what is there now becomes its .bak."""

    path: str
    content: bytes
    keep_backup: bool = False
    modified_at_ns: int | None = None


@dataclass(frozen=True)
class Change:
    """What belongs to one change: files to replace, in this order, and then files to remove.

    `before` is called in the writer thread, last before anything is put in its place; what it
    raises is the result of the change, and nothing was changed.
    """

    what: str
    replacements: tuple[NewContent, ...] = ()
    removals: tuple[str, ...] = ()
    is_new: bool = False
    """None of the files was there before: when one cannot be put in its place, all go again."""
    before: Callable[[], None] | None = None


@dataclass(eq=False)
class Pending:
    """A change on its way; `error` says in the end why it was not made, if it was not."""

    change: Change
    error: BaseException | None = None
    staged: list[Replacement] = field(default_factory=list)
    touches: set[str] = field(default_factory=set)
    """The directories in which something of it stands already."""


class GroupCommit:
    """Makes groups of changes durable, one group after the other."""

    def __init__(self, syncers: Executor, workers: int) -> None:
        """Have files synced by `syncers`, which has so many workers."""
        self._syncers = syncers
        self._workers = workers
        self.spares = SpareFiles()

    def commit(self, group: Sequence[Pending]) -> None:
        """Make these changes; each one's `error` tells how it went: None, StorageFailed (nothing
        of it was changed), SaveOutcomeUnknown, or what its `before` raised."""
        try:
            self._commit_together(group)
            for pending in group:
                if _is_transient(pending.error):
                    self._commit_again(pending)
        except Exception as error:  # The writer's boundary: each caller gets it.
            _logger.exception("the writer failed")
            for pending in group:
                pending.error = pending.error or error
        for pending in group:
            if isinstance(pending.error, OSError):
                reason = pending.error.strerror or str(pending.error)
                pending.error = StorageFailed(pending.change.what, reason)

    def _commit_again(self, pending: Pending) -> None:
        """Try one change again, from memory, into new files (a failed fsync has no second try)."""

        def again() -> None:
            pending.error = None
            self._commit_together([pending])
            if isinstance(pending.error, OSError):
                raise pending.error

        _logger.warning("%s is tried again: %s", pending.change.what, pending.error)
        policy = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(_TRIES - 1),
            wait=wait_random_exponential(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS),
            reraise=True,
        )
        try:
            policy(again)
        except OSError as error:
            pending.error = error

    def _commit_together(self, group: Sequence[Pending]) -> None:
        _for_each(group, self._write)
        if len(group) > 1:
            _for_each(group, _start_writing)
        self._sync(group)
        _for_each(group, self._publish)
        _sync_directories(group)
        for pending in group:
            self._keep_spares(pending)

    def _write(self, pending: Pending) -> None:
        pending.staged.clear()
        pending.touches.clear()
        for file in pending.change.replacements:
            spare = self.spares.take(file.path) if file.keep_backup else None
            pending.staged.append(
                Replacement(
                    file.path, file.content, modified_at_ns=file.modified_at_ns, spare=spare
                )
            )

    def _sync(self, group: Sequence[Pending]) -> None:
        """Sync some files at once: the disk then serves them with one flush."""
        share = min(len(group), self._workers)
        if share > 1:
            parts = [group[start::share] for start in range(share)]
            list(self._syncers.map(lambda part: _for_each(part, _sync), parts))
        else:
            _for_each(group, _sync)

    def _publish(self, pending: Pending) -> None:
        change = pending.change
        if change.before is not None:
            change.before()
        for file, replacement in zip(change.replacements, tuple(pending.staged), strict=True):
            _step_of(pending, partial(self._put, file, replacement))
            pending.touches.add(os.path.dirname(file.path))
        for path in change.removals:
            for name in (path, backup_of(path)):
                _step_of(pending, partial(_unlink, name))
                pending.touches.add(os.path.dirname(name))

    def _put(self, file: NewContent, replacement: Replacement) -> None:
        keep_spare = file.keep_backup and self.spares.wants(file.path)
        replacement.publish(keep_backup=file.keep_backup, keep_spare=keep_spare)

    def _keep_spares(self, pending: Pending) -> None:
        for replacement in pending.staged:
            if pending.error is None:
                self.spares.keep(replacement.spare)
            else:
                replacement.drop()


def _for_each(group: Sequence[Pending], step: Callable[[Pending], None]) -> None:
    for pending in group:
        _attempt(pending, step)


def _attempt(pending: Pending, step: Callable[[Pending], None]) -> None:
    if pending.error is not None:
        return
    try:
        step(pending)
    except Exception as error:  # noqa: BLE001 - told to the caller, whose `before` may raise anything
        pending.error = error
        for replacement in pending.staged:
            replacement.drop()
        pending.staged.clear()


def _start_writing(pending: Pending) -> None:
    for replacement in pending.staged:
        replacement.start_writing()


def _sync(pending: Pending) -> None:
    for replacement in pending.staged:
        replacement.sync()


def _step_of(pending: Pending, step: Callable[[], None]) -> None:
    """Do one step in place; when steps before it stand, its failure leaves the outcome unknown."""
    try:
        step()
    except OSError as error:
        if not pending.touches:
            raise
        if pending.change.is_new:
            for file in pending.change.replacements:
                _unlink(file.path)
            raise
        reason = error.strerror or str(error)
        raise SaveOutcomeUnknown(pending.change.what, reason) from error


def _unlink(name: str) -> None:
    try:
        os.unlink(name)
    except FileNotFoundError:
        return


def _sync_directories(group: Sequence[Pending]) -> None:
    for directory in sorted({name for pending in group for name in pending.touches}):
        try:
            sync_directory(directory)
        except OSError as error:
            reason = error.strerror or str(error)
            for pending in group:
                if directory in pending.touches and pending.error is None:
                    pending.error = SaveOutcomeUnknown(pending.change.what, reason)


def _is_transient(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _TRANSIENT
