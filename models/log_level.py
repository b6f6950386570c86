"""How much a line of a tool's output has to say, and by what it is told."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class LogLevel(StrEnum):
    """The least that a line must be to be shown."""

    ERROR = "error"
    WARNING = "warning"
    """Warnings and errors."""


class LevelPatterns(NamedTuple):
    """What lines of a level hold. Each pattern is searched in lines that have a newline before
    them, so that one that begins with a newline is found at the speed of memory."""

    error: re.Pattern[bytes]
    notable: re.Pattern[bytes]
    """Warnings and errors."""

    def of(self, level: LogLevel) -> re.Pattern[bytes]:
        """Return what finds the lines that are at least of a level."""
        return self.error if level is LogLevel.ERROR else self.notable

    def level_of(self, line: bytes) -> LogLevel | None:
        """Return the level of one line (without its end); None when it tells nothing amiss."""
        text = b"\n" + line
        if not self.notable.search(text):
            return None
        return LogLevel.ERROR if self.error.search(text) else LogLevel.WARNING
