"""Which addresses a message may go to. The standard library alone: the sender speaks it too.

An address is a secret. No sentence made here repeats any part of it but its scheme.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"([a-z0-9][a-z0-9+._-]{0,31})://", re.IGNORECASE)
LOCAL_SCHEMES = frozenset(
    {"blink1", "dbus", "file", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
"""What reaches into this machine, its desktop, its log or its devices, instead of telling
somebody elsewhere."""
LOCAL_PLUGINS = frozenset({"blink1", "dbus", "glib", "gnome", "macosx", "syslog", "windows"})
"""The same as modules of apprise, however an address came to lead there."""
_FILE_PARAMETERS = frozenset({"attach", "keyfile", "pgpkey", "subfile"})
"""Which name a file of this machine that is read, and in part sent."""
_TEMPLATE = "template"
"""An identifier for some services, a file for others."""
_SIGNS = re.compile(r"^[\s+:-]+")
PING_SCHEMES = frozenset({"http", "https"})


def scheme_of(address: str) -> str | None:
    """Return the scheme, all that may be shown of an address; None when it has none."""
    match = _SCHEME.match(address.strip())
    return match[1].lower() if match else None


def address_fault(address: str) -> str | None:
    """Return why no message can be sent to an address, as a sentence, or None."""
    scheme = scheme_of(address)
    if scheme is None:
        return "An address begins with its scheme, such as mailto:// or ntfys://."
    if scheme in LOCAL_SCHEMES:
        return f"{scheme}:// stays on this machine: choose a target that tells somebody elsewhere."
    if any(ord(character) < 0x20 for character in address):
        return "An address has no control characters."
    for key, value in _parameters(address):
        # What is encoded twice becomes a path only where it is used.
        if key in _FILE_PARAMETERS or (key == _TEMPLATE and re.search(r"[/\\.~%]", value)):
            return f"Its parameter {key} would read a file of this machine."
    return None


def _parameters(address: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters as apprise takes them apart, also by semicolons: names in small letters,
    without blanks around them and the signs that may stand before them."""
    for part in re.split("[&;]", address.partition("?")[2]):
        name, _, value = part.partition("=")
        yield _SIGNS.sub("", unquote(name.replace("+", " ")).strip().lower()), unquote(value)


def ping_fault(address: str) -> str | None:
    """Return why an address cannot be pinged, as a sentence, or None."""
    if scheme_of(address) not in PING_SCHEMES:
        return "The address of a ping begins with https:// or http://."
    try:
        parts = urlsplit(address)
        if not parts.hostname or (parts.port or 1) < 1:
            return "The address of a ping names no host."
    except ValueError:
        return "The address of a ping is not a valid one."
    if re.search(r"[\x00-\x20\x7f]", address):
        return "The address of a ping has no spaces and no control characters."
    return None


def ping_address(address: str, step: str) -> str:
    """Return where a step is told to: `start`, `fail`, or nothing for a success. What stands behind
    a question mark stays there (healthchecks.io, Pinging API)."""
    parts = urlsplit(address)
    path = parts.path.rstrip("/") + (f"/{step}" if step else "")
    return parts._replace(path=path, fragment="").geturl()
