"""A real sshd for tests, on loopback: with a host key and authorized keys of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.conftest import need
from tests.support import free_port, wait_until

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""Where sshd shuts in the part of itself that strangers talk to; only root's needs it (sshd(8))."""
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
AuthorizedKeysFile {root}/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
KbdInteractiveAuthentication no
PasswordAuthentication {passwords}
{more}
"""


def sshd_path() -> str | None:
    """Return where sshd is: in sbin, which is not on everybody's PATH."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def make_key(path: Path, *, passphrase: str = "") -> Path:
    """Make a pair of keys."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


class SshServer:
    """One sshd that lets in `key`; `folder` is for what the other host holds."""

    def __init__(self, root: Path, *, passwords: bool = False, more: str = "") -> None:
        self.port = free_port()
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.folder = root / "other host"
        self.folder.mkdir(parents=True)
        self.key = make_key(root / "a key")
        self._host_key = make_key(root / "host_key")
        shutil.copy(self.key.with_suffix(".pub"), root / "authorized_keys")
        self._config = root / "sshd_config"
        self._log = root / "sshd.log"
        text = _CONFIG.format(
            root=root, port=self.port, passwords="yes" if passwords else "no", more=more
        )
        self._config.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, path: Path | str = "") -> str:
        """Return the location of a path on the other host; a relative one is within `folder`."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{self.folder / path}"

    @property
    def host_key(self) -> str:
        """The kind of its key and the key."""
        return " ".join(self._host_key.with_suffix(".pub").read_text().split()[:2])

    def is_known_in(self, known_hosts: Path) -> None:
        """Write the host's key where ssh looks it up."""
        known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.host_key}\n")
        known_hosts.chmod(0o600)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        path = sshd_path()
        need("sshd (openssh-server)", path)
        need("ssh (openssh-client)", shutil.which("ssh"))
        assert path is not None
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [path, "-D", "-e", "-f", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, what="sshd's answer")

    def stop(self) -> None:
        """End it and all that serve a connection."""
        if self._process is None:
            return
        served = self._connections()
        self._process.terminate()
        self._process.wait(timeout=20)
        for process in served:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(served, timeout=20)
        self._process = None

    def freeze_connections(self) -> None:
        """Stop all that serve a connection, and not sshd itself: as on a link that is cut."""
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

    def log(self) -> str:
        """Return what it has said so far."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"sshd has ended: {self.log()}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False


@contextmanager
def running_sshd(root: Path, *, passwords: bool = False, more: str = "") -> Iterator[SshServer]:
    """An sshd that is ended afterwards."""
    server = SshServer(root, passwords=passwords, more=more)
    server.start()
    try:
        yield server
    finally:
        server.stop()
