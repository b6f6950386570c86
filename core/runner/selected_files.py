"""The list of files that a transfer covers, on disk: names, each with a zero byte behind it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

SELECTED_NAME = "selected-files"
_MODE = 0o600
_CHUNK = 64 * 1024


class NameWriter:
    """Writes names to a new file that only we may read."""

    def __init__(self, path: str) -> None:
        self._file = new_file(path)

    def write(self, names: Iterable[bytes]) -> None:
        """Write some. Raises OSError."""
        self._file.write(b"".join(name + b"\0" for name in names))

    def close(self) -> None:
        """Write what is left. Raises OSError."""
        self._file.close()


def read_names(path: str) -> Iterator[bytes]:
    """Yield the names of a file, one after another. Raises OSError."""
    rest = b""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            *names, rest = (rest + chunk).split(b"\0")
            yield from names


def new_file(path: str) -> BinaryIO:
    """Open a new file for writing, in place of any older one, that only we may read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, _MODE), "wb", buffering=_CHUNK)
