"""rsync://host[:port]/module/path: what a person may write, strictly.

The daemon takes a location apart once more: it expands wildcards, splits it at a blank before the
module's name, and reads what begins with “-” behind the module as an option of its own. So what it
would not take as it is written is refused here; nothing is ever escaped.
"""

from __future__ import annotations

import ipaddress
import re

FORM = "rsync://host/module/path"
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_MAX_PORT = 65535
_MAX_HOST_CHARACTERS = 253
_EXPANDED = "*?[\\"


def rsync_url_fault(url: str) -> str | None:
    """Return what is wrong with a text that begins with rsync://, or None.

    Percent signs stand for themselves: rsync decodes nothing.
    """
    authority, _, rest = url.partition("://")[2].partition("/")
    module, _, path = rest.partition("/")
    return _authority_fault(authority) or _module_fault(module) or _path_fault(module, path)


def _authority_fault(authority: str) -> str | None:
    user, has_user, _ = authority.rpartition("@")
    if ":" in user:
        return (
            "A password must not stand in a location: the list of processes and the job’s file "
            "would show it. This version uses rsync modules that ask for no password."
        )
    if has_user:
        return (
            "This version uses rsync modules that ask for no user name and password. "
            f"Write the location without “{user}@”, as {FORM}."
        )
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not _is_host(match["host"]):
        return (
            f"A location on an rsync daemon has the form {FORM}; the host is a name, an IPv4 "
            "address or an IPv6 address in brackets."
        )
    port = match["port"]
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= _MAX_PORT):
        return "The port is a number from 1 to 65535, such as rsync://host:8730/module/path."
    return None


def _module_fault(module: str) -> str | None:
    if not module:
        return f"Name the daemon’s module, and a path in it: {FORM}."
    if module.startswith(("-", "#")) or module in {".", ".."} or any(map(str.isspace, module)):
        return "The name of a module has no blanks and does not begin with “-” or “#”."
    return _expansion_fault(module)


def _path_fault(module: str, path: str) -> str | None:
    components = [component for component in path.split("/") if component]
    if ".." in components:
        return "The path must not contain “..”: write where it really leads."
    if components and components[0].startswith("-"):
        return (
            "The path within the module must not begin with “-”: the daemon would take it for an "
            "option."
        )
    if f" {module}/" in f"{path}/":
        return "The path must not repeat the module’s name after a blank: the daemon would cut it."
    return _expansion_fault(path)


def _expansion_fault(text: str) -> str | None:
    found = next((character for character in text if character in _EXPANDED), None)
    if found is None:
        return None
    return f"The path must not contain “{found}”: the daemon would take it for a pattern."


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
