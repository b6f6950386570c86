"""strace attached to a process that runs: what delays its system calls, fails them or kills it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def traced(strace: str, pid: int, output: Path, *options: str) -> Iterator[None]:
    """Trace a process or thread that waits; until then its calls are not counted."""
    tracer = subprocess.Popen(
        [strace, *options, "-o", str(output), "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    try:
        line = tracer.stderr.readline()
        assert "attached" in line, line + tracer.stderr.read()
        yield
    finally:
        tracer.terminate()  # It lets go of the process.
        tracer.wait()
        tracer.stderr.close()
