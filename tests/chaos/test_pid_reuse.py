"""Proves that no stranger is adopted or signalled, though it has the pid of a run's process.

The kernel is made to give the very pids again that journals name: in a pid namespace one may say
which pid comes next (/proc/sys/kernel/ns_last_pid).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import need
from tests.support import PROJECT_ROOT

pytestmark = pytest.mark.chaos
TRIES = 500 if os.environ.get("LONGSHORE_CHAOS") == "full" else 100
_SECONDS = 600


@pytest.fixture
def in_pid_namespace() -> list[str]:
    """What makes a command the first process of a pid namespace, with the right to choose pids."""
    unshare = shutil.which("unshare")
    need("unshare", unshare)
    assert unshare is not None
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [unshare, *as_root, "--pid", "--fork", "--kill-child", "--mount-proc"]
    choose = ["sh", "-c", "echo 300 >/proc/sys/kernel/ns_last_pid"]
    tried = subprocess.run([*command, *choose], capture_output=True)
    need("the right to make pid namespaces", tried.returncode == 0)
    return command


def test_no_stranger_is_adopted_or_signalled(
    in_pid_namespace: list[str], tmp_path: Path, tell: Callable[[str], None]
) -> None:
    tried = subprocess.run(
        [
            *in_pid_namespace,
            sys.executable,
            "-m",
            "tests.chaos.pid_reuse",
            str(tmp_path / "data"),
            str(TRIES),
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert tried.returncode == 0, tried.stderr
    told = json.loads(tried.stdout.splitlines()[-1])
    assert told["tries"] == TRIES
    assert told["strangers"] >= 2 * TRIES
    assert told["adopted"] == 0
    tell(f"{told['tries']} runs, {told['strangers']} strangers on their pids, none touched")
