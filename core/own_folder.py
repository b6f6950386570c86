"""The data directory as a place that jobs may want to read or write: accounts, secrets and what
runs are told stand in it. Standard library only, since the runner imports this. Blocking.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from core.real_paths import real_path
from models.remote import is_remote


def meets(location: str, data_dir: str, *, is_written: bool) -> bool:
    """Whether a location lies in the data directory; of one that is written also whether it holds
    it. By what folders are and not by their names: a bind mount is the same folder."""
    if is_remote(location):
        return False
    try:
        real, own = real_path(location), os.path.realpath(data_dir)
        if _is_above(own, real):
            return True
        return is_written and _is_above(real, own)
    except (OSError, ValueError):
        return True  # Nobody can tell, so it is none that a job may have.


def _is_above(folder: str, path: str) -> bool:
    try:
        wanted = os.stat(folder)
    except FileNotFoundError:
        return False  # It is still to be made, and holds nothing.
    return any(os.path.samestat(wanted, facts) for facts in _facts_above(path))


def _facts_above(path: str) -> Iterator[os.stat_result]:
    while True:
        try:
            yield os.stat(path)
        except FileNotFoundError:
            pass
        if path == "/":
            return
        path = os.path.dirname(path)
