"""What must hold before a run starts: asked when a job is saved, and again by the runner.

Standard library only, since the runner imports it. Blocking: a caller on the event loop runs it
in a thread.
"""

from __future__ import annotations

import os

from models.errors import FieldFault
from models.remote import is_remote


def location_faults(source: str, destination: str) -> tuple[FieldFault, ...]:
    """Return what is wrong with two locations on this machine, all of it at once.

    A remote one is not looked at: its daemon says so when the run begins.

    The source must exist and be readable; neither may lie within the other, by real paths, or a
    run would copy its own copies without end; the destination must be a folder or creatable.
    """
    faults = [
        *_source_faults(source),
        *_overlap_faults(source, destination),
        *_destination_faults(destination),
    ]
    return tuple(faults)


def source_fault(source: str) -> FieldFault | None:
    """Return what is wrong with the source alone, or None."""
    return next(iter(_source_faults(source)), None)


def destination_fault(destination: str) -> FieldFault | None:
    """Return what is wrong with the destination alone, or None."""
    return next(iter(_destination_faults(destination)), None)


def files_at_most(source: str) -> float:
    """Return how many files the source can have: those of its file system (statvfs(3)).

    Infinite where the file system does not tell, as btrfs does not, and for a remote source.
    """
    if is_remote(source):
        return float("inf")
    facts = os.statvfs(source)
    return facts.f_files - facts.f_ffree if facts.f_files else float("inf")


def _source_faults(source: str) -> list[FieldFault]:
    if is_remote(source):
        return []
    try:
        os.stat(source)
    except FileNotFoundError:
        return [FieldFault("source", "There is no such file or folder on this machine.")]
    except OSError as error:
        return [FieldFault("source", f"It cannot be read: {error.strerror}.")]
    needed = os.R_OK | os.X_OK if os.path.isdir(source) else os.R_OK
    if not os.access(source, needed):
        return [FieldFault("source", "It cannot be read: permission denied.")]
    if not os.path.isdir(source) and not os.path.isfile(source):
        return [FieldFault("source", "It is neither a folder nor a regular file.")]
    return []


def _overlap_faults(source: str, destination: str) -> list[FieldFault]:
    if is_remote(source) or is_remote(destination):
        return []
    real_source = os.path.realpath(source)
    real_destination = os.path.realpath(destination)
    if real_source == real_destination:
        return [FieldFault("destination", "It is the source itself.")]
    if _contains(real_source, real_destination):
        return [
            FieldFault(
                "destination", "It lies inside the source: the backup would copy itself again."
            )
        ]
    if _contains(real_destination, real_source):
        return [FieldFault("destination", "The source lies inside it: they must be apart.")]
    return []


def _destination_faults(destination: str) -> list[FieldFault]:
    if is_remote(destination):
        return []
    existing = destination
    while not os.path.lexists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing.rstrip("/"))
    if not os.path.isdir(existing):
        what = "It is" if existing == destination else f"{existing} is"
        return [FieldFault("destination", f"{what} not a folder.")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [FieldFault("destination", f"Nothing can be written to {existing}.")]
    return []


def _contains(outer: str, inner: str) -> bool:
    return inner.startswith(outer.rstrip("/") + "/")
