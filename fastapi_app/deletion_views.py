"""What the pages say of source deletion: what a job will do, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from models.job import JobDefinition, faults_of
from models.run_spec import KEPT_FOLDER, TRASH_FOLDER

_PROOF = (
    "A source is deleted only after its copy was written to the disk, read back from there and "
    "found to be the same, byte by byte. Without that proof it stays."
)
_CHANGED = "What was changed since, or is open for writing, stays and is named with its reason."
_KEPT = (
    f"What a later run replaces at the destination is kept there in {KEPT_FOLDER}: it may be the "
    "only copy of a source that is gone."
)


def deletion_in_words(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return, as sentences, what a job will do with its sources.

    Of `definition`, a job as JSON (contracts.md), `source_deletion` alone is looked at; what is
    missing there or not understood counts as its default, so that a half-typed form has words too.
    """
    chosen = definition.get("source_deletion")
    deletion: Mapping[str, Any] = chosen if isinstance(chosen, Mapping) else {}
    if deletion.get("enabled") is not True:
        return ("The sources stay as they are.",)
    return (
        _PROOF,
        _mode_in_words(deletion.get("mode")),
        _CHANGED,
        _place_in_words(_days(deletion.get("trash_days"))),
        _folders_in_words(deletion.get("delete_empty_directories") is True),
        _KEPT,
    )


def deletion_needs(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return, as sentences, why a half-typed job would not be allowed to delete its sources, by the
    rules of the definition itself; whatever else is wrong with it does not matter here."""
    try:
        JobDefinition.model_validate(definition)
    except ValidationError as error:
        return tuple(
            fault.message for fault in faults_of(error) if fault.field == "source_deletion.enabled"
        )
    return ()


def _mode_in_words(mode: object) -> str:
    if mode == "per_file":
        return (
            "Each file goes by its own proof: those that failed stay, the others are deleted all "
            "the same."
        )
    return "All or nothing: when a single file fails, differs or has no proof, everything stays."


def _place_in_words(days: int | None) -> str:
    if days is None:
        return "Deleted sources are gone at once; their copies are all that is left."
    day_or_days = "1 day" if days == 1 else f"{days:,} days"
    return (
        f"Deleted sources are moved into {TRASH_FOLDER} in the source and can be put back from "
        f"there; after {day_or_days} they are removed for good."
    )


def _folders_in_words(delete_empty: bool) -> str:
    if delete_empty:
        return "Folders that become empty by this are removed; the source’s own folder stays."
    return "Folders stay, also those that become empty by this."


def _days(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value).strip()
    return (
        int(text) if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) else None
    )
