"""What must hold before a run starts: asked when a job is saved, and again by the runner.

Standard library only, since the runner imports it. Blocking: a caller on the event loop runs it
in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from core.allowed_roots import root_faults
from core.engines.base import Engine, too_old
from core.preflight_mounts import has_any_file, marker_fault, mount_fault
from core.preflight_space import existing_part, inode_fault
from core.real_paths import Touch, refuse_gone, untold
from models.errors import FieldFault
from models.remote import is_remote
from models.run_spec import RunSpec

_EMPTY = (
    "The source is empty: is its disk mounted? This job deletes what its source does not have, so "
    "the run was stopped."
)
_EMPTY_TO_DELETE = (
    "The source is empty: is its disk mounted? This job deletes its sources, so the run was "
    "stopped. Where an empty source is as it should be, give the job a marker file or a mount "
    "point to look for."
)


NOTHING_DONE = "Nothing was copied and nothing was deleted."
EMPTY_SOURCE = f"{_EMPTY} {NOTHING_DONE}"
"""What is said of a source on another machine that turns out to be empty."""
_EMPTY_SOURCES = frozenset({_EMPTY, _EMPTY_TO_DELETE})
_OF_SOURCE = frozenset({"source", "options.source_marker", "options.source_mount"})
_OF_DESTINATION = frozenset({"destination", "options.destination_mount"})
_ABOUT_DISKS = frozenset(
    {"options.source_marker", "options.source_mount", "options.destination_mount"}
)
_WHERE = {
    "engine": "",
    "source": "Source: ",
    "destination": "Destination: ",
    "options.source_marker": "Source: ",
    "options.source_mount": "Source: ",
    "options.destination_mount": "Destination: ",
    "options.extra_args": "Extra arguments: ",
}


def run_faults(spec: RunSpec, engine: Engine, touch: Touch = untold) -> tuple[FieldFault, ...]:
    """Return why a run must not begin, all of it at once: asked before anything is touched. Raises
    NoAnswer."""
    outside = spec_root_faults(spec, touch)
    source, destination = within(spec.source, spec.destination, outside)
    for path in (spec.source_mount, spec.destination_mount, destination, source):
        if path is not None and not is_remote(path):
            refuse_gone(path, touch)
    faults = [
        *tool_faults(spec, engine),
        *outside,
        *faults_of_locations(source, destination),
        *mount_faults(source, destination, spec),
    ]
    if not any(fault.field in _OF_SOURCE for fault in faults):
        faults += _empty_faults(spec)
    if not any(fault.field in _OF_DESTINATION for fault in faults):
        faults += _inode_faults(spec)
    return tuple(faults)


def spec_root_faults(spec: RunSpec, touch: Touch = untold) -> list[FieldFault]:
    """Return what of a run leads out of the allowed folders now, whatever it did when the job was
    saved. Raises NoAnswer."""
    look = partial(
        root_faults,
        spec.source,
        spec.destination,
        spec.extra_args,
        spec.allowed_roots,
        touch,
        data_dir=spec.data_dir,
    )
    faults = look()
    if not faults:
        return []
    # That ends a run for good: it is said of no disk that is gone, or was a moment ago.
    for path in (spec.source, spec.destination):
        if not is_remote(path):
            refuse_gone(path, touch)
    return look()


def within(
    source: str | None, destination: str | None, outside: Iterable[FieldFault]
) -> tuple[str | None, str | None]:
    """Return the locations without those that lead out of the allowed folders: nothing is looked at
    there, and nothing told of it."""
    fields = {fault.field for fault in outside}
    return (
        None if "source" in fields else source,
        None if "destination" in fields else destination,
    )


def tool_faults(spec: RunSpec, engine: Engine) -> list[FieldFault]:
    """Return whether the tool is missing, or too old as far as its version is known."""
    tool = spec.tool_path
    if tool is None or not os.access(tool, os.X_OK):
        return [FieldFault("engine", f"{engine.command} is not installed. {engine.install_hint}")]
    fault = too_old(engine, spec.tool_version) if spec.tool_version else None
    return [FieldFault("engine", fault)] if fault else []


class Expectations(Protocol):
    """What a job expects of its disks: a RunSpec or the options of a definition."""

    @property
    def source_marker(self) -> str | None:
        """A name within the source."""
        ...

    @property
    def source_mount(self) -> str | None:
        """A mount point that holds the source."""
        ...

    @property
    def destination_mount(self) -> str | None:
        """A mount point that holds the destination."""
        ...


def mount_faults(
    source: str | None, destination: str | None, wanted: Expectations
) -> list[FieldFault]:
    """Return which of the disks that a job expects are not there; None is not looked at."""
    faults = []
    if wanted.source_marker and source is not None and not is_remote(source):
        faults.append(marker_fault(source, wanted.source_marker))
    if wanted.source_mount and source is not None and not is_remote(source):
        faults.append(mount_fault("source_mount", wanted.source_mount, source))
    if wanted.destination_mount and destination is not None and not is_remote(destination):
        faults.append(mount_fault("destination_mount", wanted.destination_mount, destination))
    return [fault for fault in faults if fault is not None]


def told_at_once(faults: tuple[FieldFault, ...]) -> str:
    """Return the faults of a run as the sentences that a person reads."""
    told = [f"{_WHERE[fault.field]}{fault.message}" for fault in faults]
    if any(fault.field in _ABOUT_DISKS or fault.message in _EMPTY_SOURCES for fault in faults):
        told.append(NOTHING_DONE)
    return " ".join(told)


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


def faults_of_locations(source: str | None, destination: str | None) -> tuple[FieldFault, ...]:
    """Return what is wrong with the locations, or with the one of them that is not None."""
    if source is not None and destination is not None:
        return location_faults(source, destination)
    single = (
        source_fault(source) if source is not None else None,
        destination_fault(destination) if destination is not None else None,
    )
    return tuple(fault for fault in single if fault is not None)


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


def _may(path: str, mode: int) -> bool:
    """Whether this process may, by all that it was given: access(2) for the real user leaves out
    capabilities, such as that of a service which reads everybody's files."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


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
    if not _may(source, needed):
        return [FieldFault("source", "It cannot be read: permission denied.")]
    if not os.path.isdir(source) and not os.path.isfile(source):
        return [FieldFault("source", "It is neither a folder nor a regular file.")]
    return []


