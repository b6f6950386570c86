"""The parts of files that a stopped transfer left at a destination: kept for later, or removed.

All of it goes by folders that are open (core/open_tree.py), so that whoever may write at
the destination wins nothing by a link in the place of a folder; errors name the whole path all the
same. Standard library only: the runner uses this as well. Everything here blocks.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager

from core.allowed_roots import EVERYWHERE, Roots
from core.engines.rsync_messages import PARTIAL_DIRECTORY
from core.open_tree import Tree, parts_of

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTIAL = os.fsencode(PARTIAL_DIRECTORY)
_TEMPORARY_MODE = 0o600
"""rsync makes its temporary files so, and gives them the mode of the source when they are whole."""


def remove_partial_files(destination: str, roots: Roots = EVERYWHERE) -> bool:
    """Remove the partial directory at the top of a destination; False when there was none.

    rsync keeps plain files in it and nothing else; a symbolic link in its place is left alone, also
    one that is put there meanwhile. Raises OSError, OutsideRoots.
    """
    try:
        tree = Tree.at(destination, roots)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with closing(tree):
        return _remove_in(tree.top, os.fsencode(destination))


def remove_all_partial_files(destination: str, roots: Roots = EVERYWHERE) -> int:
    """Remove the partial directories of every folder of a destination; returns how many.

    Follows no symbolic link. A folder that may not be read is one that rsync wrote nothing to.
    Raises OSError, OutsideRoots.
    """
    removed, waiting = 0, [b""]
    try:
        tree = Tree.at(destination, roots)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    with closing(tree):
        while waiting:
            name = waiting.pop()
            path = os.path.join(os.fsencode(destination), *([name] if name else []))
            try:
                with _naming(path):
                    folder = _opened_beneath(tree, name)
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            try:
                removed += _remove_in(folder, path)
                with _naming(path), os.scandir(folder) as entries:
                    waiting += [
                        os.path.join(name, os.fsencode(entry.name))
                        for entry in entries
                        if entry.is_dir(follow_symlinks=False)
                    ]
            finally:
                os.close(folder)
    return removed


def keep_partial_file(
    source: str, destination: str, name: bytes, roots: Roots = EVERYWHERE
) -> bool:
    """Bring what an ended rsync has written of a file to where a resuming one looks for it.

    It lies in the partial directory at the top, or, when rsync was killed, as
    `.<name>.<six characters>` beside the file (rsync(1), --temp-dir), which nobody would ever
    remove. A file of such a name that the source has too is a copy. False when there is nothing
    to keep. Raises OSError, OutsideRoots.
    """
    if not _is_of_source(source, name):
        return False
    folder, base = os.path.split(name)
    kept, at_top = os.path.join(folder, _PARTIAL, base), os.path.join(_PARTIAL, base)
    try:
        tree = Tree.at(destination, roots)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with closing(tree), _naming(os.path.join(os.fsencode(destination), name)):
        found = _temporary_files(source, tree, name)
        if kept != at_top and _facts(tree, at_top) is not None:
            found.insert(0, at_top)
        for part in found:
            with tree.place(part) as place, tree.place(kept, makes=True) as there:
                places = {"src_dir_fd": place.directory, "dst_dir_fd": there.directory}
                os.replace(place.name, there.name, **places)
    return bool(found)


def _remove_in(folder: int, path: bytes) -> bool:
    partial = os.path.join(path, _PARTIAL)
    try:
        with _naming(partial):
            inner = os.open(_PARTIAL, _FOLDER, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    facts = os.fstat(folder)
    try:
        with _naming(partial):
            names = os.listdir(inner)
        for name in map(os.fsencode, names):
            with _naming(os.path.join(partial, name)):
                os.unlink(name, dir_fd=inner)
    finally:
        os.close(inner)
    with _naming(partial):
        os.rmdir(_PARTIAL, dir_fd=folder)
    with _naming(path):
        # The folder's own time is part of the copy.
        os.utime(folder, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return True


def _opened_beneath(tree: Tree, name: bytes) -> int:
    """Open a folder of a tree, with one descriptor at a time however deep it lies."""
    folder = os.open(b".", _STEP, dir_fd=tree.top)
    for part in [*name.split(b"/"), b"."] if name else [b"."]:
        above, flags = folder, _FOLDER if part == b"." else _STEP
        try:
            folder = os.open(part, flags, dir_fd=above)
        finally:
            os.close(above)
    return folder


@contextmanager
def _naming(path: bytes) -> Iterator[None]:
    """Name the whole path in an error: by a folder that is open only the last part was asked for"""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from error


def _is_of_source(source: str, name: bytes) -> bool:
    try:
        parts_of(name)
    except NotADirectoryError:
        return False  # A wrong guess.
    if os.path.isfile(os.path.join(os.fsencode(source), name)):
        return True
    return os.path.isfile(source) and os.path.basename(os.fsencode(source)) == name


def _temporary_files(source: str, tree: Tree, name: bytes) -> list[bytes]:
    folder, base = os.path.split(name)
    original = os.path.join(os.fsencode(source), folder)
    pattern = re.compile(rb"\." + re.escape(base) + rb"\.[A-Za-z0-9]{6}")
    try:
        descriptor = _opened_beneath(tree, folder)
    except FileNotFoundError:
        return []
    try:
        entries = [os.fsencode(entry) for entry in os.listdir(descriptor)]
    finally:
        os.close(descriptor)
    found = []
    for entry in filter(pattern.fullmatch, entries):
        facts = _facts(tree, os.path.join(folder, entry))
        is_temporary = facts is not None and stat.S_IMODE(facts.st_mode) == _TEMPORARY_MODE
        if is_temporary and not os.path.lexists(os.path.join(original, entry)):
            found.append(os.path.join(folder, entry))
    return found


def _facts(tree: Tree, name: bytes) -> os.stat_result | None:
    """Return what is known of a file of a tree; None for what is no file, or not there."""
    try:
        with tree.place(name) as place:
            facts = place.facts()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None
