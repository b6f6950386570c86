"""Whether page, API, YAML, SQLite and journals tell the same of a job at rest."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import yaml

from tests.integration.pages import Page
from tests.support import RunningServer, rsync_differences

_STATUS_OF = {"warning": "completed"}
_COMPARED = ("status", "version", "run_id", "message", "progress")
Rows = dict[str, tuple[str, str | None, str | None]]


def require_agreement(server: RunningServer, job_id: str, acknowledged: set[str]) -> int:
    """Compare all that tells of a job at rest, whose runs were these; returns how many runs there
    are. A run whose start was cut off may be there without having been acknowledged."""
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    state = job["state"]
    kept = yaml.safe_load((server.data_dir / "state" / f"{job_id}.yaml").read_text())
    assert {key: kept[key] for key in _COMPARED} == {key: state[key] for key in _COMPARED}
    definition = yaml.safe_load((server.data_dir / "jobs" / f"{job_id}.yaml").read_text())
    assert (definition["name"], definition["version"]) == (job["name"], job["version"])
    has_warning = state["status"] == "completed" and state["message"]
    card = f'data-job-id="{job_id}" data-status="{"warning" if has_warning else state["status"]}"'
    for address in ("/jobs", f"/jobs/{job_id}"):
        assert card in server.http.get(address).text, address
    rows = rows_of(server, job_id)
    assert acknowledged <= rows.keys()
    _require_last_run(state, rows)
    for run_id, (status, outcome, ended_at) in rows.items():
        assert outcome, f"{run_id} never ended"
        assert ended_at
        assert status == _STATUS_OF.get(outcome, outcome)
        _require_same_outcome(server, run_id, outcome)
    if state["status"] == "completed":
        assert_copied(Path(job["source"]), Path(job["destination"]))
    return len(rows)


def rows_of(server: RunningServer, job_id: str) -> Rows:
    """Return status, outcome and end of a job's runs as SQLite has them, the oldest first."""
    connection = sqlite3.connect(f"file:{server.data_dir / 'longshore.db'}?mode=ro", uri=True)
    try:
        found = connection.execute(
            "SELECT id, status, outcome, ended_at FROM runs WHERE job_id = ? ORDER BY rowid",
            (job_id,),
        ).fetchall()
    finally:
        connection.close()
    return {run_id: (status, outcome, ended_at) for run_id, status, outcome, ended_at in found}


def last_event(server: RunningServer, run_id: str, kind: str) -> dict[str, Any] | None:
    """Return the last line of a kind in a run's journal, which a run that was cut off before it
    began does not have."""
    if not (server.data_dir / "runs" / run_id / "journal.jsonl").exists():
        return None
    found = [line for line in server.journal(run_id) if line["event"] == kind]
    return found[-1] if found else None


def assert_copied(source: Path, destination: Path) -> None:
    """Check that everything of the source is whole at its destination, which others write to."""
    differences = rsync_differences(source, destination).splitlines()
    # What another job put there afterwards, and the time of the folder that it was put in.
    others = ("*deleting", ".d..t...... ./")
    assert [line for line in differences if not line.startswith(others)] == []


def _require_last_run(state: dict[str, Any], rows: Rows) -> None:
    if state["run_id"] is None:
        assert (state["status"], rows) == ("pending", {})
    elif state["status"] != "pending":
        assert rows[state["run_id"]][0] == state["status"]
        assert list(rows)[-1] == state["run_id"], "the job does not name its last run"


def _require_same_outcome(server: RunningServer, run_id: str, outcome: str) -> None:
    assert (server.data_dir / "runs" / run_id).is_dir()
    ended = last_event(server, run_id, "run_ended")
    assert ended is None or ended["outcome"] == outcome
    assert server.run(run_id)["outcome"] == outcome
    page = server.http.get(f"/runs/{run_id}").text
    assert f'data-run-id="{run_id}" data-status="{outcome}"' in page
    assert "Stopping" not in Page(page).text