def _overlap_faults(source: str, destination: str) -> list[FieldFault]:
    if is_remote(source) or is_remote(destination):
        return []
    return overlap_faults(os.path.realpath(source), os.path.realpath(destination))


def overlap_faults(real_source: str, real_destination: str) -> list[FieldFault]:
    """Return whether one of two real paths lies within the other. Looks at the texts alone."""
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
    existing = existing_part(destination)
    if not os.path.isdir(existing):
        what = "It is" if existing == destination else f"{existing} is"
        return [FieldFault("destination", f"{what} not a folder.")]
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        return [FieldFault("destination", f"{existing} lies on a disk that is mounted read-only.")]
    if not _may(existing, os.W_OK | os.X_OK):
        return [FieldFault("destination", f"Nothing can be written to {existing}.")]
    return []


def _empty_faults(spec: RunSpec) -> list[FieldFault]:
    deletes = spec.delete_extraneous or spec.source_deletion is not None
    if not deletes or spec.only_failed_of is not None or spec.source_is_remote:
        return []
    if has_any_file(spec.source):
        return []
    if spec.source_mount and not spec.delete_extraneous:
        return []  # It is mounted: the last run has deleted all of it.
    return [FieldFault("source", _EMPTY if spec.delete_extraneous else _EMPTY_TO_DELETE)]


def _inode_faults(spec: RunSpec) -> list[FieldFault]:
    if spec.destination_is_remote:
        return []
    fault = inode_fault(spec.destination)
    return [FieldFault("destination", fault)] if fault else []


def _contains(outer: str, inner: str) -> bool:
    return inner.startswith(outer.rstrip("/") + "/")
