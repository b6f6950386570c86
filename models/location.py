"""Locations: where a job reads and writes, as a person types them (contracts.md, Job).

A location is an absolute local path or a URL that says what it is. Nothing is ever guessed to be
a remote: what merely looks like one is refused with the right form in the message.
"""

from __future__ import annotations

import re
import unicodedata

from models import rclone_url, rsync_url, ssh_url
from models.remote import RCLONE_SCHEME, RSYNC_SCHEME, SSH_SCHEME

_RULES = {
    SSH_SCHEME: ssh_url.ssh_url_fault,
    RSYNC_SCHEME: rsync_url.rsync_url_fault,
    RCLONE_SCHEME: rclone_url.rclone_url_fault,
}
_FORMS = {"ssh": ssh_url.FORM, "rsync": rsync_url.FORM, "rclone": rclone_url.FORM}
_HOST_PATH = re.compile(
    r"^(?P<host>(?:[^/:@\s]+@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)):(?P<path>.*)$"
)

_DOTS = (
    "A path must not contain “..”: behind a link the tools do not agree on where that leads. Write "
    "the path that is meant."
)


def control_character(text: str) -> str | None:
    """Return the first control character of a text as an escape, or None.

    Unicode categories Cc (control) and Cs (surrogate, the trace of a path that is not UTF-8).
    """
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"}:
            return character.encode("unicode_escape").decode("ascii")
    return None


def location_fault(value: str) -> str | None:
    """Return what is wrong with a location as it is written, or None when it is well formed.

    Says nothing about whether it exists: that is the business of `core/preflight.py`.
    """
    if not value.strip():
        return "Say which folder or file, as an absolute path such as /srv/photos."
    escape = control_character(value)
    if escape is not None:
        return f"A path must not contain the control character {escape}."
    if value.startswith("/"):
        return _DOTS if ".." in value.split("/") else None
    if value.startswith("-"):
        return (
            "A path must not begin with “-”. Write the absolute path of the file or folder, "
            "such as /srv/-photos."
        )
    for scheme, fault_of in _RULES.items():
        if value.startswith(scheme):
            return fault_of(value)
    form = _FORMS.get(value.partition(":")[0].lower())
    if form is not None:
        return f"Such a location has the form {form}, in small letters up to “://”."
    remote = _HOST_PATH.match(value)
    if remote:
        return _remote_hint(remote["host"], remote["path"])
    if value.startswith("~"):
        return "“~” is not expanded here. Write the absolute path, such as /home/ada/photos."
    return "This is a relative path. Write the absolute path, which begins with “/”."


def _remote_hint(host: str, path: str) -> str:
    # The double colon is rsync's older way to name a daemon; in a URL it has no user here.
    is_daemon = path.startswith(":")
    url = f"rsync://{host.rpartition('@')[2]}" if is_daemon else f"ssh://{host}"
    return (
        "This looks like a remote location. A remote is written as a URL, such as "
        f"{url}/{path.lstrip(':/')}; a local path begins with “/”."
    )
