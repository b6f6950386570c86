"""Proves that a server at rest is at rest: nothing in it looks again and again."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support import RunningServer, make_tree, wait_until

WINDOW_SECONDS = 3.0
MOST_WAKES = 3
"""None of its own; the machine may wake a thread for nothing."""


def wakes(server: RunningServer) -> int:
    """Return how often any thread of the server has gone to sleep so far (proc(5), status)."""
    assert server.process is not None
    count = 0
    for path in Path(f"/proc/{server.process.pid}/task").glob("*/status"):
        for line in path.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                count += int(line.split()[1])
    return count


def wakes_in_window(server: RunningServer) -> int:
    """Return how often it woke in a while that is always as long, however busy the machine is."""
    before = wakes(server)
    time.sleep(WINDOW_SECONDS)
    return wakes(server) - before


def test_an_idle_server_sleeps(tmp_path: Path, server: RunningServer) -> None:
    make_tree(tmp_path / "from", files=3)
    job_id = server.create_job(tmp_path / "from", tmp_path / "to")
    server.wait_for_end(server.start_job(job_id))
    # What a start and a run leave to be done is done after a while.
    wait_until(lambda: wakes_in_window(server) <= MOST_WAKES, seconds=30, what="the server's rest")
