"""The settings as the page shows them and as JSON: the table of models/settings.py with the values
that are in force, who decides each, and what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import FieldFault
from models.setting_facts import AT_START, SAVED, SettingFacts, plain, shown
from models.settings import SavedSettings, Settings
from storage.settings_store import SettingsStore

_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
"""A number as the page itself writes it."""
_AT_ONCE = "at once"
_INPUT_MODES = {"whole": "numeric", "number": "decimal"}


class ConflictRow(NamedTuple):
    """One setting that somebody else changed meanwhile: their value and the one typed here."""

    label: str
    theirs: str
    yours: str


@dataclass(frozen=True)
class SettingField:
    """One setting on the page."""

    facts: SettingFacts
    text: str
    """The value in its field: as it was typed, or as it is in force."""
    variable: str | None = None
    """The environment variable that decides it; None when it can be changed here."""
    can_reset: bool = False
    note: str | None = None
    is_first: bool = False
    """Whether the focus belongs here."""

    @property
    def name(self) -> str:
        """Its name in the file, in the API and in the form."""
        return self.facts.name

    @property
    def input_mode(self) -> str:
        """Which keyboard a phone shows."""
        return _INPUT_MODES.get(self.facts.kind, "text")

    @property
    def value_words(self) -> str:
        """The value for who cannot change it here."""
        facts = self.facts
        if facts.kind == "switch":
            return "yes" if self.text == "on" else "no"
        return f"{self.text} {facts.unit}".strip() if self.text else "–"

    @property
    def default_words(self) -> str:
        """The default for people."""
        return default_words(self.facts)

    @property
    def about(self) -> tuple[str, ...]:
        """Default, bounds, and when a change is in effect."""
        facts = self.facts
        parts = (f"Default {self.default_words}", facts.bounds, f"in effect {facts.effect}")
        return tuple(part for part in parts if part)


@dataclass(frozen=True)
class SettingsForm:
    """What `partials/_settings_form.html` shows."""

    sections: tuple[tuple[str, tuple[SettingField, ...]], ...]
    fixed: tuple[SettingField, ...]
    version: str
    damage: str | None
    is_lost: bool
    unknown: tuple[str, ...]
    errors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conflict: tuple[ConflictRow, ...] | None = None
    """Set when somebody else changed the settings meanwhile."""

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that can be changed here."""
        return tuple(one.name for _, fields in self.sections for one in fields if not one.variable)

    def told(self, name: str, message: str) -> str:
        """Return a fault as the summary has it, with what it is about."""
        return f"{SAVED[name].title if name in SAVED else name}: {message}"


def default_words(facts: SettingFacts) -> str:
    """Return a default for people."""
    if facts.kind == "switch":
        return "on" if facts.default else "off"
    return shown(facts.default) or "none"


def text_of(value: object) -> str:
    """Return a value as a field has it."""
    if value is None or isinstance(value, bool):
        return "on" if value else ""
    return str(plain(value))


def typed_texts(posted: Mapping[str, Any], store: SettingsStore) -> dict[str, str]:
    """Return what was typed into the fields; what was not posted has the value in force.

    A box that is not ticked posts nothing: that it was in the form is told by `<name>_shown`.
    """
    texts = {}
    for name, facts in SAVED.items():
        present = text_of(getattr(store.in_force, name))
        if name in store.decided:
            texts[name] = present
        elif facts.kind == "switch" and f"{name}_shown" in posted:
            texts[name] = "on" if posted.get(name) == "on" else ""
        else:
            texts[name] = str(posted.get(name, present))
    return texts


