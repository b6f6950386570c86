"""Starting `longshore` without importing it anew each time: a process that has, and forks.

Most of what a start costs are its imports, more than a second of computing, and the suites start
it some hundred times. What runs is the same program, in a process of its own with its own session,
environment and standard files; `sys.argv` is as if it had been typed. It has at hand what Typer and
Jinja make of our functions and templates, and ends without being taken apart. What looks at a
command line, at /proc/PID/environ or at the start itself starts it for real (RunningServer.forks).

As a program it is that process: it forks once for each message on standard input, a socket.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

_ROOT = Path(__file__).resolve().parents[1]
_LONGEST_MESSAGE = 128 * 1024
_NUMBER = struct.Struct("i")
_LOADED = (
    "fastapi_app.cli",  # What it loads when it needs it:
    "fastapi_app.commands.serve",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)
_OWN_NAMES = ("LONGSHORE_", "PYTEST_", "PATH", "HOME", "RCLONE_", "RSYNC_")
_OTHERS = ("EDITOR", "VISUAL", "TMPDIR")


def can_start(environment: Mapping[str, str]) -> bool:
    """Return whether a fork can have this environment: not what Python or libc read at a start."""
    names = {name for name, _ in environment.items() ^ os.environ.items()}
    return all(name.startswith(_OWN_NAMES) or name in _OTHERS for name in names)


class ForkedProcess:
    """A `longshore` that was forked, to be handled as `subprocess.Popen` is."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        typed: int | str = "",
        joined: bool = False,
    ) -> None:
        """Start it. Its standard input is a file, such as a terminal, or what is typed; standard
        error goes where `joined` says: into the pipe of standard output, or one of its own."""
        self.args = ["longshore", *arguments]
        self.returncode: int | None = None
        ours, theirs = os.pipe()
        errors, its_errors = (-1, theirs) if joined else os.pipe()
        self._reports, its_reports = os.pipe()
        read = os.dup(typed) if isinstance(typed, int) else _full_pipe(typed.encode())
        message = json.dumps({"arguments": list(arguments), "environment": dict(environment)})
        files = [read, theirs, its_errors, its_reports]
        try:
            socket.send_fds(_nursery(), [message.encode()], files)
        finally:
            for file in {*files}:
                os.close(file)
        self.stdout = os.fdopen(ours, "rb")
        self.stderr = None if joined else os.fdopen(errors, "rb")
        self.pid = self._report()

    def poll(self) -> int | None:
        """Return how it ended, as Popen does, or None."""
        if self.returncode is None and select.select([self._reports], [], [], 0)[0]:
            self.returncode = os.waitstatus_to_exitcode(self._report())
            os.close(self._reports)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._reports], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.poll()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Return what it wrote until its end, and close that. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pipes = [pipe for pipe in (self.stdout, self.stderr) if pipe is not None]
        written = {pipe: bytearray() for pipe in pipes}
        unread = list(pipes)
        while unread:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = select.select(unread, [], [], left)[0]
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            for pipe in ready:
                piece = os.read(pipe.fileno(), 64 * 1024)
                written[pipe] += piece
                if not piece:
                    unread.remove(pipe)
        self.wait(timeout)
        for pipe in pipes:
            pipe.close()
        out, *errors = (bytes(written[pipe]) for pipe in pipes)
        return out, errors[0] if errors else b""

    def send_signal(self, number: int) -> None:
        """Send it a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _report(self) -> int:
        report = os.read(self._reports, _NUMBER.size)
        assert report, "the process that forks is gone"
        number: int = _NUMBER.unpack(report)[0]
        return number


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: float,
    typed: int | str = "",
) -> subprocess.CompletedProcess[str]:
    """Run it to its end and return what it wrote. Raises subprocess.TimeoutExpired."""
    process = ForkedProcess(arguments, environment, typed=typed)
    try:
        out, errors = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out.decode(), errors.decode())


def _full_pipe(content: bytes) -> int:
    """Return the end of a pipe that holds all of this."""
    assert len(content) <= select.PIPE_BUF
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    return read


@cache
def _nursery() -> socket.socket:
    """Start the process that forks, once for each process that tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for side in (ours, theirs):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _LONGEST_MESSAGE)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked"], cwd=_ROOT, stdin=theirs.fileno()
    )
    theirs.close()

    def let_it_end() -> None:
        ours.close()
        process.wait()

    atexit.register(let_it_end)
    return ours


def _serve(orders: socket.socket) -> list[str] | None:
    """Fork for each order; returns in the forked process, with the arguments of its command line,
    or None at the end."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reports: dict[int, int] = {}
    while True:
        ready = select.select([orders.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _tell_who_ended(reports)
        if orders.fileno() not in ready:
            continue
        message, files, _, _ = socket.recv_fds(orders, _LONGEST_MESSAGE, 4)
        if not message:
            return None
        *standard, report = files
        pid = os.fork()
        if pid == 0:
            return _as_if_typed(json.loads(message), standard)
        for file in standard:
            os.close(file)
        reports[pid] = report
        _send(report, pid)


def _tell_who_ended(reports: dict[int, int]) -> None:
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        report = reports.pop(pid)
        _send(report, status)
        os.close(report)


def _send(report: int, number: int) -> None:
    with suppress(BrokenPipeError):  # Whoever asked for it is gone.
        os.write(report, _NUMBER.pack(number))


def _as_if_typed(order: dict[str, object], standard: Sequence[int]) -> list[str]:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, file in enumerate(standard):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    arguments, environment = order["arguments"], order["environment"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    return arguments


def _prepare_commands() -> None:
    """Keep what Typer makes of our functions, which is the same at each start."""
    typer: Any = importlib.import_module("typer.main")
    typer.get_command = cache(typer.get_command)
    typer.get_command(importlib.import_module("fastapi_app.cli").app)


def _prepare_templates() -> None:
    """Keep the code that Jinja makes of our templates, which is the same in each server."""
    rendering = importlib.import_module("fastapi_app.rendering")
    environment = rendering.Renderer(lambda *_, **__: "", root_path="")._environment
    codes = {}
    for name in environment.list_templates():
        source, file, _ = environment.loader.get_source(environment, name)
        codes[source, name, file] = environment.compile(source, name, file)
    type(environment).compile = lambda _, *template: codes[template]


def _main() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    _prepare_commands()
    _prepare_templates()
    with socket.socket(fileno=os.dup(0)) as orders:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        gc.collect()
        gc.freeze()
        arguments = _serve(orders)
        if arguments is None:
            return
        orders.detach()
    sys.argv = [str(_ROOT / "fastapi_app" / "cli.py"), *arguments]
    code: object = 0
    try:
        importlib.import_module("fastapi_app.cli").main()
    except SystemExit as end:
        code = end.code
    _end(code)


def _end(code: object) -> NoReturn:
    """End as Python does, but for taking all that was ever loaded apart: most of what a short
    command would cost, as each of it is first copied from the process that forked."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    _main()
