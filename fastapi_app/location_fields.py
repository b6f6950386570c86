"""A location in the form: a choice of where it is, and fields for what that needs.

The fields are put together to the one text that a definition holds (contracts.md), and taken apart
again for editing. What is on this machine is written as it is; nothing is guessed to be a remote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from models.remote import (
    RCLONE_SCHEME,
    RSYNC_SCHEME,
    SSH_SCHEME,
    rclone_location,
    ssh_location,
)

LOCATIONS = ("source", "destination")
KINDS = (
    ("local", "This machine"),
    ("ssh", "Another machine, over ssh"),
    ("rsync", "An rsync daemon"),
    ("rclone", "An rclone remote"),
)
"""What can be chosen, with its words."""
_SCHEMES = {"ssh": SSH_SCHEME, "rsync": RSYNC_SCHEME, "rclone": RCLONE_SCHEME}


class LocationFields(NamedTuple):
    """One location as the form shows it: `path` is the whole of it on this machine, else what
    follows the host, the module or the remote."""

    kind: str = "local"
    path: str = ""
    user: str = ""
    host: str = ""
    port: str = ""
    module: str = ""
    remote: str = ""


_PARTS = LocationFields._fields[2:]


def fields_of(location: str) -> LocationFields:
    """Return the fields of a location as it was stored or typed."""
    kind = next((kind for kind, scheme in _SCHEMES.items() if location.startswith(scheme)), "local")
    try:
        return _TAKE_APART[kind](location)
    except ValueError:
        return LocationFields(path=location)  # It was typed, and is not well formed.


def posted_location(posted: Mapping[str, Any], name: str) -> tuple[str, LocationFields]:
    """Return the location that a posted form means, and its fields as they were typed.

    A form without the choice, as other programs post it, has the whole location in one field.
    """
    whole, kind = str(posted.get(name, "")), str(posted.get(f"{name}_kind", ""))
    if kind not in _SCHEMES:
        return whole, fields_of(whole) if kind != "local" else LocationFields(path=whole)
    parts = {part: str(posted.get(f"{name}_{part}", "")).strip() for part in _PARTS}
    fields = LocationFields(kind, str(posted.get(f"{name}_path", "")).strip(), **parts)
    return _put_together(fields), fields


def _put_together(fields: LocationFields) -> str:
    path = fields.path.removeprefix("/")
    if fields.kind == "rclone":
        # What begins with a slash is an absolute path on the remote.
        return f"{RCLONE_SCHEME}{fields.remote}/{fields.path}"
    host = f"{fields.host}:{fields.port}" if fields.port else fields.host
    if fields.kind == "rsync":
        return f"{RSYNC_SCHEME}{host}/{fields.module}{f'/{path}' if path else ''}"
    user = f"{fields.user}@" if fields.user else ""
    return f"{SSH_SCHEME}{user}{host}{f'/{path}' if fields.path else ''}"


def _of_ssh(location: str) -> LocationFields:
    found = ssh_location(location)
    port = "" if found.port is None else str(found.port)
    return LocationFields("ssh", found.path, found.user or "", found.host, port)


def _of_rsync(location: str) -> LocationFields:
    # The same form but for the user.
    found = ssh_location(f"{SSH_SCHEME}{location.removeprefix(RSYNC_SCHEME)}")
    module, _, path = found.path.removeprefix("/").partition("/")
    host = found.host if found.user is None else f"{found.user}@{found.host}"
    port = "" if found.port is None else str(found.port)
    return LocationFields("rsync", path, host=host, port=port, module=module)


def _of_rclone(location: str) -> LocationFields:
    found = rclone_location(location)
    return LocationFields("rclone", found.path, remote=found.remote)


_TAKE_APART = {
    "local": lambda location: LocationFields(path=location),
    "ssh": _of_ssh,
    "rsync": _of_rsync,
    "rclone": _of_rclone,
}
