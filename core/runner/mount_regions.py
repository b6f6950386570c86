"""Whether two folders show the same part of one file system, whatever their paths are.

A bind mount gives a folder a second path that no symbolic link tells of: with it a source can hold
its own destination. The kernel tells where mounts come from (proc(5), mountinfo).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_ESCAPE = rb"\\([0-7]{3})"


class Mount(NamedTuple):
    """A mount: its device, the path within the file system that it shows, and where it shows it."""

    device: bytes
    root: bytes
    point: bytes


class Region(NamedTuple):
    """A folder of a file system, and all beneath it."""

    device: bytes
    path: bytes


def overlap(first: str, second: str) -> bool:
    """Whether anything lies beneath both of two folders. Raises OSError."""
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = mounts_in(file.read())
    ours, theirs = (
        regions_of(os.fsencode(os.path.realpath(one)), mounts) for one in (first, second)
    )
    return any(share(one, other) for one in ours for other in theirs)


def mounts_in(mountinfo: bytes) -> list[Mount]:
    """Return the mounts that mountinfo lists, in its order."""
    mounts = []
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        if len(fields) >= 5:
            mounts.append(Mount(fields[2], _unescaped(fields[3]), _unescaped(fields[4])))
    return mounts


def regions_of(path: bytes, mounts: list[Mount]) -> list[Region]:
    """Return what a real path shows: a part of the mount that it lies on, and each mount beneath
    it."""
    holder: Mount | None = None
    for mount in mounts:
        # The last one of a place is on top.
        if _contains(mount.point, path) and (not holder or len(mount.point) >= len(holder.point)):
            holder = mount
    beneath = [
        Region(mount.device, mount.root)
        for mount in mounts
        if _contains(path, mount.point) and mount.point != path
    ]
    if holder is None:
        return beneath
    rest = path[len(holder.point.rstrip(b"/")) :]
    return [Region(holder.device, (holder.root.rstrip(b"/") + rest) or b"/"), *beneath]


def share(one: Region, other: Region) -> bool:
    """Whether one of two regions holds the other."""
    if one.device != other.device:
        return False
    return _contains(one.path, other.path) or _contains(other.path, one.path)


def _contains(outer: bytes, inner: bytes) -> bool:
    return inner == outer or inner.startswith(outer.rstrip(b"/") + b"/")


def _unescaped(text: bytes) -> bytes:
    return re.sub(_ESCAPE, lambda match: bytes([int(match[1], 8)]), text)
