"""The folder browser: what a folder of the server holds, for the fields of the job form."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fastapi_app import amounts
from fastapi_app.amounts import Amount
from models.location import control_character

MAX_ENTRIES = 500
"""More are not listed; the browser says so and the path can be typed."""


@dataclass(frozen=True)
class FolderEntry:
    """A folder, or a file where a file can be chosen."""

    name: str
    path: str
    is_folder: bool
    size: Amount | None


@dataclass(frozen=True)
class FolderView:
    """One folder for `partials/_folder_browser.html`."""

    field: str
    path: str
    parent: str | None
    entries: tuple[FolderEntry, ...]
    error: str | None = None
    truncated: bool = False


def view_folder(field: str, typed: str) -> FolderView:
    """Return the folder at a typed path, or the nearest one above it. Blocking."""
    path = _nearest_folder(typed)
    parent = None if path == "/" else os.path.dirname(path)
    try:
        found = _listing(path, files_too=field == "source")
    except OSError as error:
        return FolderView(field, path, parent, (), error=f"Cannot be read: {error.strerror}.")
    entries = tuple(_entry(entry) for entry in found[:MAX_ENTRIES])
    return FolderView(field, path, parent, entries, truncated=len(found) > MAX_ENTRIES)


def _nearest_folder(typed: str) -> str:
    path = os.path.normpath(typed) if typed.startswith("/") and "\0" not in typed else "/"
    path = "/" + path.lstrip("/")
    while path != "/" and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _listing(path: str, *, files_too: bool) -> list[os.DirEntry[str]]:
    listing = []
    with os.scandir(path) as found:
        for entry in found:
            # Names that no definition can hold are not offered.
            if (files_too or entry.is_dir()) and control_character(entry.name) is None:
                listing.append(entry)
            if len(listing) > MAX_ENTRIES * 20:
                break
    return sorted(listing, key=lambda entry: (not entry.is_dir(), entry.name.casefold()))


def _entry(entry: os.DirEntry[str]) -> FolderEntry:
    is_folder = entry.is_dir()
    try:
        size = None if is_folder else amounts.size(entry.stat().st_size)
    except OSError:
        size = None  # A link to nothing, or a file that went meanwhile: listed without a size.
    return FolderEntry(entry.name, entry.path, is_folder, size)
