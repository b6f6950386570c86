"""What tests share: waiting for a condition, a real server process, trees of files, comparisons."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests import forked

Value = TypeVar("Value")
PROJECT_ROOT = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.02
ENDED = {"completed", "failed", "paused", "interrupted"}


def wait_until(
    condition: Callable[[], Value], *, seconds: float = 30.0, what: str = "the condition"
) -> Value:
    """Return the first true value of `condition`; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(_POLL_SECONDS)


def environment_of(process: psutil.Process) -> dict[str, str]:
    """Return what `process` was given as its environment. Who starts a process goes on as soon as
    the new program has a memory of its own; its environment is laid there only after that."""
    return wait_until(process.environ, what=f"the environment of {process.pid}")


async def wait_until_async(
    condition: Callable[[], Awaitable[Value]], *, seconds: float = 30.0, what: str = "the condition"
) -> Value:
    """Return the first true value of an awaited `condition`; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds} s")
        await asyncio.sleep(_POLL_SECONDS)


_PORTS = range(15_000, 32_000)  # Below those that the kernel gives to outgoing connections.
_leases: list[int] = []


def free_port() -> int:
    """Return a port that nobody listens on, and that no other process that tests gets before this
    one has ended: a server that is down for a moment finds its own free again."""
    folder = Path(tempfile.gettempdir()) / f"longshore-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, 1000):
        lease = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lease)
            continue
        _leases.append(lease)
        return port
    raise AssertionError("no port is free")


class RunningServer:
    """`longshore serve` as a process of its own, on its own data directory and port."""

    program: tuple[str, ...] = ("-m", "fastapi_app.cli", "serve")
    """What Python is told to run."""
    forks = True
    """Whether it may be forked from a process that has imported it already, which is far quicker:
    not where its command line, /proc/PID/environ or the start itself is looked at."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.environment = {
            **os.environ,
            "LONGSHORE_DATA_DIR": str(data_dir),
            "LONGSHORE_HOST": "127.0.0.1",
            "LONGSHORE_PORT": str(self.port),
            **environment,
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | forked.ForkedProcess | None = None
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self.had_no_room = False
        """Whether a full disk may have cut a line of a journal: readers pass over that one."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.program is RunningServer.program and self._may_fork():
            self.process = forked.ForkedProcess(["serve"], self.environment, joined=True)
        else:
            self.process = self._spawned([sys.executable, *self.program])
        wait_until(self._answers, what="the server's answer")

    def _may_fork(self) -> bool:
        return self.forks and forked.can_start(self.environment)

    def _spawned(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it with SIGTERM, as a service manager would."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """End it and every run it started."""
        try:
            for job in self.jobs():
                if job["state"]["status"] in {"queued", "running"}:
                    self.http.post(f"/api/v1/jobs/{job['id']}/stop")
            wait_until(
                lambda: all(
                    job["state"]["status"] not in {"queued", "running", "stopping"}
                    for job in self.jobs()
                ),
                what="the end of all runs",
            )
        except httpx.HTTPError:
            pass  # It was ended on purpose: its runs are the test's own to end.
        finally:
            self.terminate()
            self.http.close()

    def cli(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run `longshore` with these arguments against this server."""
        if self._may_fork():
            return forked.run(arguments, self.environment, timeout=60, typed=typed)
        return subprocess.run(
            [sys.executable, "-m", "fastapi_app.cli", *arguments],
            cwd=PROJECT_ROOT,
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def begin(self, *arguments: str) -> forked.ForkedProcess:
        """Start `longshore` with these arguments, and do not wait for its end."""
        return forked.ForkedProcess(arguments, self.environment)

    def jobs(self) -> list[dict[str, Any]]:
        """Return every job through the API."""
        found: list[dict[str, Any]] = self.http.get("/api/v1/jobs?limit=500").json()["items"]
        return found

    def create_job(self, source: Path | str, destination: Path | str, **fields: Any) -> str:
        """Create a job through the API and return its id."""
        definition = {
            "name": "A job",
            "engine": "rsync",
            "source": str(source),
            "destination": str(destination),
            **fields,
        }
        answer = self.http.post("/api/v1/jobs", json=definition)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def start_job(self, job_id: str) -> str:
        """Start a job through the API and return the run's id."""
        answer = self.http.post(f"/api/v1/jobs/{job_id}/start")
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    def state(self, job_id: str) -> dict[str, Any]:
        """Return a job's state through the API."""
        state: dict[str, Any] = self.http.get(f"/api/v1/jobs/{job_id}").json()["state"]
        return state

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run through the API."""
        run: dict[str, Any] = self.http.get(f"/api/v1/runs/{run_id}").json()
        return run

    def wait_for_end(self, run_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the run has ended and return it."""

        def ended() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["outcome"] is not None else None

        run = wait_until(ended, seconds=seconds, what=f"the end of {run_id}")
        assert run is not None
        return run

    def journal(self, run_id: str) -> list[dict[str, Any]]:
        """Return the journal as it stands on disk."""
        path = self.data_dir / "runs" / run_id / "journal.jsonl"
        # The last line may be on its way still.
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines() if line and self._is_whole(line)]

    def _is_whole(self, line: bytes) -> bool:
        return not self.had_no_room or line.endswith(b"}")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            output = self.process.stdout.read().decode() if self.process.stdout else ""
            raise AssertionError(f"the server ended with {self.process.returncode}: {output}")
        try:
            return self.http.get("/health").status_code in {200, 503}
        except httpx.TransportError:
            return False

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


def make_tree(root: Path, *, files: int, seed: int = 1, largest: int = 4096) -> Path:
    """Make a tree of files with reproducible contents, twenty-five in a folder."""
    generator = random.Random(seed)
    for number in range(files):
        path = root / f"folder {number // 25:03d}" / f"file-{number:05d}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.randbytes(generator.randint(1, largest)))
    return root


def make_large_file(path: Path, *, megabytes: int, seed: int = 1) -> Path:
    """Make one file that does not compress."""
    generator = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(generator.randbytes(1024 * 1024))
    return path


def tree_of(directory: Path) -> dict[str, tuple[int, int, str]]:
    """Return every entry of a directory, and itself: mode, time in ns, hash of the content."""
    found = {}
    for path in sorted([directory, *directory.rglob("*")]):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()
        found[str(path.relative_to(directory))] = (facts.st_mode, facts.st_mtime_ns, digest)
    return found


def rsync_differences(source: Path, destination: Path) -> str:
    """Return what bare rsync would still change, comparing checksums; empty when identical.

    FIFOs, sockets and devices are passed over: no engine copies them.
    """
    options = ["-nac", "--no-D", "--info=nonreg0", "--delete", "--itemize-changes"]
    result = subprocess.run(
        ["rsync", *options, f"{source}/", f"{destination}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def assert_progress_never_decreases(journal: list[dict[str, Any]]) -> int:
    """Check every progress event of a journal; returns how many there were."""
    last: dict[str, float] = {}
    count = 0
    for line in journal:
        progress = line.get("progress")
        if progress is None:
            continue
        count += 1
        for name in ("bytes_done", "bytes_sent", "files_done", "percent"):
            value = progress[name]
            if value is None:
                assert name not in last, f"{name} was known and is not any more: {line}"
                continue
            assert value >= last.get(name, 0), f"{name} went back: {line}"
            last[name] = value
    return count
