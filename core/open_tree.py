"""A tree that is gone through by directory descriptors, so that no symbolic link leads out of it.

Each component of a name is opened by itself from the top, which is opened once, and none that is a
symbolic link (openat(2), O_NOFOLLOW): whoever swaps a folder for a link meanwhile wins nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from core.allowed_roots import EVERYWHERE, Roots, is_open_allowed, outside_words
from models.errors import OutsideRoots

_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_COMPONENT = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o700


class Place(NamedTuple):
    """A name within an open directory; nothing may be there."""

    directory: int
    name: bytes

    def facts(self) -> os.stat_result:
        """Return what is there now, a symbolic link itself. Raises OSError."""
        return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def target(self) -> bytes:
        """Return where the symbolic link there leads. Raises OSError."""
        return os.fsencode(os.readlink(self.name, dir_fd=self.directory))


class Tree:
    """A directory and what lies beneath it. Names are relative to it, as bytes."""

    def __init__(self, top: int) -> None:
        self.top = top

    @classmethod
    def at(cls, path: str | bytes, roots: Roots = EVERYWHERE) -> Tree:
        """Open the tree whose top is at a path. Raises OSError, and OutsideRoots where that does
        not lie within the allowed folders, by what is open."""
        tree = cls(os.open(path, _TOP))
        try:
            if is_open_allowed(tree.top, roots):
                return tree
        except OSError:
            tree.close()
            raise
        tree.close()
        raise OutsideRoots(os.fsdecode(path), outside_words(roots))

    def within(self, name: bytes) -> Tree:
        """Return the tree of a folder directly in this one, which is made when it is missing.

        Raises OSError, also when it is a symbolic link.
        """
        _make(name, self.top)
        return Tree(os.open(name, _TOP | os.O_NOFOLLOW, dir_fd=self.top))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.top)

    @contextmanager
    def place(
        self, name: bytes, *, makes: bool = False, like: Tree | None = None
    ) -> Iterator[Place]:
        """Open the folder of a name for as long as it is needed. Raises OSError.

        With `makes` folders that are missing are made; with `like` they get mode, owner and times
        of those of the same names in that tree.
        """
        *folders, base = parts_of(name)
        opened: list[int] = []
        try:
            directory = self.top
            for depth, folder in enumerate(folders):
                if makes and _make(folder, directory) and like is not None:
                    _resemble(folder, directory, like, folders[: depth + 1])
                directory = os.open(folder, _COMPONENT, dir_fd=directory)
                opened.append(directory)
            yield Place(directory, base)
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def remove_empty_folders(self, name: bytes) -> None:
        """Remove the folders that hold a name, the innermost first, as long as they are empty;
        never the top."""
        parts = parts_of(name)
        for depth in range(len(parts) - 1, 0, -1):
            try:
                with self.place(b"/".join(parts[:depth])) as place:
                    os.rmdir(place.name, dir_fd=place.directory)
            except OSError:
                return


def parts_of(name: bytes) -> list[bytes]:
    """Return the components of a name. Raises OSError for one that leads elsewhere."""
    parts = name.split(b"/")
    if any(part in {b"", b".", b".."} for part in parts):
        raise NotADirectoryError(f"{name!r} is no name within a tree")
    return parts


def _make(name: bytes, directory: int) -> bool:
    try:
        os.mkdir(name, _MODE, dir_fd=directory)
    except FileExistsError:
        return False
    return True


def _resemble(name: bytes, directory: int, like: Tree, folders: list[bytes]) -> None:
    try:
        with like.place(b"/".join(folders)) as original:
            facts = original.facts()
        made = os.open(name, _TOP | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return  # It is there; that it looks alike is a courtesy.
    try:
        os.fchmod(made, facts.st_mode & 0o7777 | _MODE)
        os.utime(made, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        os.fchown(made, facts.st_uid, facts.st_gid)
    except OSError:
        return
    finally:
        os.close(made)
