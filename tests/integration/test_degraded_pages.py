"""Proves that pages come without what the database does not tell, say so, and mend themselves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from storage.layout import DATABASE_NAME
from tests.integration.running import run_to_end
from tests.support import RunningServer, make_tree, wait_until

UNREADABLE = "cannot be read now"
NOTE = "Degraded:"
TABLES = ("runs", "run_days", "error_events")


@contextmanager
def tables_away(server: RunningServer, *tables: str) -> Iterator[None]:
    """Take tables away from under the server, and put them back."""

    def rename(pairs: list[tuple[str, str]]) -> None:
        with closing(sqlite3.connect(server.data_dir / DATABASE_NAME, timeout=30)) as connection:
            for old, new in pairs:
                connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
            connection.commit()

    rename([(table, f"{table}_away") for table in tables])
    try:
        yield
    finally:
        rename([(f"{table}_away", table) for table in tables])


def page(server: RunningServer, path: str) -> str:
    """Return a page, which has to come."""
    answer = server.http.get(path)
    assert answer.status_code == 200, path
    return answer.text


def unresolved(server: RunningServer) -> list[dict[str, Any]]:
    """Return the unresolved errors that tell of a degradation."""
    items = server.http.get("/api/v1/errors?resolved=false").json()["items"]
    return [item for item in items if item["error_type"] == "Degraded: history"]


def test_each_page_comes_without_what_cannot_be_read_and_mends_itself(
    server: RunningServer, tmp_path: Path
) -> None:
    make_tree(tmp_path / "source", files=2)
    job_id = server.create_job(tmp_path / "source", tmp_path / "copy", name="Photos")
    run_to_end(server, job_id)
    expected = {
        "/": 4,  # Recent runs, unresolved errors, the last days, and the card of the job.
        "/jobs": 1,
        f"/jobs/{job_id}": 3,  # Its figures, its runs, its card.
        f"/jobs/{job_id}/figures": 1,
        "/runs": 1,
        "/activity": 1,
    }
    for path in expected:
        assert UNREADABLE not in page(server, path)
    with tables_away(server, *TABLES):
        for path, parts in expected.items():
            text = page(server, path)
            assert text.count(UNREADABLE) == parts, path
            assert "Photos" in text or path in {"/runs", "/activity"}
        assert NOTE in page(server, "/jobs")
        # What is not a part of something larger is refused with the reason.
        answer = server.http.get("/api/v1/runs")
        assert (answer.status_code, "no such table" in answer.json()["detail"]) == (503, True)
    wait_until(lambda: NOTE not in page(server, "/settings"), what="the end of the degradation")
    for path in expected:
        assert UNREADABLE not in page(server, path)
    # With the error log at hand it is one error, however many parts and pages there are.
    with tables_away(server, "runs", "run_days"):
        for path in [*expected, *expected]:
            page(server, path)
        told = wait_until(lambda: unresolved(server), what="the event")
        assert [(event["severity"], event["count"]) for event in told] == [("medium", 1)]
        assert "no such table" in told[0]["details"]["reason"]
    wait_until(lambda: not unresolved(server), what="the end of the degradation")
