"""Proves the log of a real server: JSON on request, with job, run and request, and no access log
unless it is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.running import ended_server
from tests.support import RunningServer, wait_until

DEFECT = """
from core.job_manager import JobManager
from fastapi_app.commands.serve import serve

async def discard(self, job_id):
    raise ZeroDivisionError("canary\\nof a route")

JobManager.discard = discard
serve()
"""


def lines_of(server: RunningServer) -> list[dict[str, Any]]:
    """Return the records of the log."""
    log = server.data_dir / "logs" / "longshore.log"
    whole, _, _ = log.read_text(encoding="ascii").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def test_records_in_json_name_job_run_and_request(tmp_path: Path) -> None:
    server = RunningServer(
        tmp_path / "data", LONGSHORE_LOG_FORMAT="JSON", LONGSHORE_ACCESS_LOG="true"
    )
    server.program = ("-c", DEFECT)
    with ended_server(server):
        # Its credential is not there: no runner is started.
        options = {"credential": "nas"}
        job_id = server.create_job(tmp_path, "rsync://localhost:9/module/x", options=options)
        run_id = server.start_job(job_id)
        assert server.wait_for_end(run_id)["outcome"] == "failed"
        headers = {"X-Request-ID": "proxy-1", "Connection": "close"}
        answer = server.http.post(f"/api/v1/jobs/{job_id}/discard?q=searched", headers=headers)
        assert (answer.status_code, "canary" in answer.text) == (500, False)
        page = server.http.get("/jobs", headers={"X-Request-ID": "none of ours"})
        assert len(page.headers["x-request-id"]) == 8
        lines = wait_until(
            lambda: lines if (lines := lines_of(server))[-1].get("path") == "/jobs" else None,
            what="the line of the last request",
        )

    assert lines is not None
    (launch,) = (line for line in lines if line["logger"] == "core.run_launcher")
    assert (launch["job_id"], launch["run_id"]) == (job_id, run_id)
    (asked,) = (line for line in lines if line.get("path", "").endswith("/discard"))
    assert (asked["method"], asked["job_id"], asked["request_id"]) == ("POST", job_id, "proxy-1")
    (defect, *_) = (line for line in lines if "canary" in line.get("exception", ""))
    assert (defect["logger"], defect["level"]) == ("fastapi_app.errors", "error")
    assert (defect["job_id"], defect["request_id"]) == (job_id, "proxy-1")
    assert "searched" not in str(lines)
    assert server.data_dir.joinpath("logs", "longshore.log").stat().st_mode & 0o777 == 0o600
