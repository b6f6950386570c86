"""Proves that what a run started is found wherever it moved to, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.runner.leftovers import end_what_is_left
from tests.support import wait_until
from utils.durable_file import try_lock
from utils.process_identity import ProcessIdentity, identify, is_alive
from utils.process_search import RUN_VARIABLE, started_by_run

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def run_id(tmp_path: Path) -> Iterator[str]:
    """A run of its own, of which nothing is left afterwards."""
    run_id = f"run-{tmp_path.name}-{os.getpid()}"
    yield run_id
    for process in started_by_run(run_id):
        os.kill(process.pid, signal.SIGKILL)


def start(run_id: str | None, *, away: bool = False) -> tuple[subprocess.Popen[bytes], object]:
    """Start a process, of this run or of none; `away` in a session of its own."""
    kept = {key: value for key, value in os.environ.items() if key != RUN_VARIABLE}
    environment = kept | ({RUN_VARIABLE: run_id} if run_id else {})
    child = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], env=environment, start_new_session=away
    )
    wait_until(
        lambda: Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(sys.executable.encode()),
        what="the program in the child",
    )
    return child, identify(child.pid)


def test_what_a_run_started_is_found_by_its_mark(run_id: str) -> None:
    near, near_identity = start(run_id)
    far, far_identity = start(run_id, away=True)
    others = [start(None)[0], start(run_id + "0")[0]]
    try:
        assert set(started_by_run(run_id)) == {near_identity, far_identity}
    finally:
        for child in (near, far, *others):
            child.kill()
            child.wait()
    assert started_by_run(run_id) == ()


def test_who_holds_the_lock_is_found_too(run_id: str, tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], pass_fds=[lock])
    os.close(lock)
    try:
        assert started_by_run(run_id) == ()
        found = started_by_run(run_id, str(tmp_path / "lock"))
        assert found == (identify(child.pid),)
    finally:
        child.kill()
        child.wait()
    assert started_by_run(run_id, str(tmp_path / "lock")) == ()
    assert started_by_run(run_id, str(tmp_path / "missing")) == ()


def test_what_is_left_of_a_run_is_ended_and_no_other(run_id: str) -> None:
    left, identity = start(run_id, away=True)
    other, other_identity = start(None)
    assert isinstance(identity, ProcessIdentity)
    assert isinstance(other_identity, ProcessIdentity)
    try:
        end_what_is_left(run_id)
        assert not is_alive(identity)
        assert is_alive(other_identity)
    finally:
        for child in (left, other):
            child.kill()
            child.wait()
