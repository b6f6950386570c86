"""Proves that a server which cannot start, or lacks a tool, says so in words and breaks nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.running import run_to_end
from tests.integration.trees import differences_beneath
from tests.support import PROJECT_ROOT, RunningServer, free_port, make_tree, wait_until

pytestmark = pytest.mark.integration
MakeServer = Callable[..., RunningServer]


def serve(environment: dict[str, str]) -> tuple[int, str]:
    """Run `longshore serve`, which is to end by itself; returns exit code and output."""
    result = subprocess.run(
        [sys.executable, "-m", "fastapi_app.cli", "serve"],
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )
    output = result.stdout + result.stderr
    assert "Traceback" not in output
    return result.returncode, output


def test_a_second_server_on_the_same_data_directory_refuses_and_names_the_holder(
    server: RunningServer,
) -> None:
    assert server.process is not None
    lock = (server.data_dir / "longshore.lock").read_bytes()

    code, output = serve(server.environment | {"LONGSHORE_PORT": str(free_port())})

    assert code != 0
    assert f"pid {server.process.pid}" in output
    assert str(server.data_dir) in output
    assert len(output.splitlines()) == 1
    assert (server.data_dir / "longshore.lock").read_bytes() == lock
    assert server.http.get("/health").status_code == 200


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = serve(
            {
                **os.environ,
                "LONGSHORE_PORT": str(port),
                "LONGSHORE_DATA_DIR": str(tmp_path / "data"),
            }
        )

    assert code != 0
    assert len(output.splitlines()) == 1
    assert str(port) in output
    assert "in use" in output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("LONGSHORE_PORT", "99999", "LONGSHORE_PORT"),
        ("LONGSHORE_MAX_CONCURRENT_RUNS", "many", "LONGSHORE_MAX_CONCURRENT_RUNS"),
        ("LONGSHORE_HOST", "0.0.0.0", "password"),
        ("LONGSHORE_DATA_DIR", "/proc/no such place", "/proc/no such place"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, variable: str, value: str, word: str
) -> None:
    settings = {
        "LONGSHORE_DATA_DIR": str(tmp_path / "data"),
        "LONGSHORE_PORT": str(free_port()),
        variable: value,
    }

    code, output = serve({**os.environ, **settings})

    assert code != 0
    assert len(output.splitlines()) == 1
    assert word in output


def test_without_rsync_the_server_starts_says_what_to_install_and_rclone_works(
    make_server: MakeServer, tmp_path: Path, room: Path, rsync: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env", "sync"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    server = make_server(PATH=str(tools))
    source = make_tree(room / "from", files=20)

    wait_until(
        lambda: server.http.get("/health").json()["components"]["engines"]["available"],
        what="the versions of the tools",
    )
    health = server.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    engines = health.json()["components"]["engines"]
    assert (engines["status"], engines["missing"]) == ("degraded", ["rsync"])
    assert list(engines["available"]) == ["rclone"]
    for page in ("/", "/jobs", "/jobs/new", "/runs"):
        assert "rsync is not installed" in server.http.get(page).text

    run = run_to_end(server, server.create_job(source, room / "by rsync"))
    assert (run["outcome"], run["exit_code"]) == ("failed", None)
    assert [phase["name"] for phase in run["phases"]] == ["preflight"]
    assert "apt install rsync" in run["message"]
    assert not (room / "by rsync").exists()

    job_id = server.create_job(source, room / "by rclone", engine="rclone")
    assert run_to_end(server, job_id)["outcome"] == "completed"
    assert differences_beneath(source, room / "by rclone") == ""
