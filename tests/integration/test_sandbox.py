"""Proves that the dashboard and its runs can live with what the systemd unit takes from them,
and that a destination which the unit does not name is refused.

The sandbox is like systemd's: no capabilities, a read-only file system with a few holes, no memory
that is both written and executed, no sight of others' processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.access import Role
from tests.conftest import need
from tests.integration.access_server import PASSWORDS, bear_local_token, set_password, signed_in
from tests.integration.running import ended_server, run_to_end
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = pytest.mark.integration
# ProtectSystem=strict with ReadWritePaths=, and ProtectProc=invisible. The place of the test may be
# on a file system of its own, which the mount of the root does not reach.
_MOUNTS = """
place=$1; shift
mount --bind "$place" "$place"
for hole in data open; do mount --bind "$place/$hole" "$place/$hole"; done
mount -o remount,bind,ro "$place"
mount -o remount,bind,ro /
mount -t proc -o hidepid=invisible proc /proc
exec "$@"
"""
# MemoryDenyWriteExecute=, by the kernel itself (PR_SET_MDWE, since 6.3), and LimitCORE=0.
_CONFINED = """
import ctypes, os, resource, sys
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0 or sys.argv[1] == "older"
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.umask(0o077)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
_SETPRIV = ("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
_UNSHARE = ("unshare", "--mount", "--propagation", "private")
_KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])


class SandboxedServer(RunningServer):
    """A server that has what the unit leaves it."""

    def __init__(self, place: Path, **environment: str) -> None:
        super().__init__(place / "data", **environment)
        self._place = place

    def start(self) -> None:
        """Start it behind the sandbox: all of these become one and the same process."""
        age = "newer" if _KERNEL >= (6, 3) else "older"
        within = [*_SETPRIV, sys.executable, "-c", _CONFINED, age, *self.program]
        self.process = self._spawned(
            [*_UNSHARE, "sh", "-ec", _MOUNTS, "sh", str(self._place), *within]
        )
        wait_until(self._answers, what="the server's answer")


def needs_namespaces() -> None:
    need("root, who may mount", os.geteuid() == 0)
    for tool in (_UNSHARE[0], _SETPRIV[0]):
        need(f"{tool} (util-linux)", shutil.which(tool))
    tried = subprocess.run(
        [*_UNSHARE, "mount", "-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"],
        capture_output=True,
        text=True,
    )
    need(f"a mount namespace ({tried.stderr.strip()})", tried.returncode == 0)


def test_it_works_with_what_the_unit_leaves_it(tmp_path: Path, rsync: str) -> None:
    needs_namespaces()
    for name in ("data", "open", "closed"):
        (tmp_path / name).mkdir(mode=0o700)
    source = make_tree(tmp_path / "from", files=3)
    server = SandboxedServer(tmp_path, LONGSHORE_STOP_GRACE_SECONDS="1")
    set_password(server, "passwd", "admin", password=PASSWORDS[Role.ADMIN])
    bear_local_token(server)
    with ended_server(server):
        # argon2 and its foreign function interface.
        signed_in(server, Role.ADMIN).close()

        for engine in ("rsync", "rclone"):
            copied = server.create_job(source, tmp_path / "open" / engine, engine=engine)
            assert run_to_end(server, copied)["status"] == "completed"
        refused = {"name": "Elsewhere", "engine": "rsync", "source": str(source)}
        refused["destination"] = str(tmp_path / "closed" / "here")
        answer = server.http.post("/api/v1/jobs", json=refused)
        assert answer.status_code == 422
        assert "lies on a disk that is mounted read-only" in answer.json()["detail"]

        make_large_file(tmp_path / "large" / "film.bin", megabytes=20)
        job_id = server.create_job(
            tmp_path / "large", tmp_path / "open" / "large", options={"bandwidth_limit": 1_000_000}
        )
        run_id = server.start_job(job_id)
        wait_until(lambda: server.run(run_id)["bytes_done"], what="some of the file")
        server.kill()
        server.start()
        assert server.state(job_id)["status"] == "running"
        before = server.run(run_id)["bytes_done"]
        wait_until(lambda: server.run(run_id)["bytes_done"] > before, what="more of the file")
        server.http.post(f"/api/v1/jobs/{job_id}/stop")
        wait_until(lambda: server.state(job_id)["status"] == "paused", what="the end of the run")
