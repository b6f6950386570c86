"""The allowed folders, for commands that work on files. Apart from the parts of the server, which
would double the time that every command takes to start."""

from __future__ import annotations

from core.allowed_roots import EVERYWHERE, Roots
from models.settings import Settings
from storage.settings_file import SettingsFile

_NAME = "allowed_roots"


def roots_on_disk(given: Settings) -> Roots:
    """Return the allowed folders for who works on the files alone, beside a server or without one.
    Blocking."""
    if _NAME in given.model_fields_set:
        return given.root_folders
    data_dir = given.data_dir.absolute()
    if not data_dir.is_dir():
        return EVERYWHERE  # Nothing was saved in it.
    try:
        found = SettingsFile(data_dir).look()
    except OSError:
        return None
    if found.document is not None:
        return found.document.saved.root_folders
    return EVERYWHERE if found.surely_leaves_out(_NAME) else None
