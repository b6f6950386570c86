"""Proves the calls of the JSON API on runs, /health, and what a run leaves on disk."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from tests.integration.running import (
    KEPT_FILE_MODE,
    KEPT_FOLDER_MODE,
    event_of,
    processes_of,
    run_to_end,
    wait_for_status,
)
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
RUN_KEYS = {
    "id",
    "job_id",
    "job_name",
    "engine",
    "status",
    "outcome",
    "attempts",
    "queued_at",
    "started_at",
    "ended_at",
    "duration_seconds",
    "phases",
    "bytes_done",
    "files_done",
    "files_skipped",
    "files_failed",
    "files_deleted",
    "exit_code",
    "message",
    "progress",
}
PROGRESS_KEYS = {
    "phase",
    "attempt",
    "bytes_done",
    "bytes_total",
    "bytes_sent",
    "files_done",
    "files_total",
    "totals",
    "percent",
    "bytes_per_second",
    "eta_seconds",
    "current_file",
    "updated_at",
}


def test_a_run_has_what_the_contract_says_while_it_goes_on_and_after(
    shared_server: RunningServer, room: Path
) -> None:
    large = make_large_file(room / "from" / "large.bin", megabytes=6).parent
    options = {"bandwidth_limit": "2M"}
    job_id = shared_server.create_job(large, room / "to", options=options)
    run_id = shared_server.start_job(job_id)
    event_of(shared_server, run_id, "progress")
    run = wait_until(lambda: shared_server.run(run_id)["progress"] and shared_server.run(run_id))

    assert run.keys() >= RUN_KEYS
    assert run["progress"].keys() >= PROGRESS_KEYS
    assert shared_server.state(job_id)["progress"].keys() >= PROGRESS_KEYS
    assert (run["status"], run["outcome"], run["ended_at"]) == ("running", None, None)
    assert run["phases"][-1] | {"started_at": ""} == {
        "name": "transfer",
        "started_at": "",
        "ended_at": None,
        "outcome": None,
        "message": None,
        "duration_seconds": None,
    }
    runner = [line for line in processes_of(run_id) if "core.runner" in line]
    assert len(runner) == 1, "the runner cannot be told by its command line"

    shared_server.http.post(f"/api/v1/jobs/{job_id}/stop")
    ended = shared_server.wait_for_end(run_id)
    assert ended.keys() >= RUN_KEYS
    assert ended["queued_at"] <= ended["started_at"] <= ended["ended_at"]
    assert ended["duration_seconds"] > 0
    wait_for_status(shared_server, job_id, "paused")


def test_history_is_newest_first_and_paged(shared_server: RunningServer, room: Path) -> None:
    job_id = shared_server.create_job(make_tree(room / "from", files=1), room / "to")
    newest_first = [run_to_end(shared_server, job_id)["id"] for _ in range(5)][::-1]

    seen: list[str] = []
    cursor: str | None = ""
    for _ in range(3):
        address = f"/api/v1/jobs/{job_id}/runs?limit=2&cursor={cursor}"
        page = shared_server.http.get(address).json()
        assert page["total"] == 5
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]

    assert seen == newest_first
    assert page["next_cursor"] is None
    everyone = shared_server.http.get("/api/v1/runs?limit=3").json()
    assert [run["id"] for run in everyone["items"]] == newest_first[:3]
    for bad in ("nonsense", "~", "a~b", "%00~%ff"):
        assert shared_server.http.get(f"/api/v1/runs?cursor={bad}").status_code == 200


def test_the_log_is_read_in_windows_of_bytes(shared_server: RunningServer, room: Path) -> None:
    source = make_tree(room / "from", files=30)
    (source / "ümlaut 🗄️").write_bytes(b"x")
    job_id = shared_server.create_job(source, room / "to")
    run_id = run_to_end(shared_server, job_id)["id"]
    whole = (shared_server.data_dir / "runs" / run_id / "engine.log").read_bytes()
    assert len(whole) > 500

    def window(query: str) -> bytes:
        answer = shared_server.http.get(f"/api/v1/runs/{run_id}/log?{query}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
        return answer.content

    assert window("") == whole
    assert window("offset=10&limit=50") == whole[10:60]
    assert window("offset=-20") == whole[-20:]
    assert window("offset=-100&limit=30") == whole[-100:-70]
    assert window(f"offset=-{10**30}&limit=5") == whole[:5]
    assert window(f"offset={10**30}") == b""
    assert window("limit=0") == b""
    pieces = [window(f"offset={start}&limit=64") for start in range(0, len(whole), 64)]
    assert b"".join(pieces) == whole
    for query in ("limit=-1", "limit=9999999999", "offset=x"):
        assert shared_server.http.get(f"/api/v1/runs/{run_id}/log?{query}").status_code == 422
    failures = shared_server.http.get(f"/api/v1/runs/{run_id}/failures").json()
    assert failures == {"items": [], "total": 0, "named": 0, "next_cursor": None}


def test_health_tells_how_the_parts_are_and_nobodys_paths(
    shared_server: RunningServer, room: Path
) -> None:
    run_to_end(
        shared_server,
        shared_server.create_job(make_tree(room / "from", files=1), room / "to", name="secret"),
    )

    wait_until(
        lambda: shared_server.http.get("/health").json()["status"] == "healthy", what="good health"
    )
    answer = shared_server.http.get("/health")

    health = answer.json()
    assert answer.status_code == 200
    assert health.keys() == {"status", "timestamp", "version", "components", "conditions"}
    assert {part["status"] for part in health["components"].values()} == {"healthy"}
    assert health["components"]["engines"]["available"].keys() == {"rsync", "rclone"}
    # Every path of ours has a slash; so has nothing else in this answer.
    assert "/" not in answer.text
    assert "secret" not in answer.text


def test_the_api_describes_itself(shared_server: RunningServer) -> None:
    document = shared_server.http.get("/api/v1/openapi.json").json()

    calls = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    assert calls >= {
        "GET /api/v1/jobs",
        "POST /api/v1/jobs",
        "GET /api/v1/jobs/{job_id}",
        "PUT /api/v1/jobs/{job_id}",
        "DELETE /api/v1/jobs/{job_id}",
        "POST /api/v1/jobs/{job_id}/start",
        "POST /api/v1/jobs/{job_id}/stop",
        "POST /api/v1/jobs/{job_id}/discard",
        "GET /api/v1/jobs/{job_id}/runs",
        "GET /api/v1/runs/{run_id}",
        "GET /api/v1/runs/{run_id}/log",
        "GET /api/v1/runs/{run_id}/failures",
        "GET /health",
    }


def test_everything_in_the_data_directory_is_private_and_says_its_format(
    server: RunningServer, room: Path
) -> None:
    job_id = server.create_job(make_tree(room / "from", files=5), room / "to")
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    server.http.put(f"/api/v1/jobs/{job_id}", json=job, headers={"If-Match": '"1"'})
    runs = [run_to_end(server, job_id)["id"] for _ in range(2)]

    wrong = [
        f"{stat.S_IMODE(path.stat().st_mode):o} {path}"
        for path in [server.data_dir, *server.data_dir.rglob("*")]
        if stat.S_IMODE(path.stat().st_mode)
        != (KEPT_FOLDER_MODE if path.is_dir() else KEPT_FILE_MODE)
    ]
    assert wrong == []
    names = {path.name for path in server.data_dir.iterdir()}
    assert names >= {"longshore.lock", "jobs", "state", "longshore.db", "runs", "logs"}
    for folder in ("jobs", "state"):
        found = list((server.data_dir / folder).glob("*.yaml*"))
        assert {path.name for path in found} >= {f"{job_id}.yaml", f"{job_id}.yaml.bak"}
        assert all(yaml.safe_load(path.read_text())["format"] == 1 for path in found)
    for run_id in runs:
        directory = server.data_dir / "runs" / run_id
        assert {path.name for path in directory.iterdir()} == {
            "spec.json",
            "journal.jsonl",
            "engine.log",
            "result.json",
            "lock",
        }
        assert json.loads((directory / "spec.json").read_text())["format"] == 1
        assert json.loads((directory / "result.json").read_text())["format"] == 1
        assert server.journal(run_id)[0]["format"] == 1
    assert json.loads((server.data_dir / "longshore.lock").read_text())["format"] == 1


def test_runs_are_found_by_job_and_outcome(
    server: RunningServer, rsync: str, tmp_path: Path
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "one").write_text("1")
    good = server.create_job(tmp_path / "from", tmp_path / "to", name="Photos")
    (tmp_path / "nowhere").mkdir()
    bad = server.create_job(tmp_path / "nowhere", tmp_path / "other", name="Music <b>")
    (tmp_path / "nowhere").rmdir()
    runs = {job: server.start_job(job) for job in (good, bad)}
    for run_id in runs.values():
        server.wait_for_end(run_id)

    def found(**query: str) -> list[str]:
        page = server.http.get("/api/v1/runs", params=query).json()
        assert page["total"] == len(page["items"])
        return [run["id"] for run in page["items"]]

    # What is shown of its end at once is in the database a moment later.
    wait_until(lambda: found(outcome="failed") == [runs[bad]], what="the failed run in the list")
    wait_until(lambda: found(outcome="completed") == [runs[good]], what="the good run in the list")
    assert found(q="PHOTO") == [runs[good]]
    assert found(q="photo", outcome="failed") == []
    assert server.http.get("/api/v1/runs?outcome=splendid").status_code == 422
    page = server.http.get("/runs?outcome=failed")
    assert "Music &lt;b&gt;" in page.text
    assert "Photos" not in page.text.partition("<tbody")[2].partition("</tbody>")[0]
    assert "No run matches" in server.http.get("/runs?q=nobody").text
    assert server.http.get("/runs?outcome=splendid").status_code == 422
