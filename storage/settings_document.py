"""`settings.yaml` as a document, there and back; nothing here reads or writes a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import InvalidDocument
from models.setting_facts import SAVED, checked, plain
from models.settings import SavedSettings
from storage import yaml_documents
from storage.job_documents import FORMAT, check_whole, told

SETTINGS_NAME = "settings.yaml"
_LAST_KEY = "updated_at"
_OF_THE_FILE = frozenset({"format", _LAST_KEY})


@dataclass(frozen=True)
class SettingsDocument:
    """What stands in the file: `saved.model_fields_set` are the settings that it names."""

    saved: SavedSettings = field(default_factory=SavedSettings)
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """Keys without a meaning in this version: they are kept."""

    def says_the_same(self, other: SettingsDocument) -> bool:
        """Whether both name the same settings with the same values."""
        ours, theirs = (one.saved.model_dump(exclude_unset=True) for one in (self, other))
        return ours == theirs and self.unknown == other.unknown


def settings_from(content: bytes) -> SettingsDocument:
    """Return what stands in the file. Raises InvalidDocument with every fault and its line.

    What the program wrote begins with `format` and ends with `updated_at`; a person need not know
    of either.
    """
    document = yaml_documents.parse(content, SETTINGS_NAME)
    if "format" in document:
        check_whole(document, SETTINGS_NAME)
    known = {name: value for name, value in document.items() if name in SAVED}
    saved, faults = checked(known)
    if faults:
        raise InvalidDocument(SETTINGS_NAME, told(content, faults))
    # Numbers of a newer version stay numbers.
    values = yaml_documents.parse(content, SETTINGS_NAME, numbers=True)
    meaningless = values.keys() - SAVED.keys() - _OF_THE_FILE
    return SettingsDocument(saved, {key: values[key] for key in values if key in meaningless})


def surely_leaves_out(content: bytes, name: str) -> bool:
    """Whether a file is text that was not cut off, and does not name a setting anywhere."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    is_whole = "format" not in text or _LAST_KEY in text
    return is_whole and "\0" not in text and bool(text.strip()) and name not in text


def settings_content(document: SettingsDocument, *, updated_at: str) -> bytes:
    """Return what stands in the file: the settings it names, in the order of the table."""
    saved = document.saved
    values = {name: plain(getattr(saved, name)) for name in SAVED if name in saved.model_fields_set}
    return yaml_documents.render(
        {"format": FORMAT, **values, **document.unknown, "updated_at": updated_at}
    )
