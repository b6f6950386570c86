"""Proves that nothing is called done before the destination's file system has written it, and that
a run whose copy could not be written has failed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.mounts import bind_mount, loop_mount
from tests.conftest import need
from tests.spec_runs import SpecRun
from tests.support import PROJECT_ROOT, make_tree

ENGINES = {"rsync": "rsync", "rclone": str(Path(sys.executable).parent / "rclone")}
FILES = 20
CALLS = "trace=syncfs,rename,renameat,renameat2"
pytestmark = pytest.mark.chaos


def perform_traced(strace: str, run: SpecRun, *options: str) -> list[str]:
    """Perform a run to the end of all its processes; returns the calls that were traced."""
    trace = run.directory / "trace"
    traced = [strace, "-f", "-y", "-s", "4096", "-o", str(trace), "-e", CALLS, *options]
    runner = [sys.executable, "-S", "-E", "-s", "-m", "core.runner", str(run.directory)]
    subprocess.run([*traced, *runner], cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL, check=True)
    # A call that another process interrupted stands on two lines: the first one says what it is.
    lines = trace.read_text(errors="replace").splitlines()
    return [line for line in lines if " resumed>" not in line]


def a_run(tmp_path: Path, engine: str) -> SpecRun:
    """Return a run of twenty files, with a verification."""
    need(engine, shutil.which(ENGINES[engine]))
    return SpecRun(
        tmp_path / "run",
        source=str(make_tree(tmp_path / "from", files=FILES)),
        destination=str(tmp_path / "to"),
        engine=engine,
        tool_path=shutil.which(ENGINES[engine]),
        verification="fast",
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_the_copy_is_written_before_the_run_is_done(
    strace: str, tmp_path: Path, engine: str
) -> None:
    run = a_run(tmp_path, engine)

    calls = perform_traced(strace, run)

    assert run.result()["outcome"] == "completed"
    place = re.escape(str(tmp_path / "to"))
    synced = [
        number for number, call in enumerate(calls) if re.search(rf"syncfs\(\d+<{place}>", call)
    ]
    named = [number for number, call in enumerate(calls) if ".dat" in call and "rename" in call]
    done = [number for number, call in enumerate(calls) if f'{run.directory}/result.json"' in call]
    assert (len(synced), len(named), len(done)) == (1, FILES, 1), calls
    assert named[-1] < synced[0] < done[0]
    ended = [line["name"] for line in run.journal("phase_ended")]
    assert ended == ["preflight", "transfer", "settle", "verify"]


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_copy_that_could_not_be_written_has_failed(
    strace: str, tmp_path: Path, error: str
) -> None:
    run = a_run(tmp_path, "rsync")

    perform_traced(strace, run, "-e", f"inject=syncfs:error={error}")

    result = run.result()
    assert result["outcome"] == "failed"
    assert result["message"] == "The copy could not be written to stable storage."
    ended = [(line["name"], line["outcome"]) for line in run.journal("phase_ended")]
    assert ended[-1] == ("settle", "failed"), "nothing is verified after that"


def test_a_file_system_within_the_destination_is_written_too(strace: str, tmp_path: Path) -> None:
    run = a_run(tmp_path, "rsync")
    inner = tmp_path / "to" / "folder 000"
    inner.mkdir(parents=True)
    with loop_mount(tmp_path, "ext4") as disk, bind_mount(disk.path, inner):
        calls = perform_traced(strace, run)

    assert run.result()["outcome"] == "completed"
    for place in (tmp_path / "to", inner):
        assert any(f"<{place}>" in call and "syncfs(" in call for call in calls), place
