"""Commands on several jobs at once, as a form posts them: what is refused, what is done beside."""

from __future__ import annotations

from pathlib import Path

from core.many_jobs import MAX_JOBS
from tests.support import RunningServer


def test_what_cannot_be_done_is_said_and_the_rest_is_done(
    shared_server: RunningServer, room: Path
) -> None:
    (room / "from").mkdir()
    job_id = shared_server.create_job(room / "from", room / "to", name="One <b>", tags=["a"])

    def post(**fields: str | list[str]) -> tuple[int, str]:
        answer = shared_server.http.post("/many-jobs", data=fields)
        return answer.status_code, answer.text

    status, text = post(action="tag", tag="b", job=[job_id, job_id, "nobody-0001"])
    assert status == 200
    assert "1 job tagged" in text
    assert "There is no job with the id" in text
    job = shared_server.http.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["tags"], job["version"]) == (["a", "b"], 2)
    status, text = post(action="stop", job=job_id)
    assert "One &lt;b&gt;" in text
    for fields, words in (
        ({"action": "dance", "job": job_id}, "no such command"),
        ({"action": "start"}, "No job is ticked"),
        ({"action": "tag", "tag": " ", "job": job_id}, "Write the tag"),
        ({"action": "tag", "tag": "c", "job": [job_id, *map(str, range(MAX_JOBS))]}, "At most"),
    ):
        status, text = post(**fields)
        assert (status, words in text) == (422, True), fields
    assert shared_server.http.get(f"/api/v1/jobs/{job_id}").json()["version"] == 2
