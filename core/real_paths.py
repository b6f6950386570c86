"""Where a path really leads, found step by step: whoever asks is told of each step before it is
taken, since any of them may be on a disk that does not answer.

Standard library only, since the runner imports this. Blocking.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from models.errors import NoAnswer

Touch = Callable[[str], None]
"""Is told of a path, by real folders, before it is looked at; what it raises ends the walk."""
_MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""

_GONE = frozenset(
    {
        errno.EIO,
        errno.ENOTCONN,
        errno.ECONNABORTED,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
"""What is said of a file system whose disk or server is gone (fuse(4), nfs(5), mount.cifs(8)): that
tells nothing about the path."""


def untold(_path: str) -> None:
    """Nobody is told."""


def real_path(location: str, touch: Touch = untold) -> str:
    """Return where an absolute path leads, or would lead once its missing folders are made.

    Raises OSError for one that nobody can tell it of: a link that leads nowhere or in a circle, a
    `..` behind what is missing, a link of the kernel's own into another view of the file systems
    (/proc/<pid>/root, proc(5)), whose text names something else here. Raises ValueError for a NUL.
    """
    if not location.startswith("/"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), location)
    given = location.split("/")
    real, missing = walked(given, touch)
    if ".." in missing:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), location)
    existing = "/".join(given[: len(given) - len(missing)]) or "/"
    if not os.path.samestat(os.stat(existing), os.stat(real)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), location)
    return os.path.join(real, *(name for name in missing if name not in {"", "."}))


def refuse_gone(location: str, touch: Touch = untold) -> None:
    """Raise NoAnswer where all that is heard of a location is that its disk is gone: so nobody can
    tell where it leads. What else is wrong with it whoever asks finds out."""
    try:
        real_path(location, touch)
    except OSError as error:
        if error.errno in _GONE:
            raise NoAnswer(location, error.strerror) from error
    except ValueError:
        pass


def walked(
    names: list[str], touch: Touch = untold, *, below: str = "/", links: int = 0
) -> tuple[str, list[str]]:
    """Follow names from a real folder on; returns where they lead, and those that are missing at
    the end. Raises OSError as `real_path` does; so many links were followed before."""
    real, left, of_links = below, names[::-1], 0
    """`of_links`: how many of those that are left stand in a link, and are not the caller's."""
    while left:
        name = left.pop()
        is_of_link, of_links = of_links > 0, max(0, of_links - 1)
        if name in {"", "."}:
            continue
        if name == "..":
            real = os.path.dirname(real)
            continue
        path = f"{real.rstrip('/')}/{name}"
        touch(path)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            if is_of_link or of_links:
                raise  # A link that leads nowhere: what would be made there is not told by it.
            return real, [name, *left[::-1]]
        if stat.S_ISLNK(mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            text = os.readlink(path)
            into = text.split("/")
            real = "/" if text.startswith("/") else real
            left += into[::-1]
            of_links += len(into)
        elif left and not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        else:
            real = path
    return real, []
