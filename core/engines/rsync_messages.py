"""What rsync's messages say of single files: which one, why, and its name from the top of the tree.

The forms are those of rsync 3.2.3 to 3.5.0. What it says about an attempt as a whole is read in
`core/engines/rsync_refusals.py`.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from core.engines.base import Failure, SkippedSpecial
from models.remote import RSYNC_SCHEME, SSH_SCHEME, path_in_module, ssh_location
from models.run_spec import RunSpec
from utils.shown_names import shown_name

PARTIAL_DIRECTORY = ".longshore-partial"
"""Where rsync keeps the part of a file that was cut off."""
BEGINNINGS = (
    b"rsync: ",
    b"file has vanished: ",
    b"directory has vanished: ",
    b"symlink has no referent: ",
    b"could not make way for ",
    b"filename overflows max-path len by ",
    b"skipping ",
    b"ERROR: ",
)
"""How the lines begin that may speak of a file."""
_GLANCED_AT = (*BEGINNINGS, b"rsync error: ", b"rsync warning: ")
# One search for all of them: the end of a line is found at the speed of memory, and a gigabyte of
# other lines must not cost the tool its time.
_ALL_BEGINNINGS = b"(?:" + b"|".join(map(re.escape, _GLANCED_AT)) + b")"
_AFTER_NEWLINE = re.compile(b"\n" + _ALL_BEGINNINGS)
_AFTER_RETURN = re.compile(b"\r" + _ALL_BEGINNINGS)
_ESCAPE = rb"\\#([0-3][0-7]{2})"
_SPECIAL_BEGINNING = b'skipping non-regular file "'
_SPECIAL = rb'(?s)skipping non-regular file "(?P<path>.+)"$'
_HEAD = rb"(?s)^(?:rsync: )?(?:\[(?P<who>\w+)\] )?"
_MODULE = rb"(?P<module> \(in [^()]*\))?"
FORMS = (
    # Two names: rsync says what it moved or linked, and whereto.
    _HEAD
    + rb'(?P<what>(?:\w+: )?(?:rename|copy|link|symlink)) "(?P<path>.+?)"'
    + _MODULE
    + rb' -> "(?P<target>.*)"(?P<rest>[^"]*)$',
    _HEAD
    + rb'(?P<what>[^"]*xattr)\("(?P<path>.+)"'
    + _MODULE
    + rb'(?P<rest>,(?:"[^"]*"|\d+)(?:,\d+)?\)[^"]*)$',
    _HEAD + rb"(?P<what>delete_file: \w+)\((?P<path>.+)\)(?P<rest> failed: .*)$",
    _HEAD + rb"(?P<what>[gs]et_acl: \w+)\((?P<path>.+), ACL_TYPE_\w+\)(?P<rest>: .*)$",
    rb"(?s)^(?P<what>could not make way for (?:new|backup) [^:]*"
    rb"|filename overflows max-path len by \d+"
    rb"|skipping (?:overly long name|symlink with 0-length value)): (?P<path>.+)(?P<rest>)$",
    rb"(?s)^ERROR: (?P<path>.+) (?P<what>failed verification)(?P<rest> -- update \w.*)$",
    _HEAD + rb'(?P<what>[^"]*)"(?P<path>.+)"' + _MODULE + rb'(?P<rest>[^"]*)$',
)
_ABOUT_DESTINATION = b"delete_file"
"""Such a file is there and not in the source: it cannot be tried again."""
_RECEIVER = b"receiver"
"""The process that gives a file its attributes while it has its temporary name still."""
_TEMPORARY = rb"\.(?P<name>.+)\.[A-Za-z0-9]{6}"
_LONGEST_WHOLE_NAME = 240
"""rsync cuts a longer one to make room for what it adds to a temporary name (NAME_MAX is 255)."""


class Places(NamedTuple):
    """Where the names in messages begin: absolute, without a slash at the end; b"" is the root.

    `module` is the folder on a daemon, as the daemon itself sees it; None is a place that no
    message names.
    """

    source: bytes | None = None
    destination: bytes | None = None
    module: bytes | None = None


def places_of(spec: RunSpec) -> Places:
    """Return the places of a run."""
    daemon = next((one for one in (spec.source, spec.destination) if _is_on_daemon(one)), None)
    module = None if daemon is None else _place("/" + path_in_module(daemon))
    return Places(_place_of(spec.source), _place_of(spec.destination), module)


def special_in(line: bytes) -> SkippedSpecial | None:
    """Return the special file that rsync says it has passed over, or None."""
    match = re.match(_SPECIAL, line)
    if not match:
        return None
    path = unescape(match["path"])
    return SkippedSpecial(shown_name(path), name=_usable(path))


def failure_in(line: bytes, places: Places) -> Failure | None:
    """Return the file that a line tells to have failed, or None."""
    if not line.startswith(BEGINNINGS) or line.startswith(_SPECIAL_BEGINNING):
        return None
    for form in FORMS:
        match = re.match(form, line)
        if match:
            return _failure(match, places)
    return None


def may_hold_message(content: bytearray, start: int, end: int) -> bool:
    """Whether lines may speak of a file, or of how rsync ended: at a glance."""
    if content.startswith(_GLANCED_AT, start, end) or _AFTER_NEWLINE.search(content, start, end):
        return True
    has_returns = content.find(b"\r", start, end) >= 0
    return has_returns and _AFTER_RETURN.search(content, start, end) is not None


def has_line(content: bytearray, start: int, end: int, beginning: bytes) -> bool:
    """Whether a line begins so."""
    if content.startswith(beginning, start, end):
        return True
    if content.find(b"\n" + beginning, start, end) >= 0:
        return True
    # A single character first: it is found twenty times as fast as words.
    return content.find(b"\r", start, end) >= 0 and (
        content.find(b"\r" + beginning, start, end) >= 0
    )


def unescape(name: bytes) -> bytes:
    r"""Return a name as it is on disk: rsync prints a byte that is not printable as \#ooo, in octal
    (rsync(1), --8-bit-output)."""
    return re.sub(_ESCAPE, lambda match: bytes([int(match[1], 8)]), name)


def _failure(match: re.Match[bytes], places: Places) -> Failure:
    found = match.groupdict()
    reason = unescape(found["what"].rstrip() + found["rest"]).strip(b" :")
    path = unescape(found["path"])
    if found["what"].endswith((b"rename", b"copy")) and found.get("target"):
        # What is moved has a temporary name; where it goes is the name that counts.
        path = unescape(found["target"]).strip(b'"')
    elif found.get("who") == _RECEIVER:
        path = _final(path)
    name = None
    if not found["what"].startswith(_ABOUT_DESTINATION):
        name = _name(path, places, is_on_daemon=bool(found.get("module")))
    return Failure(shown_name(path), shown_name(reason), name)


def _name(path: bytes, places: Places, *, is_on_daemon: bool) -> str | None:
    if is_on_daemon:
        return _beneath(b"/" + path.lstrip(b"/"), places.module)
    if not path.startswith(b"/"):
        return _usable(path)
    in_source = _beneath(path, places.source)
    return in_source if in_source is not None else _beneath(path, places.destination)


def _beneath(path: bytes, place: bytes | None) -> str | None:
    if place is None or not path.startswith(place + b"/"):
        return None
    return _usable(path[len(place) + 1 :])


def _usable(name: bytes) -> str | None:
    parts = name.split(b"/")
    if parts[-1:] == [b"."]:
        parts.pop()
    is_name = all(part not in {b"", b".", b".."} for part in parts)
    if not parts or not is_name or b"\0" in name or os.fsencode(PARTIAL_DIRECTORY) in parts:
        return None
    if len(parts[-1]) > _LONGEST_WHOLE_NAME and re.fullmatch(_TEMPORARY, parts[-1], re.DOTALL):
        return None
    return os.fsdecode(b"/".join(parts))


def _final(path: bytes) -> bytes:
    folder, base = os.path.split(path)
    parent, kept_in = os.path.split(folder)
    if kept_in == os.fsencode(PARTIAL_DIRECTORY):
        return os.path.join(parent, base)
    match = re.fullmatch(_TEMPORARY, base, re.DOTALL)
    # What was cut short is not the name.
    if not match or len(match["name"]) > _LONGEST_WHOLE_NAME:
        return path
    return os.path.join(folder, match["name"])


def _is_on_daemon(location: str) -> bool:
    return location.startswith(RSYNC_SCHEME)


def _place_of(location: str) -> bytes | None:
    if _is_on_daemon(location):
        return None
    path = ssh_location(location).path if location.startswith(SSH_SCHEME) else location
    return _place(path)


def _place(path: str) -> bytes:
    # As rsync writes it: without doubled slashes.
    return os.fsencode(os.path.normpath(path)).rstrip(b"/").replace(b"//", b"/")
