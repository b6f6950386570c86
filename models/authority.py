"""What the URLs of remote locations have in common: hosts, ports, and paths without surprises.

A tool at the other end takes a path apart once more, and expands wildcards. What it would not take
as it is written is refused; nothing is ever escaped.
"""

from __future__ import annotations

import ipaddress
import re

_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_MAX_PORT = 65535
_MAX_HOST_CHARACTERS = 253
_EXPANDED = "*?[\\"


def host_fault(text: str, *, form: str, what: str) -> str | None:
    """Return what is wrong with `host[:port]`, or None; `what` names the location in a sentence."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or not _is_host(match["host"]):
        return (
            f"{what} has the form {form}; the host is a name, an IPv4 address or an IPv6 address "
            "in brackets."
        )
    port = match["port"]
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= _MAX_PORT):
        return (
            f"The port is a number from 1 to 65535, as in {form.replace('host', 'host:8730', 1)}."
        )
    return None


def climbs(path: str) -> bool:
    """Whether a path leads upwards somewhere."""
    return ".." in path.split("/")


def expansion_fault(text: str, *, who: str) -> str | None:
    """Return which character the other side, named by `who`, would take for a pattern, or None."""
    found = next((character for character in text if character in _EXPANDED), None)
    if found is None:
        return None
    return f"The path must not contain “{found}”: {who} would take it for a pattern."


def _is_host(host: str) -> bool:
    try:
        if host.startswith("["):
            # Without a zone: its name means something on one machine only.
            return ipaddress.IPv6Address(host[1:-1]).scope_id is None
        if re.fullmatch(r"[0-9.]+", host):
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    labels = host.split(".")
    return len(host) <= _MAX_HOST_CHARACTERS and all(map(_LABEL.fullmatch, labels))
