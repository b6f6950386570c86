"""Whether the disks that a job relies on are there: its marker, its mount points, its first file.

Standard library only, since the runner imports it. Blocking, and bounded where it looks around.
"""

from __future__ import annotations

import os
import time

from core.mounts import mount_points
from models.errors import FieldFault
from models.run_spec import TRASH_FOLDER

_MOST_ENTRIES = 20_000
_MOST_SECONDS = 2.0
"""So much is looked at for a first file; a source of so many folders is taken for one that has
any."""


def marker_fault(source: str, marker: str) -> FieldFault | None:
    """Return why the marker does not prove that this is the source, or None.

    It counts as it lies there (lstat): a link of that name is one, but a folder on the way to it
    that is a link to outside of the source leads to no marker of the source.
    """
    path = os.path.join(source, marker)
    top = os.path.realpath(source)
    if not os.path.isdir(top):
        return FieldFault("options.source_marker", "A source that is one file holds no marker.")
    folder = os.path.realpath(os.path.dirname(path.rstrip("/")))
    if not _contains(top, folder):
        return FieldFault("options.source_marker", f"{marker} leads out of the source.")
    if not os.path.lexists(path.rstrip("/")):
        return FieldFault(
            "options.source_marker",
            f"There is no {marker} in {source}: is this the right disk, and is it mounted?",
        )
    return None


def mount_fault(field: str, mount: str, location: str) -> FieldFault | None:
    """Return why a location is not on the mount that it is expected on, or None."""
    if not is_mount_point(mount):
        return FieldFault(
            f"options.{field}",
            f"Nothing is mounted at {mount} now.",
        )
    if not _contains(os.path.realpath(mount), os.path.realpath(location)):
        return FieldFault(
            f"options.{field}",
            f"{location} leads to {os.path.realpath(location)}, which does not lie on {mount}.",
        )
    return None


def is_mount_point(path: str) -> bool:
    """Whether something is mounted there at this moment, a bind mount too.

    ismount(3) of Python compares devices, which are the same on both sides of a bind mount: the
    kernel's own list knows those (proc(5), mountinfo).
    """
    real = os.path.realpath(path)
    if os.path.ismount(real):
        return True
    return os.fsencode(real) in mount_points()


def mounts_beneath(path: str) -> list[str]:
    """Return what is mounted somewhere within a folder at this moment, by real paths."""
    beginning = os.fsencode(os.path.realpath(path)).rstrip(b"/") + b"/"
    return [os.fsdecode(point) for point in mount_points() if point.startswith(beginning)]


def has_any_file(source: str) -> bool:
    """Whether there is anything but folders in a source, as far as a bounded look tells.

    The trash of deleted sources is no part of it. A folder that cannot be read may hold some.
    """
    if not os.path.isdir(source):
        return True
    give_up_at = time.monotonic() + _MOST_SECONDS
    folders, seen = [source], 0
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    if folder == source and entry.name == TRASH_FOLDER:
                        continue
                    if not entry.is_dir(follow_symlinks=False):
                        return True
                    folders.append(entry.path)
                    if seen > _MOST_ENTRIES or time.monotonic() > give_up_at:
                        return True
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False


def _contains(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
