"""A real rsync daemon for tests, on loopback or in a network namespace of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support import free_port, wait_until

USER, PASSWORD = "ada", "a daemon's password; 42"
"""Who may use the module `secured`."""
_CONFIG = """
use chroot = no
address = {address}
port = {port}
reverse lookup = no
log file = {root}/daemon.log
lock file = {root}/daemon.lock
{owner}
[backup]
    path = {root}/module
    read only = no
    {chroot}
[archive]
    path = {root}/module
[secured]
    path = {root}/module
    read only = no
    {chroot}
    auth users = ada
    secrets file = {root}/secrets
[careful]
    path = {root}/module
    read only = no
    refuse options = delete
[gone]
    path = {root}/no such folder
[full]
    path = {root}/module
    max connections = -1
"""


class RsyncDaemon:
    """One daemon, whose module `backup` is the folder `module`; all its processes are one group."""

    def __init__(
        self, root: Path, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()
    ) -> None:
        self.address = address
        self.port = free_port()
        self.module = root / "module"
        self.module.mkdir(parents=True)
        self._prefix = prefix
        self._config = root / "rsyncd.conf"
        # Only within a chroot does a daemon take links and owners as they are.
        root_only = ("uid = 0\ngid = 0", "use chroot = yes") if os.geteuid() == 0 else ("", "")
        owner, chroot = root_only
        self._config.write_text(
            _CONFIG.format(root=root, address=address, port=self.port, owner=owner, chroot=chroot)
        )
        secrets = root / "secrets"
        secrets.touch(mode=0o600)
        secrets.write_text(f"{USER}:{PASSWORD}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, path: str = "", *, module: str = "backup") -> str:
        """Return the location of a path in a module."""
        return f"rsync://{self.address}:{self.port}/{module}/{path}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        argv = [*self._prefix, "rsync", "--daemon", "--no-detach", f"--config={self._config}"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until(self._answers, what="the rsync daemon's answer")

    def stop(self) -> None:
        """End it and all that serve a connection."""
        if self._process is None:
            return
        # One that serves a connection may have been stopped by a test.
        for number in (signal.SIGTERM, signal.SIGCONT):
            os.killpg(self._process.pid, number)
        self._process.wait(timeout=20)
        self._process = None

    def freeze_connections(self) -> None:
        """Stop all that serve a connection, and not the daemon itself."""
        served = self._connections()
        assert served, "nobody is served"
        for process in served:
            process.suspend()

    def thaw_connections(self) -> None:
        """Let all that serve a connection go on."""
        for process in self._connections():
            process.resume()

    def _connections(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the rsync daemon has ended"
        try:
            with socket.create_connection((self.address, self.port), timeout=1) as connection:
                return connection.recv(8) == b"@RSYNCD:"
        except OSError:
            return False


@contextmanager
def running_daemon(
    root: Path, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()
) -> Iterator[RsyncDaemon]:
    """A daemon that is ended afterwards."""
    daemon = RsyncDaemon(root, address=address, prefix=prefix)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
