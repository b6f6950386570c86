"""The allowed folders: whether a local location lies within them, by where it really leads.

A path is judged by the real path of what exists of it, so that one which is to be made is judged by
where it would be made; never by its letters. Standard library only, since the runner imports this.
Blocking.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from models.errors import FieldFault
from models.remote import is_remote

Roots = tuple[str, ...] | None
"""Absolute folders; without any, everything is allowed. None: nobody knows which ones, so none."""

EVERYWHERE: Roots = ()
_MOST_NAMED = 10
_FOLLOWING = ("--copy-links", "--copy-unsafe-links")
"""With these a tool reads what a link within the source leads to, wherever that is."""
_UNKNOWN = (
    "settings.yaml cannot be used, so nobody knows which folders are allowed. Mend the file, save "
    "the settings, or set LONGSHORE_ALLOWED_ROOTS."
)


def root_faults(
    source: str | None, destination: str | None, extra_args: Sequence[str], roots: Roots
) -> list[FieldFault]:
    """Return all that would lead out of the allowed folders; None is not looked at."""
    if roots == EVERYWHERE:
        return []
    faults = [
        FieldFault(field, outside_words(roots, f"The {field}"))
        for field, location in (("source", source), ("destination", destination))
        if location is not None and not is_allowed(location, roots)
    ]
    if source is not None and not is_remote(source):
        faults += [
            FieldFault(
                "options.extra_args",
                f"“{argument}” would follow links out of the allowed folders "
                f"({names_of(roots)}), so no job may have it while there are any.",
            )
            for argument in _FOLLOWING
            if argument in extra_args
        ]
    return faults


def outside_words(roots: Roots, what: str = "It") -> str:
    """Say that a location is none that is allowed. Where it leads stays unsaid: that is nothing to
    ask for about a folder which is not allowed."""
    if roots is None:
        return _UNKNOWN
    return (
        f"{what} does not lie within the allowed folders ({names_of(roots)}), or a link on the way "
        "leads out of them."
    )


def names_of(roots: Roots) -> str:
    """Return the allowed folders for a sentence."""
    if roots is None:
        return "unknown"
    named, more = ", ".join(roots[:_MOST_NAMED]), len(roots) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def is_allowed(location: str, roots: Roots) -> bool:
    """Whether a location is on another machine, or lies within one of the allowed folders."""
    if is_remote(location) or roots == EVERYWHERE:
        return True
    if roots is None:
        return False
    try:
        real = real_path(location)
    except (OSError, ValueError):
        # It cannot be looked at, so nobody can say that it is allowed.
        return False
    return lies_within(real, roots)


def is_open_allowed(descriptor: int, roots: Roots) -> bool:
    """Whether an open folder lies within one of the allowed folders, by what is open: no swap of
    the path that it was opened by changes that. Raises OSError."""
    if roots is None or roots == EVERYWHERE:
        return roots is not None
    real = os.readlink(f"/proc/self/fd/{descriptor}")
    return lies_within(real, roots) and os.path.samestat(os.stat(real), os.fstat(descriptor))


def lies_within(real: str, roots: Sequence[str]) -> bool:
    """Whether a real path is one of the allowed folders or in one, by their real paths."""
    # As they are written first: that looks at nothing, where another one may be on a file server
    # that does not answer.
    return any(_holds(root, real) for root in roots) or any(
        _holds(os.path.realpath(root), real) for root in roots
    )


def _holds(top: str, real: str) -> bool:
    top = top.rstrip("/")
    return real == top or real.startswith(f"{top}/")


def real_path(location: str) -> str:
    """Return where a path leads, or would lead once its missing folders are made.

    Raises OSError for one that nobody can tell it of: a link that leads nowhere or in a circle, a
    `..` behind what is missing, a link of the kernel's own into another view of the file systems
    (/proc/<pid>/root, proc(5)), whose text names something else here. Raises ValueError for a NUL.
    """
    existing, missing = location, list[str]()
    while True:
        try:
            real = os.path.realpath(existing, strict=True)
            break
        except FileNotFoundError:
            if os.path.islink(existing.rstrip("/")) or existing in {"", "/"}:
                raise
            existing, _, name = existing.rstrip("/").rpartition("/")
            existing = existing or "/"
            missing.insert(0, name)
    if ".." in missing or not os.path.samestat(os.stat(existing), os.stat(real)):
        raise FileNotFoundError(location)
    parts = [name for name in missing if name not in {"", "."}]
    return os.path.join(real, *parts)
