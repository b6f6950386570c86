"""Whether what is still to be copied fits on the destination's disk, in bytes and in inodes.

Standard library only, since the runner imports it. Sizes in bytes.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

from core.engines.base import DISK_FULL, ExitMeaning, ScannedTotals, Verdict

_LEAST_FREE_SHARE = 0.1
_MOST_ENTRIES = 100_000
"""So many entries are looked at; of a larger destination nothing is said."""
_ENTRIES_A_STEP = 500
_AS_GOOD_AS_NONE = 64 * 1024
_COMPRESSING = frozenset({b"btrfs", b"zfs", b"bcachefs", b"f2fs", b"fuse"})
"""File systems on which a file may take less room than its size."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Room(NamedTuple):
    """What a file system has and has left, for whoever asks; None where it does not count."""

    total: int
    free: int
    files_free: int | None

    @property
    def least_free(self) -> int:
        """Below that a person should know."""
        return int(self.total * _LEAST_FREE_SHARE)


class Present(NamedTuple):
    """What of the source stands at the destination already, by name: files, and their bytes as far
    as the source has as many."""

    files: int
    bytes: int


class Finding(NamedTuple):
    """What came out: `fault` ends the run, `notice` a person should know."""

    fault: str | None = None
    notice: str | None = None


def room_of(location: str) -> Room:
    """Return what is left where a folder lies or will lie. Raises OSError."""
    facts = os.statvfs(existing_part(location))
    # The blocks that are kept for root (tune2fs(8), -m) are root's to use.
    free = facts.f_bfree if os.geteuid() == 0 else facts.f_bavail
    files = facts.f_ffree if os.geteuid() == 0 else facts.f_favail
    return Room(
        facts.f_blocks * facts.f_frsize,
        free * facts.f_frsize,
        files if facts.f_files else None,
    )


def existing_part(location: str) -> str:
    """Return the deepest folder of a path that exists."""
    while not os.path.lexists(location) and location != os.path.dirname(location):
        location = os.path.dirname(location.rstrip("/"))
    return location


def inode_fault(location: str) -> str | None:
    """Return why no file can be made there, or None."""
    try:
        room = room_of(location)
    except OSError:
        return None
    if room.files_free != 0:
        return None
    return (
        f"No file can be created there: the file system has no inodes left, "
        f"with {size(room.free)} free."
    )


def full_disk(location: str) -> ExitMeaning:
    """Return what to say of a destination on which there was no room, with its figures."""
    try:
        room = room_of(location)
    except OSError:
        return DISK_FULL
    if room.files_free == 0:
        return ExitMeaning(
            Verdict.FATAL,
            "The destination's file system has no inodes left: some files could not be created, "
            f"with {size(room.free)} free.",
        )
    return ExitMeaning(
        Verdict.FATAL, f"{DISK_FULL.message} {size(room.free)} of {size(room.total)} are free."
    )


def is_full(location: str) -> bool:
    """Whether a destination has as good as no room left, or no inodes."""
    try:
        room = room_of(location)
    except OSError:
        return False
    return room.files_free == 0 or room.free < _AS_GOOD_AS_NONE


