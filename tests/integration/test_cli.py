"""Proves the command line: what it prints, in words and as the API's JSON, and how it exits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.command_line import document, words
from tests.integration.running import ended_server, run_to_end, wait_for_bytes, wait_for_status
from tests.support import (
    PROJECT_ROOT,
    RunningServer,
    make_large_file,
    make_tree,
    rsync_differences,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
NAME = "[bold]Name[/bold] <b> 🗄️"


def test_a_job_is_made_shown_and_run(shared_server: RunningServer, room: Path) -> None:
    source, destination = make_tree(room / "from", files=5), room / "to"
    (source / "x.tmp").write_bytes(b"x")
    options = ["--source", str(source), "--destination", str(destination), "--exclude", "*.tmp"]

    job_id = words(shared_server, "jobs", "create", "--name", NAME, *options).strip()

    job = shared_server.http.get(f"/api/v1/jobs/{job_id}").json()
    assert document(shared_server, "jobs", "show", job_id) == job
    assert (job["name"], job["options"]["exclude"]) == (NAME, ["*.tmp"])
    shown = words(shared_server, "jobs", "show", job_id)
    for part in (NAME, "rsync", "fast", "pending"):
        assert part in shown
    assert str(source) in shown.replace("\n", "")
    assert job_id in words(shared_server, "jobs", "list")
    listed = document(shared_server, "jobs", "list")
    assert listed.keys() >= {"items", "total", "next_cursor", "damaged"}
    assert job in listed["items"]
    found = document(shared_server, "jobs", "list", "--q", "[bold]", "--status", "pending")
    assert found["items"] == [job]

    followed = words(shared_server, "jobs", "start", job_id, "--follow")
    run_id = shared_server.state(job_id)["run_id"]
    assert run_id in followed
    assert rsync_differences(source, destination) == ">f+++++++++ x.tmp\n"
    run = shared_server.run(run_id)
    assert document(shared_server, "runs", "show", run_id) == run
    assert document(shared_server, "runs", "list", "--job", job_id)["items"] == [run]
    shown = words(shared_server, "runs", "show", run_id)
    for part in ("completed", "preflight", "transfer", "verify"):
        assert part in shown
    assert run_id in words(shared_server, "runs", "list")


def test_follow_exits_with_the_outcome(shared_server: RunningServer, room: Path) -> None:
    source = make_tree(room / "from", files=3)
    good = shared_server.create_job(source, room / "to")
    assert words(shared_server, "jobs", "start", good, "--follow")

    (room / "gone").mkdir()
    bad = shared_server.create_job(room / "gone", room / "to 2")
    (room / "gone").rmdir()
    said = words(shared_server, "jobs", "start", bad, "--follow", code=1)
    assert "There is no such file or folder" in said

    large = make_large_file(room / "large" / "large.bin", megabytes=8).parent
    slow = shared_server.create_job(large, room / "to 3", options={"bandwidth_limit": "1M"})
    following = shared_server.begin("jobs", "start", slow, "--follow")
    wait_until(lambda: shared_server.state(slow)["status"] == "running", what="the run")
    wait_for_bytes(shared_server, slow, 1)
    words(shared_server, "jobs", "stop", slow)
    output = b"".join(following.communicate(timeout=20))
    assert following.returncode == 3, output
    assert b"resumed" in output
    wait_for_status(shared_server, slow, "paused")


def test_what_cannot_be_done_is_said_in_words_and_exits_with_1(
    shared_server: RunningServer, room: Path
) -> None:
    job_id = shared_server.create_job(make_tree(room / "from", files=1), room / "to")
    run_to_end(shared_server, job_id)

    assert "nothing to stop" in words(shared_server, "jobs", "stop", job_id, code=1)
    for command in (("jobs", "start"), ("runs", "show")):
        said = words(shared_server, *command, "none", code=1)
        assert "'none'" in said
        assert len(said.splitlines()) == 1
    options = ["--source", "relative", "--destination", "host:path", "--engine", "tar"]
    refused = words(shared_server, "jobs", "create", "--name", "", *options, code=1)
    for field in ("name:", "source:", "destination:", "engine:"):
        assert field in refused


def test_an_id_is_never_taken_for_another_address(shared_server: RunningServer) -> None:
    for job_id in ("a/../../../health", "x?limit=1"):
        said = words(shared_server, "jobs", "show", job_id, code=1)
        assert len(said.splitlines()) == 1


def test_without_a_server_there_is_one_clear_line(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    for command in (("jobs", "list"), ("runs", "list", "--json")):
        said = words(server, *command, code=1)
        assert len(said.splitlines()) == 1
        assert "longshore serve" in said


@pytest.mark.parametrize("end", [RunningServer.kill, RunningServer.terminate])
def test_after_the_end_of_a_server_there_is_one_clear_line(
    server: RunningServer, end: Callable[[RunningServer], None]
) -> None:
    assert words(server, "jobs", "list")
    end(server)

    said = words(server, "jobs", "list", code=1)

    assert len(said.splitlines()) == 1
    assert "longshore serve" in said or "does not answer" in said


def test_doctor_works_on_the_files_alone(make_server: MakeServer, tmp_path: Path) -> None:
    stopped = RunningServer(tmp_path / "data")
    found = document(stopped, "doctor")
    assert found["tools"].keys() == {"rsync", "rclone"}
    assert (found["jobs"], found["damaged"], found["server"]) == (0, [], None)

    server = make_server()
    server.create_job(make_tree(tmp_path / "from", files=1), tmp_path / "to")
    assert server.process is not None
    assert f"pid {server.process.pid}" in words(server, "doctor")
    found = document(server, "doctor")
    assert (found["jobs"], found["server"]) == (1, server.url)
    server.terminate()
    (server.data_dir / "jobs" / "broken.yaml").write_text("name: [")
    said = words(server, "doctor", code=1)
    assert "broken is damaged" in said
    assert "none runs here" in said


def test_it_finds_the_server_under_a_sub_path(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data", LONGSHORE_ROOT_PATH="/backup")
    with ended_server(server):
        assert document(server, "jobs", "list")["items"] == []


def test_the_script_and_the_module_are_the_same_and_help_names_the_commands() -> None:
    script = str(Path(sys.executable).parent / "longshore")
    outputs = [
        subprocess.run(
            command, cwd=PROJECT_ROOT, env=dict(os.environ), capture_output=True, text=True
        ).stdout
        for command in (
            [str(script), "--help"],
            [sys.executable, "-m", "fastapi_app.cli", "--help"],
        )
    ]
    for output in outputs:
        assert all(name in output for name in ("serve", "doctor", "jobs", "runs"))
