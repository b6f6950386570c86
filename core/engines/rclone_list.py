"""The names of a run over some files alone, in the form that rclone reads: one a line, in its own
standard encoding, so that every name fits on a line (rclone docs, --files-from-raw)."""

from __future__ import annotations

import os
from collections.abc import Iterator

from core.engines.rclone_names import LINK_SUFFIX, to_standard
from models.run_spec import RunSpec

LIST_SUFFIX = "-of-rclone"
_MODE = 0o600
_CHUNK = 64 * 1024


def write_list(spec: RunSpec, path: str) -> None:
    """Write the list beside the one at `path`, which has a zero byte behind each name. Raises
    OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(f"{path}{LIST_SUFFIX}", flags, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        for name in _names(path):
            file.write(os.fsencode(_told(spec, os.fsdecode(name))) + b"\n")


def _told(spec: RunSpec, name: str) -> str:
    told = to_standard(name)
    if spec.source_is_remote or "--copy-links" in spec.extra_args:
        return told
    is_link = os.path.islink(os.path.join(spec.source, name))
    return told + LINK_SUFFIX if is_link else told


def _names(path: str) -> Iterator[bytes]:
    rest = b""
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            *names, rest = (rest + chunk).split(b"\0")
            yield from (name for name in names if name)
