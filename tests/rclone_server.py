"""Real servers for tests of rclone's remotes, on loopback: `rclone serve` over a folder each."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import free_port, wait_until

RCLONE = Path(sys.executable).parent / "rclone"
KINDS = ("s3", "webdav", "sftp")
_KEY, _SECRET = "ACCESSKEY00000", "SECRETKEY000000"
_USER, _PASSWORD = "ada", "correct horse"
_PLAIN = {"RCLONE_CONFIG": ""}


def rclone(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bare rclone, which is to end well."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("RCLONE_")}
    return subprocess.run(
        [str(RCLONE), *arguments],
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


class RcloneServer:
    """One `rclone serve`, and the remote that leads there under its kind's name."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind = kind
        self.folder = root / kind
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # In S3 the first folder is a bucket.
        self.top = self.folder / "backups"
        self.top.mkdir(parents=True)

    def url(self, path: str = "") -> str:
        """Return the location of a path beneath `top`."""
        return f"rclone://{self.kind}/backups/{path}"

    def section(self, *, password: str = _PASSWORD, port: int | None = None) -> dict[str, str]:
        """Return what stands in rclone's configuration."""
        port = port or self.port
        hidden = rclone("obscure", password, RCLONE_CONFIG="").stdout.strip()
        if self.kind == "s3":
            return {
                "type": "s3",
                "provider": "Rclone",
                "endpoint": f"http://127.0.0.1:{port}",
                "access_key_id": _KEY,
                "secret_access_key": _SECRET if password == _PASSWORD else password,
            }
        if self.kind == "webdav":
            url = f"http://127.0.0.1:{port}"
            return {"type": "webdav", "url": url, "vendor": "rclone", "user": _USER, "pass": hidden}
        where = {"host": "127.0.0.1", "port": str(port), "shell_type": "none"}
        return {"type": "sftp", **where, "user": _USER, "pass": hidden, "known_hosts_file": "none"}

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        access = ["--auth-key", f"{_KEY},{_SECRET}"]
        if self.kind != "s3":
            access = ["--user", _USER, "--pass", _PASSWORD]
        argv = [str(RCLONE), "serve", self.kind, "--addr", f"127.0.0.1:{self.port}", *access]
        self._process = subprocess.Popen(
            [*argv, str(self.folder)],
            env=os.environ | _PLAIN,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers, what=f"the answer of rclone serve {self.kind}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"rclone serve {self.kind} has ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


def write_configuration(path: Path, remotes: Mapping[str, Mapping[str, str]]) -> Path:
    """Write a configuration with these remotes."""
    text = ""
    for name, values in remotes.items():
        lines = "".join(f"{key} = {value}\n" for key, value in values.items())
        text += f"[{name}]\n{lines}\n"
    path.write_text(text)
    path.chmod(0o600)
    return path


@contextmanager
def running_servers(root: Path, *kinds: str) -> Iterator[dict[str, RcloneServer]]:
    """Servers of some kinds that are ended afterwards."""
    with ExitStack() as stack:
        servers = {kind: RcloneServer(kind, root) for kind in kinds}
        for server in servers.values():
            stack.callback(server.stop)
            server.start()
        yield servers