def values_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that typed texts mean."""
    values: dict[str, Any] = {}
    for name, text in texts.items():
        kind = SAVED[name].kind
        if kind == "switch":
            values[name] = text == "on"
        elif kind != "text" and _GROUPED.fullmatch(text.strip()):
            values[name] = text.replace(",", "")
        else:
            values[name] = text
    return values


def settings_form(
    store: SettingsStore,
    there: Mapping[str, bool | None],
    *,
    texts: Mapping[str, str] | None = None,
    focus: str | None = None,
    errors: Iterable[FieldFault] = (),
    conflict: tuple[ConflictRow, ...] | None = None,
) -> SettingsForm:
    """Return the form with what was typed, or with the settings in force. `there`
    tells of what `named_paths` returns whether it is there now; None of what does not answer."""
    now = store.in_force
    fields = [_field(store, now, facts, texts, focus, there) for facts in SAVED.values()]
    told: dict[str, tuple[str, ...]] = {}
    for fault in errors:
        told[fault.field] = (*told.get(fault.field, ()), fault.message)
    return SettingsForm(
        sections=tuple(
            (title, tuple(group)) for title, group in groupby(fields, lambda one: one.facts.section)
        ),
        fixed=tuple(_fixed(store, now, facts) for facts in AT_START.values()),
        version=store.version,
        damage=store.damage,
        is_lost=store.is_lost,
        unknown=store.unknown,
        errors=told,
        conflict=conflict,
    )


def _field(
    store: SettingsStore,
    now: Settings,
    facts: SettingFacts,
    texts: Mapping[str, str] | None,
    focus: str | None,
    there: Mapping[str, bool | None],
) -> SettingField:
    value, name = getattr(now, facts.name), facts.name
    is_decided = name in store.decided
    return SettingField(
        facts,
        texts[name] if texts is not None else text_of(value),
        variable=facts.variable if is_decided else None,
        can_reset=not is_decided and value != facts.default,
        note=_note(name, value, now, there),
        is_first=name == focus,
    )


def named_paths(store: SettingsStore) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the folders and the files that settings name."""
    now = store.in_force
    values = (getattr(now, name) for name in SAVED)
    return now.root_folders, tuple(str(value) for value in values if isinstance(value, Path))


def _note(name: str, value: object, now: Settings, there: Mapping[str, bool | None]) -> str | None:
    if name == "allowed_roots":
        gone = [root for root in now.root_folders if there[root] is False]
        silent = [root for root in now.root_folders if there[root] is None]
        notes = [f"Not there now: {', '.join(gone)}."] if gone else []
        notes += [f"No answer from {', '.join(silent)}."] if silent else []
        return " ".join(notes) or None
    if not isinstance(value, Path) or there[str(value)]:
        return None
    is_gone = there[str(value)] is False
    return "There is no such file now." if is_gone else "This file cannot be looked at."


def _fixed(store: SettingsStore, now: Settings, facts: SettingFacts) -> SettingField:
    value = getattr(now, facts.name)
    if facts.name == "data_dir":
        value = store.directory
    return SettingField(facts, text_of(value), variable=facts.variable)


def conflict_rows(store: SettingsStore, texts: Mapping[str, str]) -> tuple[ConflictRow, ...]:
    """Return the settings in which what is in force and what was typed differ."""
    rows = []
    for name, facts in SAVED.items():
        theirs = text_of(getattr(store.in_force, name))
        if theirs != texts[name].strip():
            rows.append(ConflictRow(facts.title, _words(facts, theirs), _words(facts, texts[name])))
    return tuple(rows)


def _words(facts: SettingFacts, text: str) -> str:
    return text or ("off" if facts.kind == "switch" else "none")


def changes_in_words(before: SavedSettings, after: SavedSettings) -> str:
    """Return what a save has changed, and from when on where that is not at once."""
    parts = []
    for name, facts in SAVED.items():
        value = getattr(after, name)
        if value != getattr(before, name):
            words = default_words(facts) if value == facts.default else shown(value)
            if facts.kind == "switch":
                words = "on" if value else "off"
            later = "" if facts.effect == _AT_ONCE else f", {facts.effect}"
            parts.append(f"{facts.title}: {words} {facts.unit}".rstrip() + later)
    return f"Saved. {'; '.join(parts)}." if parts else "Saved. Nothing was different."


def settings_document(store: SettingsStore) -> dict[str, Any]:
    """Return the settings as the API's JSON (contracts.md)."""
    now = store.in_force
    return {
        "version": store.version,
        "values": {name: plain(getattr(now, name)) for name in SAVED},
        "damage": store.damage,
        "unknown_keys": list(store.unknown),
        "settings": [
            _setting(store, now, facts) for facts in (*SAVED.values(), *AT_START.values())
        ],
    }


def _setting(store: SettingsStore, now: Settings, facts: SettingFacts) -> dict[str, Any]:
    source = "default"
    if facts.name in store.decided:
        source = "environment"
    elif facts.name in store.saved.model_fields_set:
        source = "file"
    value = store.directory if facts.name == "data_dir" else getattr(now, facts.name)
    return {
        "name": facts.name,
        "title": facts.title,
        "description": facts.description,
        "section": facts.section,
        "kind": facts.kind,
        "unit": facts.unit or None,
        "value": plain(value),
        "default": plain(facts.default),
        "minimum": facts.minimum,
        "minimum_is_excluded": facts.excludes_minimum,
        "maximum": facts.maximum,
        "source": source,
        "variable": facts.variable,
        "can_be_saved": facts.can_be_saved and facts.name not in store.decided,
        "in_effect": facts.effect or "after a restart",
    }
