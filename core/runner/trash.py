"""The trash folder of a source: what is deleted goes through it, stays in it, or comes back.

`.longshore-trash/<run id>/<name>` at the top of the source, and on its file system: a file gets
there in one step and under a name that nobody else uses, so that it can be looked at once more
before it goes for good. Where nothing is to stay, the folder is `<run id>.aside`: what is found in
that of a run which is gone was cut off in the middle. Standard library only; blocks.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from core.allowed_roots import EVERYWHERE, Roots
from core.open_tree import Place, Tree
from models.errors import OutsideRoots
from models.run_spec import TRASH_FOLDER
from models.source_deletions import Deletion

FOLDER = os.fsencode(TRASH_FOLDER)
ASIDE = b".aside"
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RENAME_NOREPLACE = 1
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
TAKEN = "Another file has its name by now: it stays in the trash folder."


class PutBack(NamedTuple):
    """What came of putting everything back: how many, and what stayed with the reason."""

    restored: int
    stayed: int


NOTHING = PutBack(0, 0)


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
        self._run = os.fsencode(run_id) + (b"" if remembers_folders else ASIDE)
        self._remembers_folders = remembers_folders
        self._folder = source.within(FOLDER)
        try:
            self._tree = self._folder.within(self._run)
        except OSError:
            self._folder.close()
            raise
        # Says to the runs of other jobs that this one is at work.
        _is_ours(self._tree.top)

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


def put_back(
    top: str,
    run_id: str,
    *,
    tell: Callable[[bytes, str | None], None],
    roots: Roots = EVERYWHERE,
) -> PutBack:
    """Put what a run moved into the trash folder back to where it was, and never over what is there
    by now; `tell` hears each name, and why it stays when it does. Raises OSError, OutsideRoots."""
    run = os.fsencode(run_id)
    with closing(Tree.at(top, roots)) as source:
        gone = {run + ASIDE}.intersection(_folders_of_the_gone(source))
        cut_off = _put_back_folders(source, gone, tell)
        try:
            kept = _put_back_folders(source, [run], tell)
        except FileNotFoundError:
            if cut_off == NOTHING:
                raise
            return cut_off
    return PutBack(*map(sum, zip(cut_off, kept, strict=True)))


def put_back_cut_off(
    top: str, *, tell: Callable[[bytes, str | None], None], roots: Roots = EVERYWHERE
) -> PutBack:
    """Put back what runs that are gone had moved aside to delete it, as `put_back` does. Raises
    OSError, OutsideRoots."""
    with closing(Tree.at(top, roots)) as source:
        return _put_back_folders(source, _folders_of_the_gone(source), tell)


def _put_back_folders(
    source: Tree, folders: Iterable[bytes], tell: Callable[[bytes, str | None], None]
) -> PutBack:
    restored = stayed = 0
    for folder in folders:
        with _opened(source, folder) as tree:
            if not _is_ours(tree.top):
                continue
            done = _put_back_all(source, tree, tell)
        restored += done.restored
        stayed += done.stayed
        _forget(source, folder)
    return PutBack(restored, stayed)


def found_back(
    top: str, run_id: str, deletions: Iterable[Deletion], roots: Roots = EVERYWHERE
) -> list[bytes]:
    """Return which of these are at the source as they were, and in the trash folder no more; names
    as on disk. None where the source is not there, or outside. Blocks."""
    try:
        source = Tree.at(top, roots)
    except (OSError, OutsideRoots):
        return []
    with closing(source):
        return [
            os.fsencode(one.path) for one in deletions if _is_back(source, os.fsencode(run_id), one)
        ]


def _is_back(source: Tree, run: bytes, deletion: Deletion) -> bool:
    name = os.fsencode(deletion.path)
    try:
        with source.place(name) as place:
            facts = place.facts()
    except OSError:
        return False
    is_same = (facts.st_size, facts.st_mtime_ns) == (deletion.size, deletion.mtime_ns)
    folders = (run, run + ASIDE)
    return is_same and not any(_lies_at(source, b"/".join((FOLDER, one, name))) for one in folders)


def _lies_at(source: Tree, name: bytes) -> bool:
    try:
        with source.place(name) as place:
            place.facts()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # Nobody can say it.
    return True


def trash_top(source: str) -> str:
    """Return the folder that a source's trash folder lies in: the source, or that of the one file
    that it is, which need not be there any more."""
    return source if os.path.isdir(source) else os.path.dirname(source)


def purge(top: str, run_id: str, roots: Roots = EVERYWHERE) -> bool:
    """Remove what a run moved into the trash folder, for good; False when there is nothing. Raises
    OSError, OutsideRoots."""
    with closing(Tree.at(top, roots)) as source:
        try:
            folder = os.open(FOLDER, _OPEN_FOLDER, dir_fd=source.top)
        except FileNotFoundError:
            return False
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


def remove_empty(tree: Tree) -> None:
    """Remove every empty folder beneath the top of a tree."""
    for _, folders, _, descriptor in os.fwalk(b".", topdown=False, dir_fd=tree.top):
        for folder in folders:
            _remove_folder(folder, descriptor)


def _folders_of_the_gone(source: Tree) -> list[bytes]:
    try:
        folder = os.open(FOLDER, _OPEN_FOLDER, dir_fd=source.top)
    except FileNotFoundError:
        return []
    try:
        names = [os.fsencode(name) for name in os.listdir(folder)]
    finally:
        os.close(folder)
    return sorted(name for name in names if name.endswith(ASIDE))


def _is_ours(folder: int) -> bool:
    """Take the lock of a folder for as long as it is open; False when a live run has it. Where the
    file system has no locks, nobody has any."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EAGAIN, errno.EACCES}
    return True


def _put_back_all(source: Tree, tree: Tree, tell: Callable[[bytes, str | None], None]) -> PutBack:
    mover, restored, stayed = Mover(), 0, 0
    for name in _names(tree):
        reason = _put_back_one(mover, name, source, tree)
        restored += reason is None
        stayed += reason is not None
        tell(name, reason)
    remove_empty(tree)
    return PutBack(restored, stayed)


@contextmanager
def _opened(source: Tree, name: bytes) -> Iterator[Tree]:
    with source.place(FOLDER + b"/" + name) as place:
        tree = Tree(os.open(place.name, _OPEN_FOLDER, dir_fd=place.directory))
    with closing(tree):
        yield tree


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


def _forget(source: Tree, name: bytes) -> None:
    try:
        with source.place(FOLDER + b"/" + name) as place:
            _remove_folder(place.name, place.directory)
        _remove_folder(FOLDER, source.top)
    except OSError:
        return  # It is gone, or nothing that we may touch.


def _remove_folder(name: bytes, directory: int) -> None:
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError:
        return  # Something lies in it.
