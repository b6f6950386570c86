"""The deletion of one proven source: looked at again, moved aside, looked at once more, and gone.

What changed since its proof is found at the first look, or, when that was a moment too early, where
it was moved to: nobody else reaches it there, and it is put back.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from core.open_tree import Place, Tree
from core.runner.proof import (
    LINK,
    OPEN_FOR_WRITING,
    Proof,
    hash_of,
    is_open_for_writing,
    open_to_read,
)
from core.runner.trash import Mover, Trash
from models.source_deletions import DeletionOutcome

_CHANGED = "It was changed after its copy had been proven."
_COPY_CHANGED = "Its copy was changed or removed after it had been proven."
_GONE = "It is not there any more."
_OTHER_FILE_SYSTEM = "It lies on another file system than the source’s own folder."
_LEFT_TREE = "A folder on the way to it was replaced by something else."
_REASONS = {
    errno.ENOENT: _GONE,
    errno.EXDEV: _OTHER_FILE_SYSTEM,
    errno.ELOOP: _LEFT_TREE,
    errno.ENOTDIR: _LEFT_TREE,
}
Result = tuple[DeletionOutcome, str | None]


class _Changed(Exception):
    """What is there is not what was proven; the message says why."""


class Deleter:
    """Deletes proven files of a source through its trash folder, or leaves them in that."""

    def __init__(
        self,
        source: Tree,
        destination: Tree,
        trash: Trash,
        *,
        keeps_trash: bool,
        tick: Callable[[int], None],
    ) -> None:
        self._source = source
        self._destination = destination
        self._trash = trash
        self._keeps_trash = keeps_trash
        self._tick = tick
        self._mover = Mover()

    def delete(self, proof: Proof) -> Result:
        """Delete one; returns what became of it, and why it was kept when it was. Raises what
        `tick` raises, and then the file is where it was."""
        try:
            with self._source.place(proof.name) as place:
                self._refuse_changed(proof, place)
                self._refuse_changed_copy(proof)
                with self._trash.place(proof.name) as aside:
                    self._mover.move(place, aside)
                    return self._finish(proof, place, aside)
        except _Changed as changed:
            return DeletionOutcome.KEPT, str(changed)
        except OSError as error:
            return DeletionOutcome.KEPT, reason_of(error)

    def _finish(self, proof: Proof, place: Place, aside: Place) -> Result:
        try:
            self._refuse_other(proof, aside)
            if self._keeps_trash:
                return DeletionOutcome.TRASHED, None
            os.unlink(aside.name, dir_fd=aside.directory)
        except _Changed as changed:
            return self._put_back(place, aside, str(changed))
        except OSError as error:
            return self._put_back(place, aside, reason_of(error))
        except BaseException:
            self._put_back(place, aside, "")
            raise
        return DeletionOutcome.DELETED, None

    def _put_back(self, place: Place, aside: Place, reason: str) -> Result:
        try:
            self._mover.move(aside, place)
        except OSError as error:
            # A new file has taken its name, most likely: both are kept.
            return (
                DeletionOutcome.TRASHED,
                f"{reason} It could not be put back ({error.strerror}) and lies in the trash "
                "folder.",
            )
        return DeletionOutcome.KEPT, reason

    def _refuse_changed(self, proof: Proof, place: Place) -> None:
        facts = place.facts()
        # A second name that was deleted before changes this time alone: such a file is read again.
        has_other_time = facts.st_ctime_ns != proof.ctime_ns and proof.links == 1
        if has_other_time or not _is_same(proof, facts):
            raise _Changed(_CHANGED)

    def _refuse_changed_copy(self, proof: Proof) -> None:
        # Hours may lie between the proof of the first file and the deletion of the last one.
        try:
            with self._destination.place(proof.name) as copy:
                facts = copy.facts()
        except OSError as error:
            raise _Changed(_COPY_CHANGED) from error
        is_time = facts.st_mtime_ns == proof.copy_mtime_ns
        is_size = facts.st_size == proof.size or proof.kind == LINK
        # Not by its number: some network file systems give it another one when they look again.
        if not (is_time and is_size and _is_kind(proof, facts)):
            raise _Changed(_COPY_CHANGED)

    def _refuse_other(self, proof: Proof, aside: Place) -> None:
        """Look again where nobody else can change which file it is: is it the one of the proof?"""
        facts = aside.facts()
        if not _is_same(proof, facts):
            raise _Changed(_CHANGED)
        if proof.kind == LINK:
            if os.fsdecode(aside.target()) != proof.content:
                raise _Changed(_CHANGED)
            return
        descriptor = open_to_read(aside)
        try:
            if is_open_for_writing(descriptor):
                raise _Changed(OPEN_FOR_WRITING)
            # From here on nobody can write to it; what was written before shows in its time.
            if not _is_same(proof, os.fstat(descriptor)):
                raise _Changed(_CHANGED)
            if proof.links > 1 and hash_of(descriptor, self._tick) != proof.content:
                raise _Changed(_CHANGED)
        finally:
            os.close(descriptor)


def reason_of(error: OSError) -> str:
    """Return why a file could not be deleted, as a sentence."""
    return _REASONS.get(error.errno or 0) or f"{error.strerror or error}."


def _is_same(proof: Proof, facts: os.stat_result) -> bool:
    return _is_kind(proof, facts) and (
        proof.device,
        proof.inode,
        proof.size,
        proof.mtime_ns,
    ) == (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)


def _is_kind(proof: Proof, facts: os.stat_result) -> bool:
    return stat.S_ISLNK(facts.st_mode) if proof.kind == LINK else stat.S_ISREG(facts.st_mode)
