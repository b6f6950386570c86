"""Proves the calls of the JSON API on jobs: status codes, versions, lists and what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.running import run_to_end, wait_for_bytes, wait_for_status
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
JOB_KEYS = {
    "id",
    "name",
    "engine",
    "source",
    "destination",
    "options",
    "verification",
    "source_deletion",
    "retry",
    "tags",
    "version",
    "created_at",
    "updated_at",
    "state",
}
OPTION_KEYS = {
    "exclude",
    "include",
    "bandwidth_limit",
    "delete_extraneous",
    "max_delete",
    "keep_replaced",
    "extra_args",
}


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of this status (RFC 9457) and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    return problem


def test_a_job_is_created_read_changed_and_deleted(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    http, source = shared_server.http, make_tree(tmp_path / "from", files=2)
    definition: dict[str, Any] = {
        "name": "  Photos <b>&amp; “more”</b> 🗄️ ",
        "engine": "rsync",
        "source": str(source),
        "destination": str(tmp_path / "to"),
        "options": {"exclude": ["*.tmp"], "bandwidth_limit": "10m"},
        "verification": "fast",
        "tags": ["weekly"],
    }

    created = http.post("/api/v1/jobs", json=definition)

    assert created.status_code == 201
    job = created.json()
    assert created.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert created.headers["etag"] == '"1"'
    assert job.keys() >= JOB_KEYS
    assert job["options"].keys() >= OPTION_KEYS
    assert job["name"] == definition["name"].strip()
    assert job["options"]["bandwidth_limit"] == "10M"
    assert job["source_deletion"] == {
        "enabled": False,
        "mode": "verify_then_delete",
        "delete_empty_directories": False,
        "trash_days": None,
    }
    assert job["retry"] == {"max_attempts": 10, "first_delay_seconds": 1, "max_delay_seconds": 60}
    assert job["monitoring"] == {"success_within_seconds": None, "ping": None}
    assert (job["verification"], job["version"]) == ("fast", 1)
    assert (job["state"]["status"], job["state"]["run_id"]) == ("pending", None)

    address = created.headers["location"]
    read = http.get(address)
    assert (read.status_code, read.headers["etag"], read.json()) == (200, '"1"', job)

    # A document that was read can be sent back as it is, with what was changed.
    changed = http.put(address, json=job | {"name": "Other"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["name"], changed.json()["version"]) == ("Other", 2)
    assert changed.json()["created_at"] == job["created_at"]
    assert http.get(address).json() == changed.json()

    assert http.delete(address).status_code == 204
    problem_of(http.get(address), 404)
    problem_of(http.delete(address), 404)
    assert not list((shared_server.data_dir / "jobs").glob(f"{job['id']}*"))
    assert not list((shared_server.data_dir / "state").glob(f"{job['id']}*"))


def test_a_change_needs_the_current_version(shared_server: RunningServer, tmp_path: Path) -> None:
    http = shared_server.http
    job_id = shared_server.create_job(make_tree(tmp_path / "from", files=1), tmp_path / "to")
    address = f"/api/v1/jobs/{job_id}"
    job = http.get(address).json()

    problem_of(http.put(address, json=job), 428)
    for value in ("*", "one", '"-1"', '"1.0"', ""):
        answer = http.put(address, json=job, headers={"If-Match": value})
        problem_of(answer, 422)
    assert http.put(address, json=job, headers={"If-Match": '"1"'}).status_code == 200

    old = http.put(address, json=job | {"name": "lost"}, headers={"If-Match": '"1"'})
    problem = problem_of(old, 412)
    assert problem["current"]["version"] == 2
    assert problem["current"]["name"] == "A job"
    future = http.put(address, json=job, headers={"If-Match": '"99999999999999999"'})
    problem_of(future, 412)
    assert http.get(address).json()["name"] == "A job"
    problem_of(http.put("/api/v1/jobs/none", json=job, headers={"If-Match": '"1"'}), 404)
    problem_of(http.put("/api/v1/jobs/none", json=job), 404)


async def test_two_people_who_change_at_once_cannot_both_win(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    job_id = shared_server.create_job(make_tree(tmp_path / "from", files=1), tmp_path / "to")
    job = shared_server.http.get(f"/api/v1/jobs/{job_id}").json()
    address = f"{shared_server.url}/api/v1/jobs/{job_id}"

    async with httpx.AsyncClient(trust_env=False) as http:
        answers = await asyncio.gather(
            *(
                http.put(address, json=job | {"name": f"{n}"}, headers={"If-Match": '"1"'})
                for n in range(8)
            )
        )

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert shared_server.http.get(f"/api/v1/jobs/{job_id}").json()["version"] == 2


def test_start_and_stop_answer_by_the_state_of_the_job(
    shared_server: RunningServer, room: Path
) -> None:
    http = shared_server.http
    large = make_large_file(room / "from" / "large.bin", megabytes=8).parent
    options = {"bandwidth_limit": "1M"}
    job_id = shared_server.create_job(large, room / "to", options=options)
    address = f"/api/v1/jobs/{job_id}"
    problem_of(http.post(f"{address}/stop"), 409)
    problem_of(http.post(f"{address}/discard"), 409)

    started = http.post(f"{address}/start")
    assert started.status_code == 202
    run_id = started.json()["run_id"]
    assert http.get(address).json()["state"]["run_id"] == run_id
    problem_of(http.post(f"{address}/start"), 409)
    problem_of(http.post(f"{address}/discard"), 409)
    assert "stop it first" in problem_of(http.delete(address), 409)["detail"]
    wait_for_bytes(shared_server, job_id, 1)

    # The definition is the person's: it can be changed while its run goes on.
    body = http.get(address).json()
    changed = http.put(address, json=body | {"name": "meanwhile"}, headers={"If-Match": '"1"'})
    assert changed.status_code == 200
    assert changed.json()["state"]["status"] == "running"

    stopped = http.post(f"{address}/stop")
    assert (stopped.status_code, stopped.json()["run_id"]) == (202, run_id)
    wait_for_status(shared_server, job_id, "paused")
    problem_of(http.post(f"{address}/stop"), 409)
    assert shared_server.run(run_id)["job_name"] == "A job"
    assert http.delete(address).status_code == 204
    problem_of(http.get(f"/api/v1/runs/{run_id}"), 404)
    assert not (shared_server.data_dir / "runs" / run_id).exists()
    assert any((room / "to").iterdir()), "what was copied was removed with the job"


def test_a_finished_job_can_be_started_again(shared_server: RunningServer, room: Path) -> None:
    source = make_tree(room / "from", files=3)
    job_id = shared_server.create_job(source, room / "to")

    runs = [run_to_end(shared_server, job_id) for _ in range(3)]

    assert [run["outcome"] for run in runs] == ["completed"] * 3
    assert len({run["id"] for run in runs}) == 3
    state = shared_server.state(job_id)
    assert (state["run_id"], state["last_good_at"]) == (runs[2]["id"], runs[2]["ended_at"])


def test_the_list_filters_pages_and_names_what_is_damaged(
    make_server: MakeServer, tmp_path: Path
) -> None:
    (tmp_path / "data" / "jobs").mkdir(parents=True)
    (tmp_path / "data" / "jobs" / "damaged.yaml").write_text("format: 1\nname: [")
    server = make_server()
    source = make_tree(tmp_path / "from", files=1)
    wanted = {}
    for number, engine in enumerate(("rsync", "rclone", "rsync", "rclone", "rsync")):
        tags = ["even"] if number % 2 == 0 else []
        wanted[number] = server.create_job(
            source, tmp_path / f"to-{number}", name=f"Job {9 - number}", engine=engine, tags=tags
        )
    run_to_end(server, wanted[0])

    def listed(query: str = "") -> list[int]:
        answer = server.http.get(f"/api/v1/jobs?{query}").json()
        assert answer["total"] == len(answer["items"])
        by_id = {job_id: number for number, job_id in wanted.items()}
        return [by_id[job["id"]] for job in answer["items"]]

    assert listed() == [4, 3, 2, 1, 0], "not in the order of their names"
    assert listed("engine=rclone") == [3, 1]
    assert listed("tag=even") == [4, 2, 0]
    assert listed("status=completed") == [0]
    assert listed("status=pending&engine=rsync") == [4, 2]
    assert listed("q=jOB%208") == [1]
    assert listed("q=to-3") == [3]
    assert listed("status=nonsense") == []

    seen: list[str] = []
    cursor: str | None = ""
    for _ in range(3):
        page = server.http.get(f"/api/v1/jobs?limit=2&cursor={cursor}").json()
        assert page["total"] == 5
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [wanted[number] for number in (4, 3, 2, 1, 0)]
    assert page["next_cursor"] is None
    (damaged,) = server.http.get("/api/v1/jobs").json()["damaged"]
    assert damaged["id"] == "damaged"
    assert "YAML" in damaged["reason"]
    wait_until(
        lambda: server.http.get("/health").json()["status"] == "degraded", what="its degradation"
    )
    for query in ("limit=0", "limit=-1", "limit=501", "limit=many", "limit=9" + "9" * 40):
        problem_of(server.http.get(f"/api/v1/jobs?{query}"), 422)


def test_unknown_addresses_and_methods_are_problems(shared_server: RunningServer) -> None:
    http = shared_server.http
    for call in ("/jobs/none", "/jobs/none/runs", "/runs/none", "/runs/none/log", "/nothing"):
        problem_of(http.get(f"/api/v1{call}"), 404)
    for call in ("start", "stop", "discard"):
        problem_of(http.post(f"/api/v1/jobs/none/{call}"), 404)
    problem_of(http.get("/api/v1/runs/none/failures"), 404)
    problem_of(http.patch("/api/v1/jobs"), 405)
