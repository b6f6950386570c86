"""Proves what is shown of overdue jobs from outside: the API, the pages, the command line and the
error log; through a restart, and until a success ends it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from models.job import Job
from storage.job_documents import job_content
from tests.integration.live import Frame, live, shows
from tests.integration.running import ended_server
from tests.support import RunningServer, make_tree, wait_until

pytestmark = pytest.mark.integration
OVERDUE, FREE = "photos-late", "music-free"


def write_jobs(tmp_path: Path) -> Path:
    """Leave two jobs from long ago in a data directory, of which one is to have succeeded since."""
    make_tree(tmp_path / "from", files=3)
    jobs = tmp_path / "data" / "jobs"
    jobs.mkdir(parents=True, mode=0o700)
    for job_id, within in ((OVERDUE, 90_000), (FREE, None)):
        job = Job.model_validate(
            {
                "id": job_id,
                "name": job_id.title(),
                "engine": "rsync",
                "source": str(tmp_path / "from"),
                "destination": str(tmp_path / job_id),
                "monitoring": {"success_within_seconds": within},
                "version": 1,
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z",
            }
        )
        (jobs / f"{job_id}.yaml").write_bytes(job_content(job))
    return tmp_path / "data"


def told(server: RunningServer) -> list[dict[str, Any]]:
    """Return the events of overdue jobs."""
    events = server.http.get("/api/v1/errors").json()["items"]
    return [event for event in events if event["error_type"] == "JobOverdue"]


async def test_an_overdue_job_is_told_once_and_shown_until_it_has_a_success(
    tmp_path: Path,
) -> None:
    with ended_server(RunningServer(write_jobs(tmp_path))) as server:
        late = server.http.get(f"/api/v1/jobs/{OVERDUE}").json()
        assert (late["overdue"], late["last_success_at"]) == (True, None)
        listed = server.http.get("/api/v1/jobs?overdue=true").json()
        assert (listed["total"], [job["id"] for job in listed["items"]]) == (1, [OVERDUE])
        assert [job["overdue"] for job in server.jobs()] == [False, True]
        assert await _is_counted(server, 1)
        page = server.http.get("/jobs?status=overdue").text
        assert (
            f'id="job-{OVERDUE}-overdue" title="A success is expected within 1 day 1 hour' in page
        )
        assert f'id="job-{FREE}"' not in page
        assert 'href="/jobs?status=overdue"' in server.http.get("/").text
        assert "1 day 1 hour" in server.http.get(f"/jobs/{OVERDUE}").text
        form = server.http.get(f"/jobs/{OVERDUE}/edit").text
        assert 'value="25"' in form
        found = json.loads(server.cli("jobs", "list", "--overdue", "--json").stdout)
        assert [job["id"] for job in found["items"]] == [OVERDUE]

        server.kill()
        server.start()
        (event,) = told(server)
        assert (event["count"], event["severity"], event["component"]) == (1, "high", "job_manager")
        assert (event["job_id"], event["resolved"]) == (OVERDUE, False)

        async with live(server) as client:
            await client.send(subscribe=[OVERDUE])
            run_id = server.start_job(OVERDUE)
            frame = await client.until(shows(OVERDUE, "completed"))
            assert "-overdue" not in frame["html"]
            # The banner may have gone before, or in the same frame.
            if not any(map(_is_without_banner, client.frames)):
                await client.until(_is_without_banner)
        assert server.wait_for_end(run_id)["outcome"] == "completed"
        done = server.http.get(f"/api/v1/jobs/{OVERDUE}").json()
        assert await _is_counted(server, 0)
        assert (done["overdue"], done["last_success_at"]) == (False, done["state"]["last_good_at"])
        # What would be told anew after a start has been told by now.
        (event,) = told(server)
        assert (event["resolved"], event["count"]) == (True, 1)
        # What was read is taken back as it is.
        answer = server.http.put(f"/api/v1/jobs/{OVERDUE}", json=done, headers={"If-Match": '"1"'})
        assert answer.status_code == 200, answer.text

        expect_by_form(server, tmp_path)


def _is_without_banner(frame: Frame) -> bool:
    html = frame.get("html", "")
    return 'id="banners"' in html and "is overdue" not in html.partition('id="bell-list"')[0]


async def _is_counted(server: RunningServer, count: int) -> bool:
    """Wait until /health counts so many overdue jobs; without any it is no condition."""

    def counted() -> bool:
        conditions = server.http.get("/health").json()["conditions"]
        found = {one["name"]: (one["status"], one["count"]) for one in conditions}
        return found.get("overdue_jobs") == (("degraded", count) if count else None)

    await asyncio.to_thread(wait_until, counted, what=f"{count} overdue jobs in /health")
    return True


def expect_by_form(server: RunningServer, tmp_path: Path) -> None:
    """Say by the form what is expected of the other job: a number and its unit."""
    fields = {
        "version": "1",
        "name": "Music",
        "engine": "rsync",
        "source": str(tmp_path / "from"),
        "destination": str(tmp_path / "music"),
        "verification": "fast",
        "monitoring_success_within_seconds": "1.5",
        "monitoring_success_within_seconds_unit": "86400",
    }
    answer = server.http.post(f"/jobs/{FREE}", data=fields, headers={"Origin": server.url})
    assert answer.status_code == 303, answer.text
    job = server.http.get(f"/api/v1/jobs/{FREE}").json()
    assert job["monitoring"]["success_within_seconds"] == 129_600
    assert job["overdue"], "at once, since the job is from long ago"
    wrong = fields | {"version": "2", "monitoring_success_within_seconds": "soon"}
    answer = server.http.post(f"/jobs/{FREE}", data=wrong, headers={"Origin": server.url})
    assert answer.status_code == 422
    assert "monitoring_success_within_seconds-error" in answer.text
