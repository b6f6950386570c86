"""Whether a job definition can be accepted: its text, and its folders on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.preflight import destination_fault, location_faults, mount_faults, source_fault
from models.errors import FieldFault, InvalidDefinition
from models.job import JobDefinition, faults_of


async def check_definition(definition: Mapping[str, Any]) -> JobDefinition:
    """Return the definition, validated here and on this machine.

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
        _faults_of_locations,
        source if good_source else None,
        destination if good_destination else None,
    )
    if valid is not None:
        faults += tuple(
            await asyncio.to_thread(mount_faults, valid.source, valid.destination, valid.options)
        )
    if valid is None or faults:
        raise InvalidDefinition(faults)
    return valid


def _faults_of_locations(source: Any, destination: Any) -> tuple[FieldFault, ...]:
    if source is not None and destination is not None:
        return location_faults(source, destination)
    single = (
        source_fault(source) if source is not None else None,
        destination_fault(destination) if destination is not None else None,
    )
    return tuple(fault for fault in single if fault is not None)
