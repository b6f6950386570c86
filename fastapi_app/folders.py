"""The folder browser: what a folder of the server holds, for the fields of the job form.

It tells names within the allowed folders, and nothing else of what has them. Files are listed where
one can be chosen: as a source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.allowed_roots import EVERYWHERE, Fence, Roots, names_of, outside_words
from core.mounts import Mounts
from core.questions import reach
from core.real_paths import Touch, real_path, untold
from fastapi_app.folder_links import LinkJudge
from models.errors import NoAnswer
from models.location import control_character

MAX_ENTRIES = 500
"""More are not listed; the browser says so, and lists those that begin with what was typed."""
MOST_LOOKED_AT = 100_000
"""So many names of a folder are read."""
MOST_LINKS = 1_000
"""So many links of a folder are followed."""
_A_STEP = 1_000
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
    beginning: str = ""
    """What the names begin with, when the others of a large folder are left out."""


@dataclass(frozen=True)
class _Names:
    """The names in a folder, as the folder itself tells what they are."""

    folders: list[str]
    links: list[str]
    files: list[str]
    is_all: bool

    def beginning_with(self, text: str) -> _Names:
        """Return those that begin so, whatever their case; all of them when none does."""
        folders, links, files = (
            [name for name in names if name.casefold().startswith(text.casefold())]
            for names in (self.folders, self.links, self.files)
        )
        found = _Names(folders, links, files, self.is_all)
        return found if len(found) else self

    def __len__(self) -> int:
        return len(self.folders) + len(self.links) + len(self.files)


def view_folder(field: str, typed: str, roots: Roots = EVERYWHERE) -> FolderView:
    """Return the folder at a typed path, or the nearest one above it; the allowed folders where
    that is none of them. Blocking, however long a disk takes."""
    there = {root: os.path.isdir(root) for root in roots or ()}
    return folder_within(field, typed, roots) or view_roots(field, roots, there)


def folder_within(
    field: str, typed: str, roots: Roots = EVERYWHERE, touch: Touch = untold
) -> FolderView | None:
    """Return the folder at a typed path, or the nearest one above it, or None where that lies in
    no allowed folder. `touch` is told of what is looked at. Blocking; raises NoAnswer."""
    fence = Fence(roots, touch)
    path, beginning = _nearest_folder(typed, touch)
    if not _is_within(fence, path, touch):
        return None
    parent = _parent_of(path, fence, touch)
    try:
        descriptor = os.open(path, _FOLDER)
    except OSError as error:
        return FolderView(field, path, parent, (), error=_told(error))
    try:
        # What is open stays what it is, whatever becomes of the path meanwhile.
        if not _is_open_within(fence, descriptor):
            return None
        top = os.readlink(f"/proc/self/fd/{descriptor}")
        mounts = Mounts()
        names = _names_in(descriptor, top, mounts, touch, files_too=field == "source")
        is_cut = beginning != "" and len(names) > MAX_ENTRIES
        shown = names.beginning_with(beginning) if is_cut else names
        judge = LinkJudge(descriptor, top, fence, mounts)
        entries, is_all = _entries(path, shown, judge, files_too=field == "source")
    except OSError as error:
        return FolderView(field, path, parent, (), error=_told(error))
    finally:
        os.close(descriptor)
    truncated = not is_all or not names.is_all
    cut_by = beginning if shown is not names else ""
    return FolderView(field, path, parent, entries, truncated=truncated, beginning=cut_by)


def silent_folder(field: str, typed: str, why: str, *, has_roots: bool) -> FolderView:
    """Return what is shown of a folder whose disk does not answer: the way up, as it is written.
    Where there are allowed folders, to the list of them: nobody knows what the path lies in."""
    path = _normal(typed)
    parent = "" if has_roots else None if path == "/" else os.path.dirname(path)
    return FolderView(field, path, parent, (), error=why)


def view_roots(field: str, roots: Roots, there: Mapping[str, bool | None]) -> FolderView:
    """Return the list of the allowed folders, of which it is known whether they are there: None of
    one that does not answer."""
    if roots is None:
        return FolderView(field, "", None, (), error=outside_words(roots))
    entries = tuple(FolderEntry(root, root) for root in roots if there[root])
    silent = tuple(root for root in roots if there[root] is None)
    error = None
    if silent:
        error = f"No answer from {names_of(silent)}."
    elif not entries:
        error = f"None of the allowed folders is there now: {names_of(roots)}."
    return FolderView(field, "", None, entries, error=error)


def _nearest_folder(typed: str, touch: Touch) -> tuple[str, str]:
    """Return the nearest folder, and the name in it that was typed and is not there."""
    path, missing = _normal(typed), ""
    while path != "/":
        try:
            real_path(path, touch)
            if os.path.isdir(path):
                break
        except OSError:
            pass
        path, missing = os.path.dirname(path), os.path.basename(path)
    return path, missing


def _normal(typed: str) -> str:
    path = os.path.normpath(typed) if typed.startswith("/") and "\0" not in typed else "/"
    return "/" + path.lstrip("/")


def _parent_of(path: str, fence: Fence, touch: Touch) -> str | None:
    if path == "/":
        return None
    parent = os.path.dirname(path)
    return parent if _is_within(fence, parent, touch) else ""


def _is_within(fence: Fence, path: str, touch: Touch) -> bool:
    """Whether a folder may be seen: not where that depends on an allowed folder that does not
    answer. Raises NoAnswer where it does not answer itself."""
    reach(path, touch)
    try:
        return fence.allows(path)
    except NoAnswer:
        return False


def _is_open_within(fence: Fence, descriptor: int) -> bool:
    try:
        return fence.allows_open(descriptor)
    except NoAnswer:
        return False


def _names_in(
    descriptor: int, top: str, mounts: Mounts, touch: Touch, *, files_too: bool
) -> _Names:
    """Read the names in a folder, of which none is looked at for it."""
    names = _Names([], [], [], is_all=True)
    with os.scandir(descriptor) as found:
        for seen, entry in enumerate(found):
            if seen >= MOST_LOOKED_AT:
                return replace(names, is_all=False)
            if seen % _A_STEP == 0:
                touch(top)  # It answers.
            # Names that no definition can hold are not offered.
            if control_character(entry.name) is not None:
                continue
            if entry.is_symlink():
                names.links.append(entry.name)
            # What is mounted there may not answer, and not every folder tells what its names are.
            elif os.path.join(top, entry.name) in mounts or entry.is_dir(follow_symlinks=False):
                names.folders.append(entry.name)
            elif files_too:
                names.files.append(entry.name)
    return names


def _entries(
    path: str, names: _Names, judge: LinkJudge, *, files_too: bool
) -> tuple[tuple[FolderEntry, ...], bool]:
    """Return the entries to show, and whether they are all: folders first. So many links are looked
    at, and no more than are shown."""
    folders: list[str] = []
    files = list(names.files)
    links, looked_at = set(names.links), 0
    for name in sorted((*names.folders, *names.links), key=str.casefold):
        if len(folders) > MAX_ENTRIES or looked_at >= MOST_LINKS:
            break
        is_folder: bool | None = True
        if name in links:
            looked_at += 1
            is_folder = judge.is_folder(name)
        if is_folder:
            folders.append(name)
        elif is_folder is not None and files_too:
            files.append(name)
    is_all = looked_at < MOST_LINKS and len(folders) + len(files) <= MAX_ENTRIES
    shown = [(name, True) for name in folders]
    shown += [(name, False) for name in sorted(files, key=str.casefold)]
    return tuple(
        FolderEntry(name, os.path.join(path, name), is_folder)
        for name, is_folder in shown[:MAX_ENTRIES]
    ), is_all


def _told(error: OSError) -> str:
    return f"Cannot be read: {error.strerror}."
