"""An rsync that a test can bring into trouble, first on the PATH of a server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("troubled_rsync.py")
_EXECUTABLE_MODE = 0o755


class TroubledRsync:
    """The real rsync until it is brought into trouble; it takes note when two of them write to one
    place."""

    def __init__(self, directory: Path, real: str) -> None:
        directory.mkdir()
        self._directory = directory
        tool = directory / "rsync"
        # -S, -E, -s: it starts quicker, and nothing of the test's environment is meant for it.
        tool.write_text(f"#!{sys.executable} -SEs\n" + _PROGRAM.read_text())
        tool.chmod(_EXECUTABLE_MODE)
        (directory / "real").symlink_to(real)
        (directory / "transfers").touch()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a server find it before the real one."""
        return {"PATH": os.pathsep.join((str(self._directory), os.environ["PATH"]))}

    def trouble(self, call: str, matter: str) -> None:
        """From now on this call (`transfer`, `scan`, `verification`) is `refused` or `stubborn`."""
        new = self._directory / "trouble.new"
        new.write_text(f"{call} {matter}\n")
        new.replace(self._directory / "trouble")

    def mend(self) -> None:
        """End the trouble for calls from now on."""
        (self._directory / "trouble").unlink()

    @property
    def transfers(self) -> int:
        """How many transfers were begun."""
        return len((self._directory / "transfers").read_text().splitlines())

    @property
    def overlaps(self) -> int:
        """How many of them began while another one could still write to the same destination."""
        path = self._directory / "overlaps"
        return len(path.read_text().splitlines()) if path.exists() else 0

    @property
    def escaped(self) -> list[int]:
        """The pids of stubborn processes that have fled into sessions of their own."""
        path = self._directory / "stubborn"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []
