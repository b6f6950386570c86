"""Which locations lie on another machine, and the parts that their URLs have.

Apart from `models/location.py`, which says whether one is well formed: the runner needs no more
than this, and must start fast.
"""

from __future__ import annotations

from typing import NamedTuple

RSYNC_SCHEME = "rsync://"
SSH_SCHEME = "ssh://"
RCLONE_SCHEME = "rclone://"
_SCHEMES = (RSYNC_SCHEME, SSH_SCHEME, RCLONE_SCHEME)


class SshLocation(NamedTuple):
    """A location on another host; `host` is in brackets when it is an IPv6 address."""

    user: str | None
    host: str
    port: int | None
    path: str


class RcloneLocation(NamedTuple):
    """A location on a remote of the person's rclone configuration."""

    remote: str
    path: str


def is_remote(location: str) -> bool:
    """Whether a well-formed location is on another machine: a URL; a path begins with “/”."""
    return location.startswith(_SCHEMES)


def path_in_module(url: str) -> str:
    """Return the path of an rsync:// URL within its module, without slashes at its ends."""
    _, _, path = url.removeprefix(RSYNC_SCHEME).partition("/")
    return path.partition("/")[2].strip("/")


def ssh_location(url: str) -> SshLocation:
    """Return the parts of a well-formed ssh:// URL."""
    authority, _, path = url.removeprefix(SSH_SCHEME).partition("/")
    user, has_user, host = authority.rpartition("@")
    # The last colon outside of an address in brackets parts off the port.
    name, has_port, port = host.rpartition(":")
    if not has_port or "]" in port:
        name, port = host, ""
    return SshLocation(user if has_user else None, name, int(port) if port else None, f"/{path}")


def rclone_location(url: str) -> RcloneLocation:
    """Return the parts of a well-formed rclone:// URL; what stands behind the first slash is the
    path, so that `rclone://remote//path` is an absolute one."""
    remote, _, path = url.removeprefix(RCLONE_SCHEME).partition("/")
    return RcloneLocation(remote, path)
