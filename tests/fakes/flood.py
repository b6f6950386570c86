"""An rsync that floods its output, first on the PATH of a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("flooding_rsync.py")
_EXECUTABLE_MODE = 0o755


class FloodingRsync:
    """The real rsync, which writes so many bytes of lines before it copies."""

    def __init__(self, directory: Path, real: str, *, size: int) -> None:
        directory.mkdir()
        self._directory = directory
        tool = directory / "rsync"
        # -S, -E, -s: it starts quicker, and nothing of the test's environment is meant for it.
        tool.write_text(f"#!{sys.executable} -SEs\n" + _PROGRAM.read_text())
        tool.chmod(_EXECUTABLE_MODE)
        (directory / "real").symlink_to(real)
        self.resize(size)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a server find it before the real one."""
        return {"PATH": os.pathsep.join((str(self._directory), os.environ["PATH"]))}

    def resize(self, size: int) -> None:
        """From now on it writes so many bytes."""
        (self._directory / "bytes").write_text(str(size))

    @property
    def has_flooded(self) -> bool:
        """Whether a flood has come to its end."""
        return (self._directory / "seconds").exists()

    def hold(self) -> None:
        """From now on it waits between the flood and the copying."""
        (self._directory / "hold").touch()

    def go_on(self) -> None:
        """Let it copy."""
        (self._directory / "hold").unlink()

    def seconds(self) -> float:
        """Return how long the last flood took, and forget it."""
        path = self._directory / "seconds"
        seconds = float(path.read_text())
        path.unlink()
        return seconds

    def flood_file(self, path: Path, source: Path, destination: Path) -> None:
        """Run it by itself, with its output to a plain file."""
        argv = [str(self._directory / "rsync"), "-a", f"{source}/", f"{destination}/"]
        with path.open("wb") as file:
            subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=file, check=True)
