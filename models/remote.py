"""Which locations lie on another machine.

Apart from `models/location.py`, which says whether one is well formed: the runner needs no more
than this, and must start fast.
"""

from __future__ import annotations

RSYNC_SCHEME = "rsync://"


def is_remote(location: str) -> bool:
    """Whether a well-formed location is on another machine: a URL; a path begins with “/”."""
    return location.startswith(RSYNC_SCHEME)


def path_in_module(url: str) -> str:
    """Return the path of an rsync:// URL within its module, without slashes at its ends."""
    _, _, path = url.removeprefix(RSYNC_SCHEME).partition("/")
    return path.partition("/")[2].strip("/")
