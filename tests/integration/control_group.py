"""A control group for tests, as systemd gives one to each service."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

from tests.conftest import need
from tests.support import wait_until


class ControlGroup:
    """One of version 2 (cgroups(7)), for whatever is put into it and what that starts."""

    def __init__(self) -> None:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        top = next((line.split()[1] for line in mounts.splitlines() if " cgroup2 " in line), None)
        need("cgroup2", top)
        assert top is not None
        self.path = Path(top) / f"longshore-test-{uuid.uuid4().hex}"
        try:
            self.path.mkdir()
        except OSError as error:
            need(f"the right to make a control group ({error.strerror})", found=False)

    def take(self, pid: int) -> None:
        """Move a process into it; what it starts from then on is in it too."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def pids(self) -> set[int]:
        """Return the processes in it."""
        return set(map(int, (self.path / "cgroup.procs").read_text().split()))

    def close(self) -> None:
        """End what is left in it, and remove it."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.pids(), what="the end of the control group")
        self.path.rmdir()
