"""Proves that another program's hold on the database loses no end of a run, and that all of what
was told of it is over with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from storage.layout import DATABASE_NAME
from tests.integration.running import event_of, wait_for_bytes, wait_for_status
from tests.support import RunningServer, make_large_file, wait_until

NOTE = "Degraded:</strong> Another program holds the database"


@contextmanager
def database_held(server: RunningServer) -> Iterator[None]:
    """Hold the database as another program would that writes to it for long."""
    path = server.data_dir / DATABASE_NAME
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def errors(server: RunningServer) -> list[dict[str, Any]]:
    """Return what the error log has, newest first."""
    return list(server.http.get("/api/v1/errors").json()["items"])


def test_a_run_that_ends_while_the_database_is_held_is_kept_once_and_holds_up_no_other(
    server: RunningServer, tmp_path: Path
) -> None:
    jobs = {}
    for name, megabytes in (("short", 3), ("long", 16)):
        make_large_file(tmp_path / name / "file", megabytes=megabytes)
        options = {"bandwidth_limit": "1M"}
        jobs[name] = server.create_job(
            tmp_path / name, tmp_path / f"{name}-copy", name=name, options=options
        )
    server.start_job(jobs["long"])
    short = server.start_job(jobs["short"])
    with database_held(server):
        event_of(server, short, "run_ended")
        wait_until(lambda: NOTE in server.http.get("/jobs").text, what="the note")
        # What can be read is shown, and the other run goes on to be followed.
        for path in ("/", "/runs", f"/jobs/{jobs['short']}", f"/runs/{short}"):
            assert server.http.get(path).status_code == 200, path
        before = wait_for_bytes(server, jobs["long"], 1)["bytes_done"]
        wait_for_bytes(server, jobs["long"], before + 1)
        assert server.state(jobs["short"])["status"] == "running"
    wait_for_status(server, jobs["short"], "completed")
    assert server.run(short)["outcome"] == "completed"
    runs = server.http.get(f"/api/v1/jobs/{jobs['short']}/runs").json()
    assert (runs["total"], runs["items"][0]["id"]) == (1, short)
    wait_until(lambda: NOTE not in server.http.get("/jobs").text, what="the end of the note")
    (event,) = wait_until(lambda: errors(server), what="the event")
    assert (event["error_type"], event["severity"]) == ("Retrying: end of a run", "medium")
    wait_until(lambda: errors(server)[0]["resolved"], what="the end of what was told")
