"""rclone://remote-name/path: what a person may write, strictly.

The remote is one of the person's own rclone configuration, by its name. A connection string, which
could say anything to rclone, cannot be written: it has a comma, a colon or a quotation mark in the
name (rclone docs, Connection strings).
"""

from __future__ import annotations

import re

from models.authority import climbs

FORM = "rclone://remote-name/path"
REMOTE_NAME = re.compile(r"[\w.+@](?:[\w.+@ -]{0,126}[\w.+@-])?")
"""rclone's own rule (fs/fspath, configNameRe), with a length."""


def rclone_url_fault(url: str) -> str | None:
    """Return what is wrong with a text that begins with rclone://, or None.

    Percent signs stand for themselves: rclone decodes nothing.
    """
    remote, _, path = url.partition("://")[2].partition("/")
    if not REMOTE_NAME.fullmatch(remote):
        return (
            f"A location on an rclone remote has the form {FORM}. The name is that of a remote in "
            "rclone’s configuration: letters, digits and “_.+@-”. Options such as “,key=value:” "
            "belong into that configuration."
        )
    if climbs(path):
        return "The path must not contain “..”: write where it really leads."
    return None
