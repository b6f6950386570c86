"""Whether a job definition can be accepted: its text, and its folders on this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.allowed_roots import EVERYWHERE, Roots, argument_faults, root_faults, silence_words
from core.patience import ask
from core.preflight import destination_fault, mount_faults, overlap_faults, source_fault
from core.questions import Questions, reach
from core.real_paths import Touch
from models.errors import FieldFault, InvalidDefinition, NoAnswer
from models.job import JobDefinition, faults_of
from models.remote import is_remote


class _Seen(NamedTuple):
    """What was found where a location leads; `real` is None where nothing was looked at."""

    outside: list[FieldFault]
    here: list[FieldFault]
    mounts: list[FieldFault]
    real: str | None = None


_NOTHING = _Seen([], [], [])


async def check_definition(
    definition: Mapping[str, Any],
    *,
    roots: Roots,
    questions: Questions | None = None,
    data_dir: str | None = None,
) -> JobDefinition:
    """Return the definition, validated here and on this machine, within the allowed folders.

    Raises InvalidDefinition with every fault at once: those of the text and those of the folders,
    of which one that does not answer is a fault as well.
    """
    valid: JobDefinition | None = None
    faults: tuple[FieldFault, ...] = ()
    try:
        valid = JobDefinition.model_validate(definition)
    except ValidationError as error:
        faults = faults_of(error)
    at_fault = {fault.field for fault in faults}
    source, destination = definition.get("source"), definition.get("destination")
    source = source if isinstance(source, str) and "source" not in at_fault else None
    is_usable = isinstance(destination, str) and "destination" not in at_fault
    destination = destination if is_usable else None
    room = questions or Questions()
    of_source, of_destination = await asyncio.gather(
        _look(room, "source", source, valid, roots, data_dir),
        _look(room, "destination", destination, valid, roots, data_dir),
    )
    faults += (
        *of_source.outside,
        *of_destination.outside,
        *argument_faults(source, _extra_args(definition), roots),
        *of_source.here,
        *_overlap(of_source, of_destination),
        *of_destination.here,
        *of_source.mounts,
        *of_destination.mounts,
    )
    if valid is None or faults:
        raise InvalidDefinition(faults)
    return valid


def job_root_faults(
    job: JobDefinition,
    roots: Roots,
    questions: Questions | None = None,
    *,
    data_dir: str | None = None,
) -> list[FieldFault]:
    """Return what of a definition leads out of the allowed folders. Blocking, with patience; raises
    NoAnswer."""
    if roots == EVERYWHERE:
        return []
    room = questions or Questions()
    look = partial(root_faults, data_dir=data_dir)
    source = room.ask(partial(look, job.source, None, job.options.extra_args, roots))
    return source + room.ask(partial(look, None, job.destination, (), roots))


def told_root_faults(
    job: JobDefinition, roots: Roots, questions: Questions, data_dir: str
) -> list[FieldFault]:
    """Return the same, with that one of its folders does not answer as a fault. Blocking."""
    try:
        return job_root_faults(job, roots, questions, data_dir=data_dir)
    except NoAnswer as error:
        return [FieldFault("source or destination", str(error))]


async def _look(
    questions: Questions,
    field: str,
    location: str | None,
    valid: JobDefinition | None,
    roots: Roots,
    data_dir: str | None,
) -> _Seen:
    if location is None:
        return _NOTHING
    try:
        return await ask(questions, partial(_seen, field, location, valid, roots, data_dir))
    except NoAnswer as error:
        return _NOTHING._replace(here=[FieldFault(field, silence_words(error, roots))])


def _seen(
    field: str,
    location: str,
    valid: JobDefinition | None,
    roots: Roots,
    data_dir: str | None,
    touch: Touch,
) -> _Seen:
    source, destination = (location, None) if field == "source" else (None, location)
    outside = root_faults(source, destination, (), roots, touch, data_dir=data_dir)
    if outside:
        return _NOTHING._replace(outside=outside)
    if is_remote(location):
        return _NOTHING
    mounts = []
    if valid is not None:
        options = valid.options
        expected = options.source_mount if source is not None else options.destination_mount
        if expected:
            reach(expected, touch)
        reach(location, touch)
        mounts = mount_faults(source, destination, options)
    reach(location, touch)
    fault = source_fault(location) if source is not None else destination_fault(location)
    here = [fault] if fault is not None else []
    return _Seen([], here, mounts, os.path.realpath(location))


def _overlap(source: _Seen, destination: _Seen) -> list[FieldFault]:
    if source.real is None or destination.real is None:
        return []
    return overlap_faults(source.real, destination.real)


def _extra_args(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the extra arguments of what may be no valid definition."""
    options = definition.get("options")
    found = options.get("extra_args") if isinstance(options, Mapping) else None
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
