"""What there is to tell of each setting: the table in models/settings.py, for those who show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from models.errors import FieldFault
from models.job_part import quoted
from models.settings import PREFIX, SavedSettings, Settings

Kind = Literal["whole", "number", "switch", "text"]
_KINDS: dict[object, Kind] = {bool: "switch", int: "whole", float: "number"}
MAX_FAULTS = 50


@dataclass(frozen=True)
class SettingFacts:
    """One setting: what it means, which values it may have, and when a new one is in effect."""

    name: str
    title: str
    description: str
    section: str
    kind: Kind
    unit: str
    default: Any
    minimum: float | None
    """The smallest value; `excludes_minimum` tells whether it must be more."""
    excludes_minimum: bool
    maximum: float | None
    effect: str
    """When a saved value is in effect; empty where a restart is needed."""

    @property
    def variable(self) -> str:
        """The environment variable that goes before what is saved."""
        return f"{PREFIX}{self.name.upper()}"

    @property
    def can_be_saved(self) -> bool:
        """Whether it can be changed while the dashboard runs."""
        return self.name in SavedSettings.model_fields

    @property
    def bounds(self) -> str:
        """The values that a number may have, for people; empty for other kinds."""
        if self.minimum is None or self.maximum is None:
            return ""
        least = _grouped(self.minimum)
        start = f"above {least} and up to" if self.excludes_minimum else f"{least} to"
        return f"{start} {_grouped(self.maximum)}"

    @property
    def meaning(self) -> str:
        """The description with the bounds, as sentences."""
        if not self.bounds:
            return self.description
        bounds = self.bounds if self.excludes_minimum else f"from {self.bounds}"
        values = f"{bounds} {self.unit}".rstrip()
        return f"{self.description} {values[0].upper()}{values[1:]}."

    @property
    def wanted(self) -> str:
        """What is to be written, as a sentence."""
        if self.kind == "switch":
            return "This must be true or false."
        if self.kind == "text":
            return "This must be text."
        what = "a whole number" if self.kind == "whole" else "a number"
        return f"Write {what} {self.bounds if self.excludes_minimum else f'from {self.bounds}'}."


def shown(value: object) -> str:
    """Return a value as it is written: numbers without needless decimals, nothing for what is
    unset."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(plain(value))


def _grouped(number: float) -> str:
    return f"{plain(number):,}"


def _facts(name: str, field: FieldInfo) -> SettingFacts:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    bounds = {key: bound for one in field.metadata for key, bound in _bounds(one)}
    return SettingFacts(
        name=name,
        title=field.title or name,
        description=field.description or "",
        section=str(extra["section"]),
        kind=_KINDS.get(field.annotation, "text"),
        unit=str(extra["unit"]),
        default=field.default,
        minimum=bounds.get("ge", bounds.get("gt")),
        excludes_minimum="gt" in bounds,
        maximum=bounds.get("le"),
        effect=str(extra["effect"]),
    )


def _bounds(metadata: object) -> Iterable[tuple[str, float]]:
    for key in ("ge", "gt", "le"):
        bound = getattr(metadata, key, None)
        if bound is not None:
            yield key, bound


SAVED: dict[str, SettingFacts] = {
    name: _facts(name, field) for name, field in SavedSettings.model_fields.items()
}
"""What can be saved, in the order in which it is shown."""
AT_START: dict[str, SettingFacts] = {
    name: _facts(name, field) for name, field in Settings.model_fields.items() if name not in SAVED
}
"""What only the environment decides."""


def plain(value: object) -> Any:
    """Return a value as JSON and YAML have it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def checked(values: Mapping[str, Any]) -> tuple[SavedSettings, tuple[FieldFault, ...]]:
    """Return what is valid among settings that are to be saved, and every fault at once, one for
    each setting, in words for a person."""
    known = {name: value for name, value in values.items() if name in SAVED}
    unknown = [name for name in values if name not in SAVED][:MAX_FAULTS]
    faults = [FieldFault(quoted(name)[1:-1], "There is no such setting.") for name in unknown]
    try:
        return SavedSettings.model_validate(known), tuple(faults)
    except ValidationError as error:
        wrong = [_fault(details) for details in error.errors(include_url=False)]
    good = {name: known[name] for name in known.keys() - {fault.field for fault in wrong}}
    return SavedSettings.model_validate(good), (*wrong, *faults)


def _fault(details: ErrorDetails) -> FieldFault:
    facts = SAVED[str(details["loc"][0])]
    raised = details.get("ctx", {}).get("error")
    has_words = isinstance(raised, ValueError) and facts.kind == "text"
    return FieldFault(facts.name, str(raised) if has_words else facts.wanted)
