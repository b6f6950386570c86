"""Special files that a run has passed over: how many, which, and what they are."""

from __future__ import annotations

import os
import stat

from core.engines.base import SPECIAL, SkippedSpecial
from models.events import FileSkipped
from models.run_spec import RunSpec

MAX_SPECIALS_NAMED = 1000
"""How many the journal names; all of them are counted."""
_KINDS = {
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


class Specials:
    """Those of one run; a further attempt meets the same ones again."""

    def __init__(self, spec: RunSpec) -> None:
        self.count = 0
        self._top = None if spec.source_is_remote else spec.source
        self._named: set[str] = set()

    def begin_attempt(self) -> None:
        """Count anew."""
        self.count = 0

    def take(self, special: SkippedSpecial) -> FileSkipped | None:
        """Count one; returns what the journal shall say, or None when it has said that or enough.

        What kind it is, a local source is asked where the tool does not tell.
        """
        self.count += 1
        if special.path in self._named or len(self._named) >= MAX_SPECIALS_NAMED:
            return None
        self._named.add(special.path)
        return FileSkipped(special.path, self._kind_of(special))

    def notice(self) -> str | None:
        """Return what a person should know of them, or None when there are none."""
        if not self.count:
            return None
        if self.count == 1:
            return "1 special file (FIFO, socket or device) was not copied."
        return f"{self.count:,} special files (FIFOs, sockets, devices) were not copied."

    def _kind_of(self, special: SkippedSpecial) -> str:
        if special.kind != SPECIAL or special.name is None or self._top is None:
            return special.kind
        try:
            mode = os.lstat(os.path.join(self._top, special.name)).st_mode
        except OSError:
            return SPECIAL
        return _KINDS.get(stat.S_IFMT(mode), SPECIAL)
