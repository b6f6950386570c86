"""The trash folder of a source: what is deleted goes through it, stays in it, or comes back.

`.longshore-trash/<run id>/<name>` at the top of the source, and on its file system: a file gets
there in one step and under a name that nobody else uses, so that it can be looked at once more
before it goes for good. Standard library only; blocks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from core.runner.source_tree import Place, Tree
from models.run_spec import TRASH_FOLDER

FOLDER = os.fsencode(TRASH_FOLDER)
_RENAME_NOREPLACE = 1
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
TAKEN = "Another file has its name by now: it stays in the trash folder."


class PutBack(NamedTuple):
    """What came of putting everything back: how many, and what stayed with the reason."""

    restored: int
    stayed: int


class Mover:
    """Gives files another name, and never takes the name of another one."""

    def __init__(self) -> None:
        self._renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)

    def move(self, source: Place, target: Place) -> None:
        """Move what is at a place to another one, where nothing is. Raises FileExistsError,
        OSError; nothing was then moved."""
        if self._renameat2 is not None:
            failed = self._renameat2(
                source.directory, source.name, target.directory, target.name, _RENAME_NOREPLACE
            )
            if not failed:
                return
            number = ctypes.get_errno()
            if number not in _NOT_OFFERED:
                raise OSError(number, os.strerror(number), os.fsdecode(source.name))
        self._move_by_link(source, target)

    def _move_by_link(self, source: Place, target: Place) -> None:
        places = {"src_dir_fd": source.directory, "dst_dir_fd": target.directory}
        try:
            os.link(source.name, target.name, **places, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        else:
            os.unlink(source.name, dir_fd=source.directory)
            return
        # Neither is offered: all that is left is to look before.
        try:
            target.facts()
        except FileNotFoundError:
            os.rename(source.name, target.name, **places)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


class Trash:
    """The trash folder of one run."""

    def __init__(self, source: Tree, run_id: str, *, remembers_folders: bool) -> None:
        """Make it. Raises OSError, also when something else is in its place."""
        self._source = source
        self._run = os.fsencode(run_id)
        self._remembers_folders = remembers_folders
        self._folder = source.within(FOLDER)
        try:
            self._tree = self._folder.within(self._run)
        except OSError:
            self._folder.close()
            raise

    @contextmanager
    def place(self, name: bytes) -> Iterator[Place]:
        """Open the place that a file of the source has here. Raises OSError."""
        like = self._source if self._remembers_folders else None
        with self._tree.place(name, makes=True, like=like) as place:
            yield place

    def close(self) -> None:
        """Let go of it; what is empty of it goes."""
        if not self._remembers_folders:
            remove_empty(self._tree)
        self._tree.close()
        _remove_folder(self._run, self._folder.top)
        self._folder.close()
        _remove_folder(FOLDER, self._source.top)


def put_back(top: str, run_id: str, *, tell: Callable[[bytes, str | None], None]) -> PutBack:
    """Put what a run moved into the trash folder back to where it was, and never over what is there
    by now; `tell` hears each name, and why it stays when it does. Raises OSError."""
    mover, restored, stayed = Mover(), 0, 0
    with _opened(top, run_id) as (source, tree):
        for name in _names(tree):
            reason = _put_back_one(mover, name, source, tree)
            restored += reason is None
            stayed += reason is not None
            tell(name, reason)
        remove_empty(tree)
    _forget(top, run_id)
    return PutBack(restored, stayed)


def purge(top: str, run_id: str) -> bool:
    """Remove what a run moved into the trash folder, for good; False when there is nothing. Raises
    OSError."""
    source = Tree.at(top)
    try:
        folder = os.open(
            FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source.top
        )
    except FileNotFoundError:
        return False
    else:
        try:
            # Follows no symbolic link, nor one that is put in its way (shutil.rmtree,
            # avoids_symlink_attacks).
            shutil.rmtree(os.fsencode(run_id), dir_fd=folder)
        except FileNotFoundError:
            return False
        finally:
            os.close(folder)
        _remove_folder(FOLDER, source.top)
        return True
    finally:
        source.close()


def remove_empty(tree: Tree) -> None:
    """Remove every empty folder beneath the top of a tree."""
    for _, folders, _, descriptor in os.fwalk(b".", topdown=False, dir_fd=tree.top):
        for folder in folders:
            _remove_folder(folder, descriptor)


@contextmanager
def _opened(top: str, run_id: str) -> Iterator[tuple[Tree, Tree]]:
    source = Tree.at(top)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with source.place(FOLDER + b"/" + os.fsencode(run_id)) as place:
            tree = Tree(os.open(place.name, flags, dir_fd=place.directory))
        try:
            yield source, tree
        finally:
            tree.close()
    finally:
        source.close()


def _names(tree: Tree) -> Iterator[bytes]:
    for folder, folders, files, descriptor in os.fwalk(b".", dir_fd=tree.top):
        links = [
            name
            for name in folders
            if stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
        ]
        for name in [*files, *links]:
            yield os.path.normpath(os.path.join(folder, name))


def _put_back_one(mover: Mover, name: bytes, source: Tree, tree: Tree) -> str | None:
    try:
        with tree.place(name) as place, source.place(name, makes=True, like=tree) as there:
            mover.move(place, there)
    except FileExistsError:
        return TAKEN
    except OSError as error:
        return f"It stays in the trash folder: {error.strerror}."
    return None


def _forget(top: str, run_id: str) -> None:
    source = Tree.at(top)
    try:
        with source.place(FOLDER + b"/" + os.fsencode(run_id)) as place:
            _remove_folder(place.name, place.directory)
        _remove_folder(FOLDER, source.top)
    except OSError:
        return  # It is gone, or nothing that we may touch.
    finally:
        source.close()


def _remove_folder(name: bytes, directory: int) -> None:
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:
        return  # Something lies in it.
