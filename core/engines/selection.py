"""Which files a transfer covers, as the engine itself lists them: what its filters leave of the
source. Starts nothing.

What was left out of a transfer is not among them, so that it is never taken for copied because the
destination happens to have a file of the same name and contents.
"""

from __future__ import annotations

import re

from core.engines.base import Engine
from core.engines.rsync_messages import unescape
from models.run_spec import RunSpec

_RSYNC_FORMAT = "\t%i %n"
_RSYNC_NAME_AT = 13
"""A tab, eleven characters of changes, a blank (rsync(1), --itemize-changes)."""
_RSYNC_KINDS = b"fL"
_RCLONE_LINK = b".rclonelink"
_RCLONE_PICTURE = rb"\xe2\x80\x9b(\xe2\x80\x9b|\xe2\x90[\x80-\xbf])|\xe2\x90([\x81-\x9f\xa1])"
"""A picture stands for a control character, and one with a quote before it, or a quote twice, for
itself (rclone docs, restricted characters)."""
_DELETE, _DELETE_PICTURE = b"\x7f", b"\xa1"


def selection_argv(engine: Engine, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
    """Arguments that make the engine list every file of the source that its transfer covers.

    Made of those of its own verification and scan, so that the filters are the same.
    """
    if engine.name == "rsync":
        argv = engine.build_verify_argv(
            spec._replace(verification="fast"), tool, is_directory=is_directory
        )
        end = argv.index("--")
        # Twice: it then names the files that are the same as well. The last format is what counts.
        options = ["--itemize-changes", "--itemize-changes", f"--out-format={_RSYNC_FORMAT}"]
        return [*argv[:end], *options, *argv[end:]]
    argv = engine.build_scan_argv(spec, tool, is_directory=is_directory)
    rest = [argument for argument in argv[2:] if argument != "--json"]
    # Not lsjson, which loses the bytes of names that are not UTF-8.
    return [tool, "lsf", "--recursive", "--files-only", *rest]


def selected_names(engine: Engine, line: bytes) -> tuple[bytes, ...]:
    """Return the names that a line of such a listing may mean, from the top of the source.

    None of them when it names no file; two where only the source can tell a symbolic link from a
    file that is called like one.
    """
    if engine.name == "rsync":
        return _rsync_names(line)
    name = re.sub(_RCLONE_PICTURE, _meaning, line)
    return (name, name.removesuffix(_RCLONE_LINK)) if name.endswith(_RCLONE_LINK) else (name,)


def _rsync_names(line: bytes) -> tuple[bytes, ...]:
    if not line.startswith(b"\t") or len(line) <= _RSYNC_NAME_AT:
        return ()
    if line[2:3] not in _RSYNC_KINDS or line[1:2] == b"*":
        return ()
    name = line[_RSYNC_NAME_AT:]
    return (unescape(name),)


def _meaning(match: re.Match[bytes]) -> bytes:
    itself, picture = match[1], match[2]
    if itself is not None:
        return itself
    return _DELETE if picture == _DELETE_PICTURE else bytes([picture[0] - 0x80])
