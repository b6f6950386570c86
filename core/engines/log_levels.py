"""Which lines of a tool's output are errors and which are warnings, for whoever reads its log.

Nothing is decided by these: what a run makes of a line stands with its engine's reader.
"""

from __future__ import annotations

import re

from models.log_level import LevelPatterns

_RUNNER = (b"The partial file could not be kept", b"The partial files could not be removed")
"""What the runner itself writes into the log."""


def _beginning_with(*beginnings: bytes) -> bytes:
    return b"\n(?:" + b"|".join(map(re.escape, beginnings)) + b")"


_RSYNC_ERRORS = _beginning_with(
    b"rsync: ",
    b"rsync error: ",
    b"ERROR: ",
    b"@ERROR",
    b"IO error encountered",
    b"could not make way for ",
    b"filename overflows max-path len by ",
    b"ssh: ",
    b"Permission denied",
    b"Host key verification failed",
    b"Bad owner or permissions on ",
    b"Unable to negotiate with ",
    b"kex_exchange_identification: ",
    b"Connection closed",
    b"Connection reset",
    b"Connection timed out",
    b"client_loop: ",
    *_RUNNER,
)
_RSYNC_WARNINGS = _beginning_with(
    b"rsync warning: ",
    b"file has vanished: ",
    b"directory has vanished: ",
    b"symlink has no referent: ",
    b"skipping ",
    b"cannot delete ",
    b"Deletions stopped due to ",
    b"Warning: ",
    b"WARNING: ",
    b"@WARNING",
)
# A quote within a value of JSON is escaped: only the level itself reads so.
_RCLONE_ERRORS = rb'"level":"(?:error|critical|alert|emergency)"|' + _beginning_with(*_RUNNER)
_RCLONE_WARNINGS = rb'"level":"(?:notice|warning)"'

LOG_LEVELS: dict[str, LevelPatterns] = {
    engine: LevelPatterns(re.compile(errors), re.compile(errors + b"|" + warnings))
    for engine, errors, warnings in (
        ("rsync", _RSYNC_ERRORS, _RSYNC_WARNINGS),
        ("rclone", _RCLONE_ERRORS, _RCLONE_WARNINGS),
    )
}
"""By the engine's name. rsync(1) and ssh tell by how a line begins, rclone by its JSON's level."""
