"""Programs beside the engines' tools, with their versions: asked once for each executable."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

_VERSION_SECONDS = 5.0
_SSH_VERSION = re.compile(r"OpenSSH_([\w.]+)")


class HelperTools:
    """What this machine has of them. Blocks: for a thread."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int, int], str | None] = {}

    def ssh(self) -> tuple[bool, str | None]:
        """Return whether there is an ssh, and OpenSSH's version."""
        path = shutil.which("ssh")
        if path is None:
            return False, None
        try:
            facts = os.stat(path)
        except OSError:
            return False, None
        executable = (path, facts.st_ino, facts.st_mtime_ns)
        if executable not in self._versions:
            self._versions = {executable: _ssh_version(path)}
        return True, self._versions[executable]


def _ssh_version(path: str) -> str | None:
    try:
        told = subprocess.run(
            [path, "-V"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _SSH_VERSION.search(told.stderr.decode("utf-8", "replace"))
    return found.group(1) if found else None
