"""Proves that a log comes whole to the command line, and that nothing in it commands a terminal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.integration.command_line import document, words
from tests.integration.running import run_to_end, wait_for_bytes, wait_for_status
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
HOSTILE = b"one\ttab\n\x1b]0;title\x07\x1b[2J\r\x9b caf\xc3\xa9 \xe2\x80\xae \xff\n"
SHOWN = "one\ttab\n\\x1b]0;title\\x07\\x1b[2J\\r\\x9b café \\u202e \\xff\n"


def printed(server: RunningServer, *arguments: str) -> bytes:
    command = server.begin(*arguments)
    output, faults = command.communicate(60)
    assert (command.wait(), faults) == (0, b"")
    return output


def job_with_log(server: RunningServer, room: Path, content: bytes) -> tuple[str, str]:
    """A job whose last run has this for a log; returns its id and the run's."""
    job_id = server.create_job(make_tree(room / "from", files=1), room / "to")
    run_id = run_to_end(server, job_id)["id"]
    directory = server.data_dir / "runs" / run_id
    (directory / "engine.log").write_bytes(content)
    (directory / "engine.log.tail").unlink(missing_ok=True)
    return job_id, run_id


def test_nothing_in_a_log_commands_a_terminal(shared_server: RunningServer, room: Path) -> None:
    job_id, run_id = job_with_log(shared_server, room, HOSTILE)

    assert printed(shared_server, "jobs", "log", job_id).decode() == SHOWN
    assert printed(shared_server, "runs", "log", run_id).decode() == SHOWN
    assert printed(shared_server, "jobs", "log", job_id, "--raw") == HOSTILE
    assert (
        printed(shared_server, "runs", "log", run_id, "--lines", "1").decode()
        == (SHOWN.partition("\n")[2])
    )
    found = document(shared_server, "runs", "log", run_id)
    assert found["run_id"] == run_id
    assert found["text"] == HOSTILE.decode(errors="backslashreplace")
    assert found["next_place"] == len(HOSTILE)


def test_a_log_of_many_windows_is_whole_and_its_end_is_found(
    shared_server: RunningServer, room: Path
) -> None:
    lines = [f"{number:07d} é {'x' * (number % 90)}\n" for number in range(50_000)]
    content = "".join(lines).encode()
    assert len(content) > 2 * 1024 * 1024
    job_id, run_id = job_with_log(shared_server, room, content)

    assert printed(shared_server, "jobs", "log", job_id) == content
    for count in (0, 1, 30_000, 60_000):
        expected = "".join(lines[-count:]) if count else ""
        shown = printed(shared_server, "jobs", "log", job_id, "--lines", str(count))
        assert shown.decode() == expected
    for size in (0, 1, 100, 2_000_001, 10**9):
        shown = printed(shared_server, "runs", "log", run_id, "--raw", "--bytes", str(size))
        assert shown == (content[-size:] if size else b"")


def test_a_log_is_followed_to_the_end_of_the_run(shared_server: RunningServer, room: Path) -> None:
    source = make_large_file(room / "from" / "large.bin", megabytes=4).parent
    job_id = shared_server.create_job(source, room / "to", options={"bandwidth_limit": "1M"})
    run_id = shared_server.start_job(job_id)
    followers = [
        shared_server.begin("jobs", "log", job_id, *run, "--follow")
        for run in ([], ["--run", run_id])
    ]
    wait_for_bytes(shared_server, job_id, 1)
    assert all(follower.poll() is None for follower in followers)
    for follower in followers:
        output, faults = follower.communicate(timeout=60)
        assert (follower.returncode, faults) == (0, b"")
        log = shared_server.http.get(f"/api/v1/runs/{run_id}/log").content
        assert output == log
        assert b"large.bin" in log
    assert shared_server.state(job_id)["status"] == "completed"


def test_following_exits_with_the_outcome(shared_server: RunningServer, room: Path) -> None:
    source = make_large_file(room / "from" / "large.bin", megabytes=8).parent
    job_id = shared_server.create_job(source, room / "to", options={"bandwidth_limit": "1M"})
    shared_server.start_job(job_id)
    follower = shared_server.begin("jobs", "log", job_id, "-f")
    wait_until(lambda: shared_server.state(job_id)["status"] == "running", what="the run")
    wait_for_bytes(shared_server, job_id, 1)
    words(shared_server, "jobs", "stop", job_id)
    follower.communicate(timeout=30)
    assert follower.wait() == 3
    wait_for_status(shared_server, job_id, "paused")

    (room / "gone").mkdir()
    failing = shared_server.create_job(room / "gone", room / "to 2")
    (room / "gone").rmdir()
    run_to_end(shared_server, failing)
    said = words(shared_server, "jobs", "log", failing, "--follow", code=1)
    assert "There is no such file or folder" in said


def test_a_log_that_is_not_there_is_one_clear_line(
    shared_server: RunningServer, room: Path
) -> None:
    job_id, run_id = job_with_log(shared_server, room, b"x\n")
    other = shared_server.create_job(room / "from", room / "to")
    for arguments in (
        ("jobs", "log", other),
        ("jobs", "log", "none"),
        ("runs", "log", "none"),
        ("jobs", "log", other, "--run", run_id),
        ("jobs", "log", job_id, "--follow", "--json"),
        ("jobs", "log", job_id, "--lines", "1", "--bytes", "1"),
    ):
        said = words(shared_server, *arguments, code=1)
        assert len(said.splitlines()) == 1, said


def test_a_message_in_a_tools_words_commands_no_terminal(
    shared_server: RunningServer, room: Path
) -> None:
    _, run_id = job_with_log(shared_server, room, b"")
    with sqlite3.connect(shared_server.data_dir / "longshore.db") as database:
        message = "[bold]\x1b[2J"
        database.execute("UPDATE runs SET message = ? WHERE id = ?", (message, run_id))
    for arguments in (("runs", "show", run_id), ("runs", "log", run_id, "--follow")):
        said = words(shared_server, *arguments)
        assert "[bold]\\x1b[2J" in said
        assert "\x1b" not in said
