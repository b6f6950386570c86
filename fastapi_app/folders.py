"""The folder browser: what a folder of the server holds, for the fields of the job form.

It tells names within the allowed folders, and nothing else of what has them. Files are listed where
one can be chosen: as a source.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.allowed_roots import (
    EVERYWHERE,
    Roots,
    is_allowed,
    is_open_allowed,
    names_of,
    outside_words,
)
from models.location import control_character

MAX_ENTRIES = 500
"""More are not listed; the browser says so and the path can be typed."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class FolderEntry:
    """A folder, or a file where a file can be chosen."""

    name: str
    path: str
    is_folder: bool = True


@dataclass(frozen=True)
class FolderView:
    """One folder for `partials/_folder_browser.html`."""

    field: str
    path: str
    """Empty for the list of the allowed folders."""
    parent: str | None
    entries: tuple[FolderEntry, ...]
    error: str | None = None
    truncated: bool = False


def view_folder(field: str, typed: str, roots: Roots = EVERYWHERE) -> FolderView:
    """Return the folder at a typed path, or the nearest one above it; the allowed folders where
    that is none of them. Blocking."""
    path = _nearest_folder(typed)
    if not is_allowed(path, roots):
        return _view_roots(field, roots)
    try:
        descriptor = os.open(path, _FOLDER)
    except OSError as error:
        return FolderView(field, path, _parent_of(path, roots), (), error=_told(error))
    try:
        # What is open stays what it is, whatever becomes of the path meanwhile.
        if not is_open_allowed(descriptor, roots):
            return _view_roots(field, roots)
        found = _listing(descriptor, path, roots, files_too=field == "source")
    except OSError as error:
        return FolderView(field, path, _parent_of(path, roots), (), error=_told(error))
    finally:
        os.close(descriptor)
    entries = tuple(
        FolderEntry(name, os.path.join(path, name), is_folder)
        for is_folder, name in found[:MAX_ENTRIES]
    )
    parent = _parent_of(path, roots)
    return FolderView(field, path, parent, entries, truncated=len(found) > MAX_ENTRIES)


def _view_roots(field: str, roots: Roots) -> FolderView:
    if roots is None:
        return FolderView(field, "", None, (), error=outside_words(roots))
    there = tuple(FolderEntry(root, root) for root in roots if os.path.isdir(root))
    error = None if there else f"None of the allowed folders is there now: {names_of(roots)}."
    return FolderView(field, "", None, there, error=error)


def _nearest_folder(typed: str) -> str:
    path = os.path.normpath(typed) if typed.startswith("/") and "\0" not in typed else "/"
    path = "/" + path.lstrip("/")
    while path != "/" and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _parent_of(path: str, roots: Roots) -> str | None:
    if path == "/":
        return None
    parent = os.path.dirname(path)
    return parent if is_allowed(parent, roots) else ""


def _listing(
    descriptor: int, path: str, roots: Roots, *, files_too: bool
) -> list[tuple[bool, str]]:
    listing = []
    with os.scandir(descriptor) as found:
        for entry in found:
            # Names that no definition can hold are not offered, nor links that lead out.
            is_folder = _is_folder(entry)
            if (
                (is_folder or files_too)
                and control_character(entry.name) is None
                and (not entry.is_symlink() or is_allowed(os.path.join(path, entry.name), roots))
            ):
                listing.append((is_folder, entry.name))
            if len(listing) > MAX_ENTRIES * 20:
                break
    return sorted(listing, key=lambda found: (not found[0], found[1].casefold()))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # A link in a circle is one more name that leads nowhere.


def _told(error: OSError) -> str:
    return f"Cannot be read: {error.strerror}."
