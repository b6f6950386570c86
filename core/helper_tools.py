"""Programs beside the engines' tools, with their versions: asked once for each executable, and
again after a minute when it did not tell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

_VERSION_SECONDS = 5.0
_ASKED_AGAIN_SECONDS = 60.0
"""When an executable is asked again that did not tell its version."""
_SSH_VERSION = re.compile(r"OpenSSH_([\w.]+)")


class HelperTools:
    """What this machine has of them. Blocks: for a thread."""

    def __init__(self) -> None:
        self._executable: tuple[str, int, int] | None = None
        self._version: str | None = None
        self._asked_at = float("-inf")

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
        if executable != self._executable:
            self._executable, self._version = executable, None
            self._asked_at = float("-inf")
        if self._version is None and time.monotonic() - self._asked_at > _ASKED_AGAIN_SECONDS:
            self._version = _ssh_version(path)
            self._asked_at = time.monotonic()
        return True, self._version


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
