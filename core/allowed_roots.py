"""The allowed folders: whether a local location lies within them, by where it really leads.

A path is judged by the real path of what exists of it, so that one which is to be made is judged by
where it would be made; never by its letters. Standard library only, since the runner imports this.
Blocking.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from core.own_folder import meets
from core.real_paths import Touch, real_path, untold
from models.errors import FieldFault, NoAnswer
from models.extra_args import FOLLOWING
from models.remote import is_remote

Roots = tuple[str, ...] | None
"""Absolute folders; without any, everything is allowed. None: nobody knows which ones, so none."""

EVERYWHERE: Roots = ()
_MOST_NAMED = 10
_OWN = (
    "The {field} lies in Longshore’s own data directory, or would have it replaced: accounts, "
    "secrets and runs are there, and no job may have them while there are allowed folders."
)
_UNKNOWN = (
    "settings.yaml cannot be used, so nobody knows which folders are allowed. Mend the file, save "
    "the settings, or set LONGSHORE_ALLOWED_ROOTS."
)


def root_faults(
    source: str | None,
    destination: str | None,
    extra_args: Sequence[str],
    roots: Roots,
    touch: Touch = untold,
    *,
    data_dir: str | None = None,
) -> list[FieldFault]:
    """Return all that would lead out of the allowed folders, of which the data directory is no part
    wherever it lies; None is not looked at. Raises NoAnswer."""
    if roots == EVERYWHERE:
        return []
    faults = []
    for field, location in (("source", source), ("destination", destination)):
        if location is None:
            continue
        if not is_allowed(location, roots, touch):
            faults.append(FieldFault(field, outside_words(roots, f"The {field}")))
        elif data_dir is not None and meets(location, data_dir, is_written=field == "destination"):
            faults.append(FieldFault(field, _OWN.format(field=field)))
    return [*faults, *argument_faults(source, extra_args, roots)]


def argument_faults(
    source: str | None, extra_args: Sequence[str], roots: Roots
) -> list[FieldFault]:
    """Return which arguments would lead a tool out of the allowed folders. Looks at nothing."""
    if roots == EVERYWHERE or source is None or is_remote(source):
        return []
    return [
        FieldFault(
            "options.extra_args",
            f"“{argument}” would follow links out of the allowed folders "
            f"({names_of(roots)}), so no job may have it while there are any.",
        )
        for argument in FOLLOWING
        if argument in extra_args
    ]


def outside_words(roots: Roots, what: str = "It") -> str:
    """Say that a location is none that is allowed. Where it leads stays unsaid: that is nothing to
    ask for about a folder which is not allowed."""
    if roots is None:
        return _UNKNOWN
    return (
        f"{what} does not lie within the allowed folders ({names_of(roots)}), or a link on the way "
        "leads out of them."
    )


def silence_words(error: NoAnswer, roots: Roots) -> str:
    """Say that a location does not answer. Which disk that is stays unsaid where it has nothing to
    do with an allowed folder."""
    if roots == EVERYWHERE:
        return str(error)
    place = error.place
    is_theirs = _is_within(place, roots or ()) or any(
        _is_within(one, [place]) for one in roots or ()
    )
    return str(error if is_theirs else NoAnswer("It"))


def names_of(roots: Roots) -> str:
    """Return the allowed folders for a sentence."""
    if roots is None:
        return "unknown"
    named, more = ", ".join(roots[:_MOST_NAMED]), len(roots) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def is_allowed(location: str, roots: Roots, touch: Touch = untold) -> bool:
    """Whether a location is on another machine, or lies within one of the allowed folders. `touch`
    is told of each path that is looked at for that.

    One with `..` lies within none: rclone goes by the letters there, and rsync by the folders.
    """
    if is_remote(location):
        return True
    is_plain = roots == EVERYWHERE or ".." not in location.split("/")
    return is_plain and Fence(roots, touch).allows(location)


class Fence:
    """The allowed folders for some paths that are judged together: each is looked at once."""

    def __init__(self, roots: Roots, touch: Touch = untold) -> None:
        self._roots = roots
        self._touch = touch
        self._real: dict[str, str] | None = None
        self._silent: NoAnswer | None = None

    @property
    def is_open(self) -> bool:
        """Whether everything is allowed."""
        return self._roots == EVERYWHERE

    def allows(self, path: str) -> bool:
        """Whether a path leads into one of them. Raises NoAnswer, which is no permission."""
        if self._roots is None or self._roots == EVERYWHERE:
            return self._roots is not None
        try:
            return self.holds(real_path(path, self._touch))
        except (OSError, ValueError):
            # It cannot be looked at, so nobody can say that it is allowed.
            return False

    def allows_open(self, descriptor: int) -> bool:
        """Whether an open folder lies within one of them, by what is open: no swap of the path that
        it was opened by changes that. Raises OSError, NoAnswer."""
        if self._roots is None or self._roots == EVERYWHERE:
            return self._roots is not None
        real = os.readlink(f"/proc/self/fd/{descriptor}")
        return self.holds(real) and os.path.samestat(os.stat(real), os.fstat(descriptor))

    def holds(self, real: str) -> bool:
        """Whether a real path is one of them or in one, by their real paths. Raises NoAnswer where
        that depends on one that does not answer."""
        if self._roots is None or self._roots == EVERYWHERE:
            return self._roots is not None
        # As they are written first: that looks at nothing, where another one may be on a file
        # server that does not answer.
        if _is_within(real, self._roots):
            return True
        if self._real is None:
            self._real = self._looked_at(self._roots)
        if _is_within(real, self._real.values()):
            return True
        if self._silent is not None:
            raise self._silent
        return False

    def _looked_at(self, roots: Sequence[str]) -> dict[str, str]:
        found = {}
        for root in roots:
            try:
                found[root] = real_path(root, self._touch)
            except NoAnswer as error:
                self._silent = error
            except (OSError, ValueError):
                continue  # A root that leads nowhere holds nothing.
        return found


def is_open_allowed(descriptor: int, roots: Roots) -> bool:
    """Whether an open folder lies within one of the allowed folders, by what is open. Raises
    OSError."""
    return Fence(roots).allows_open(descriptor)


def _is_within(real: str, tops: Iterable[str]) -> bool:
    return any(real == top or real.startswith(f"{top}/") for top in map(_without_slash, tops))


def _without_slash(top: str) -> str:
    return top.rstrip("/")
