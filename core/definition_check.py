"""Whether a job definition can be accepted: its text, and its folders on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.allowed_roots import Roots, root_faults
from core.preflight import faults_of_locations, mount_faults, within
from models.errors import FieldFault, InvalidDefinition
from models.job import JobDefinition, faults_of


async def check_definition(definition: Mapping[str, Any], *, roots: Roots) -> JobDefinition:
    """Return the definition, validated here and on this machine, within the allowed folders.

    Raises InvalidDefinition with every fault at once: those of the text and those of the folders.
    """
    valid: JobDefinition | None = None
    faults: tuple[FieldFault, ...] = ()
    try:
        valid = JobDefinition.model_validate(definition)
    except ValidationError as error:
        faults = faults_of(error)
    at_fault = {fault.field for fault in faults}
    source, destination = definition.get("source"), definition.get("destination")
    good_source = isinstance(source, str) and "source" not in at_fault
    good_destination = isinstance(destination, str) and "destination" not in at_fault
    faults += await asyncio.to_thread(
        _faults_here,
        source if good_source else None,
        destination if good_destination else None,
        valid,
        _extra_args(definition),
        roots,
    )
    if valid is None or faults:
        raise InvalidDefinition(faults)
    return valid


def job_root_faults(job: JobDefinition, roots: Roots) -> list[FieldFault]:
    """Return what of a definition leads out of the allowed folders. Blocking."""
    return root_faults(job.source, job.destination, job.options.extra_args, roots)


def _faults_here(
    source: Any,
    destination: Any,
    valid: JobDefinition | None,
    extra_args: tuple[str, ...],
    roots: Roots,
) -> tuple[FieldFault, ...]:
    outside = root_faults(source, destination, extra_args, roots)
    source, destination = within(source, destination, outside)
    here = faults_of_locations(source, destination)
    mounts = mount_faults(source, destination, valid.options) if valid is not None else []
    return (*outside, *here, *mounts)


def _extra_args(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the extra arguments of what may be no valid definition."""
    options = definition.get("options")
    found = options.get("extra_args") if isinstance(options, Mapping) else None
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
