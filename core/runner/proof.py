"""The proof that a source has a copy: what stands at the destination, read back and compared.

Never a tool's exit code (architecture.md, decision 7). Loaded by the process that deletes sources
alone: hashing costs memory.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from core.open_tree import Place

_CHUNK = 1024 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TICK_SECONDS = 0.05
"""Longer than the steps in which a file system tells times: what was changed within one step cannot
be told from what is changed again within it."""
OPEN_FOR_WRITING = "Another program has it open for writing."
_COPY_OPEN = "Another program has its copy open for writing."
FILE, LINK = "file", "link"
_CHANGED_MEANWHILE = "It was changed while it was compared."


class Unproven(Exception):
    """There is no proof; the message says why, as a sentence."""


class Cancelled(Exception):
    """A person asked the run to stop while a file was read."""


class Proof(NamedTuple):
    """A source as it was when its copy was proven: sizes in bytes, times in nanoseconds. `content`
    is the hash of a file (`sha256:…`), or where a symbolic link leads; `copy_mtime_ns` is when the
    copy was last written to."""

    name: bytes
    kind: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links: int
    content: str
    copy_mtime_ns: int


class Copies:
    """Proves copies one after another. `tick` is told how many bytes were read, and may raise;
    `claim` says whether a copy (the second) is that of this source (the first) and of no other."""

    def __init__(
        self,
        tick: Callable[[int], None],
        *,
        sync: Callable[[int, os.stat_result], None],
        claim: Callable[[os.stat_result, os.stat_result], bool],
    ) -> None:
        self._tick = tick
        self._sync = sync
        self._claim = claim

    def prove(self, name: bytes, source: Place, copy: Place) -> Proof:
        """Return the proof for one file. Raises Unproven, OSError, and what `tick` raises."""
        facts = source.facts()
        if stat.S_ISLNK(facts.st_mode):
            return self._prove_link(name, source, copy, facts)
        if not stat.S_ISREG(facts.st_mode):
            raise Unproven("It is neither a file nor a symbolic link.")
        original = open_to_read(source)
        try:
            is_same = same_file(os.fstat(original), facts)
            if not is_same:
                raise Unproven("It was changed while it was looked at.")
            if is_open_for_writing(original):
                raise Unproven(OPEN_FOR_WRITING)
            await_next_tick(facts)
            content, found = self._compared(original, copy, facts)
            if not same_file(os.fstat(original), facts):
                raise Unproven(_CHANGED_MEANWHILE)
        finally:
            os.close(original)
        self._refuse_claimed(facts, found)
        return _proof(name, FILE, facts, content, found)

    def _prove_link(self, name: bytes, source: Place, copy: Place, facts: os.stat_result) -> Proof:
        found = _facts_of_copy(copy)
        _refuse_itself(facts, found)
        target = source.target()
        if not stat.S_ISLNK(found.st_mode) or copy.target() != target:
            raise Unproven("The destination has no symbolic link that leads to the same place.")
        folder = os.open(b".", os.O_RDONLY | os.O_CLOEXEC, dir_fd=copy.directory)
        try:
            self._sync(folder, os.fstat(folder))
        finally:
            os.close(folder)
        self._refuse_claimed(facts, found)
        return _proof(name, LINK, facts, os.fsdecode(target), found)

    def _refuse_claimed(self, facts: os.stat_result, found: os.stat_result) -> None:
        if not self._claim(facts, found):
            raise Unproven("What is at the destination is the copy of another source as well.")

    def _compared(
        self, original: int, copy: Place, facts: os.stat_result
    ) -> tuple[str, os.stat_result]:
        found = _facts_of_copy(copy)
        _refuse_itself(facts, found)
        if not stat.S_ISREG(found.st_mode):
            raise Unproven("The destination has no regular file of this name.")
        if found.st_size != facts.st_size:
            raise Unproven("The destination has another size.")
        copied = open_to_read(copy)
        try:
            _refuse_itself(facts, os.fstat(copied))
            # On a file system of its own beneath the destination it is not synced by then.
            self._sync(copied, found)
            # Back from the disk, not from memory: what is not written yet stays there, and is none
            # after the sync (posix_fadvise(2)).
            os.posix_fadvise(copied, 0, 0, os.POSIX_FADV_DONTNEED)
            if is_open_for_writing(copied):
                raise Unproven(_COPY_OPEN)
            # Before it is read: what is written to it from here on shows in its time.
            found = os.fstat(copied)
            await_next_tick(found)
            return self._hash_of_both(original, copied, facts.st_size), found
        finally:
            os.close(copied)

    def _hash_of_both(self, original: int, copied: int, size: int) -> str:
        ours, theirs = hashlib.sha256(), hashlib.sha256()
        place = 0
        while True:
            content = os.pread(original, _CHUNK, place)
            other = os.pread(copied, _CHUNK, place)
            # Both to their ends: one may have become longer meanwhile.
            ours.update(content)
            theirs.update(other)
            if content != other:
                raise Unproven("Its contents differ from those at the destination.")
            if place + len(content) > size:
                raise Unproven(_CHANGED_MEANWHILE)
            if not content:
                break
            place += len(content)
            self._tick(len(content))
        if ours.digest() != theirs.digest():
            raise Unproven("Its hash differs from the one at the destination.")
        for descriptor in (original, copied):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return f"sha256:{theirs.hexdigest()}"


def hash_of(descriptor: int, tick: Callable[[int], None]) -> str:
    """Return the hash of an open file as a proof has it. Raises OSError, and what `tick` raises."""
    digest = hashlib.sha256()
    place = 0
    while content := os.pread(descriptor, _CHUNK, place):
        digest.update(content)
        place += len(content)
        tick(len(content))
    return f"sha256:{digest.hexdigest()}"


def open_to_read(place: Place) -> int:
    """Open what is there for reading, without a trace of it where that is allowed. Raises
    OSError."""
    try:
        return os.open(place.name, _READ | os.O_NOATIME, dir_fd=place.directory)
    except PermissionError:
        # Only the owner may ask for no trace (open(2), O_NOATIME).
        return os.open(place.name, _READ, dir_fd=place.directory)


def is_open_for_writing(descriptor: int) -> bool:
    """Whether anybody could still write to a file that is open here for reading alone.

    A read lease is granted only when nobody has it open, or mapped, for writing (fcntl(2), Leases);
    false also where the system grants none to us, or the file system knows none.
    """
    try:
        # Whoever opens the file while we have the lease is announced by a signal: SIGIO would end
        # us.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno in {errno.EAGAIN, errno.EWOULDBLOCK}
    return False


def same_file(found: os.stat_result, facts: os.stat_result) -> bool:
    """Whether two looks saw the same file, unchanged."""
    return all(
        getattr(found, name) == getattr(facts, name)
        for name in ("st_dev", "st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")
    )


def await_next_tick(facts: os.stat_result) -> None:
    """Wait until a change from now on has another time than the last one."""
    age = time.time() - max(facts.st_mtime, facts.st_ctime)
    if 0 <= age < _TICK_SECONDS:
        time.sleep(_TICK_SECONDS - age)


def _facts_of_copy(copy: Place) -> os.stat_result:
    try:
        return copy.facts()
    except FileNotFoundError:
        raise Unproven("The destination has no file of this name.") from None


def _refuse_itself(facts: os.stat_result, found: os.stat_result) -> None:
    if (facts.st_dev, facts.st_ino) == (found.st_dev, found.st_ino):
        raise Unproven("What is at the destination is this very file, not a copy of it.")


def _proof(
    name: bytes, kind: str, facts: os.stat_result, content: str, copy: os.stat_result
) -> Proof:
    return Proof(
        name=name,
        kind=kind,
        device=facts.st_dev,
        inode=facts.st_ino,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        links=facts.st_nlink,
        content=content,
        copy_mtime_ns=copy.st_mtime_ns,
    )