class SpaceCheck:
    """Finds out, step by step beside the transfer, whether all of it fits.

    What is at the destination already is looked at only where the room would not do for all. It is
    compared with the room that there was before the transfer: rclone takes the room of its files
    before it writes them.
    """

    def __init__(
        self,
        source: str,
        destination: str,
        totals: ScannedTotals,
        room: Room,
        *,
        finished: Present,
        is_certain: bool,
    ) -> None:
        """`room` is that before the transfer, `finished` what it has brought since; without
        `is_certain` the copy may take less room than the totals say."""
        self._destination = destination
        self._is_certain = is_certain
        self._totals = totals
        self._room = room
        self._finished = finished
        self._look = present(source, destination)
        self._finding: Finding | None = None

    def step(self, *, seconds: float) -> Finding | None:
        """Go on for so long; returns what came out, as soon as it is known."""
        if self._finding is None:
            self._finding = self._found(seconds)
        return self._finding

    def _found(self, seconds: float) -> Finding | None:
        room, all_ = self._room, Present(*self._totals)
        if all_.bytes <= room.free - room.least_free and _fits(all_.files, room):
            return Finding()
        give_up_at = time.monotonic() + seconds
        for there in self._look:
            if there is None:
                return _in_doubt(all_, room)
            if isinstance(there, Present):
                return self._judged(self._needed(there))
            if time.monotonic() > give_up_at:
                return None
        return Finding()

    def _needed(self, there: Present) -> Present:
        """What was to be copied at first: what the transfer has brought since was not there."""
        files = self._totals.files - max(0, there.files - self._finished.files)
        bytes_ = self._totals.bytes - max(0, there.bytes - self._finished.bytes)
        return Present(max(0, files), max(0, bytes_))

    def _judged(self, needed: Present) -> Finding:
        room = self._room
        if self._is_certain and not _fits(needed.files, room):
            return Finding(
                fault=f"The destination has no room: {needed.files:,} files are to be created, and "
                f"its file system had inodes for {room.files_free:,} more."
            )
        left = room.free - needed.bytes
        if left >= room.least_free:
            return Finding()
        if left >= 0:
            return Finding(
                notice="Less than 10% of the destination will be left: "
                + _figures(needed.bytes, room)
            )
        if not self._is_certain or _kind_of(self._destination) in _COMPRESSING:
            return Finding(
                notice="The copy may not fit on the destination: " + _figures(needed.bytes, room)
            )
        return Finding(fault="The destination has no room: " + _figures(needed.bytes, room))


def present(source: str, destination: str) -> Iterator[Present | bool | None]:
    """Look at what of the source stands at the destination; yields False while it goes on, and in
    the end what there is, or None when that is too much to look at."""
    if os.path.isfile(source):
        # It goes into the destination under its own name.
        found = _size_of_both(source, os.path.join(destination, os.path.basename(source)))
        yield Present(0, 0) if found is None else Present(1, found)
        return
    files = size_ = 0
    for seen, name in enumerate(_names_beneath(destination), start=1):
        if seen % _ENTRIES_A_STEP == 0:
            yield False
        if seen > _MOST_ENTRIES:
            yield None
            return
        found = _size_of_both(os.path.join(source, name), os.path.join(destination, name))
        if found is not None:
            files, size_ = files + 1, size_ + found
    yield Present(files, size_)


def size(count: int) -> str:
    """Return a size for people, in powers of 1024."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _names_beneath(top: str) -> Iterator[str]:
    """Yield what lies beneath a folder and is none itself, and an empty name for each that is."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(top, folder)) as entries:
                for entry in entries:
                    name = os.path.join(folder, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                        name = ""
                    yield name
        except OSError:
            continue


def _size_of_both(source: str, destination: str) -> int | None:
    """Return the smaller size of the two, or None where one of them is no file or link."""
    try:
        facts = os.lstat(source), os.lstat(destination)
    except OSError:
        return None
    if any(stat.S_ISDIR(one.st_mode) for one in facts):
        return None
    return min(one.st_size for one in facts)


def _fits(files: int, room: Room) -> bool:
    return room.files_free is None or files <= room.files_free


def _in_doubt(needed: Present, room: Room) -> Finding:
    if needed.bytes <= room.free:
        return Finding()
    return Finding(
        notice="The copy may not fit on the destination: up to " + _figures(needed.bytes, room)
    )


def _figures(needed: int, room: Room) -> str:
    return (
        f"{size(needed)} are to be copied, and {size(room.free)} of {size(room.total)} were free "
        "when the run began."
    )


def _kind_of(location: str) -> bytes:
    """Return the kind of file system that a path lies on (proc(5), mountinfo)."""
    device = os.stat(existing_part(location)).st_dev
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                fields = line.split(b" ")
                if len(fields) > 4 and fields[2] == wanted and b"-" in fields:
                    return fields[fields.index(b"-") + 1].partition(b".")[0]
    except OSError:
        return b""
    return b""
