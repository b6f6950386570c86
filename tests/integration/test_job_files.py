"""Proves with a running server that job files belong to people: edits by hand show within two
seconds, damage is mended and told, and changes at once lose nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.live import Frame, live
from tests.integration.running import ended_server, run_to_end, wait_for_bytes, wait_for_status
from tests.support import RunningServer, make_large_file, make_tree, rsync_differences, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
NOTICED_SECONDS = 2.0
CLIENTS = 50


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of its own."""
    with ended_server(RunningServer(tmp_path / "data")) as server:
        yield server


def file_of(server: RunningServer, job_id: str) -> Path:
    """Return a definition's file."""
    return server.data_dir / "jobs" / f"{job_id}.yaml"


def edit(path: Path, before: str, after: str) -> None:
    """Change a text in a file, in place as nano does."""
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def within_two_seconds(condition: Callable[[], Any]) -> Any:
    """Wait for what must be there two seconds after an edit."""
    return wait_until(condition, seconds=NOTICED_SECONDS, what="what was edited")


def has_version(server: RunningServer, job_id: str, version: int) -> bool:
    """Tell whether a job is there in this version."""
    return bool(server.http.get(f"/api/v1/jobs/{job_id}").json().get("version") == version)


def open_errors(server: RunningServer, error_type: str) -> list[dict[str, Any]]:
    """Return the unresolved events of a type."""
    answer = server.http.get("/api/v1/errors", params={"resolved": "false"})
    assert answer.status_code == 200, answer.text
    return [event for event in answer.json()["items"] if event["error_type"] == error_type]


def test_an_edit_in_an_editor_is_a_new_version(server: RunningServer, tmp_path: Path) -> None:
    job_id = server.create_job(make_tree(tmp_path / "from", files=2), tmp_path / "to")
    path = file_of(server, job_id)
    edit(path, "name: A job", "# a comment\nname: 22:30")
    written = path.read_bytes()

    within_two_seconds(partial(has_version, server, job_id, 2))

    answer = server.http.get(f"/api/v1/jobs/{job_id}")
    assert (answer.json()["name"], answer.headers["etag"]) == ("22:30", '"2"')
    definition = {key: answer.json()[key] for key in ("engine", "source", "destination")}
    refused = server.http.put(
        f"/api/v1/jobs/{job_id}", json={**definition, "name": "x"}, headers={"If-Match": '"1"'}
    )
    assert (refused.status_code, refused.json()["current"]["name"]) == (412, "22:30")
    run = run_to_end(server, job_id)
    assert run["outcome"] == "completed"
    assert path.read_bytes() == written, "a run does not write to the person's file"
    server.terminate()
    server.start()
    assert server.http.get(f"/api/v1/jobs/{job_id}").json()["version"] == 2


def test_an_editor_that_renames_is_understood_as_well(
    server: RunningServer, tmp_path: Path
) -> None:
    """As vim does: the old file moves away, the new one comes, the old one goes."""
    job_id = server.create_job(make_tree(tmp_path / "from", files=2), tmp_path / "to")
    path = file_of(server, job_id)
    for number in range(2, 5):
        content = path.read_bytes()
        path.rename(path.with_name(path.name + "~"))
        path.write_bytes(content.replace(b"name: ", b"name: x"))
        path.with_name(path.name + "~").unlink()
        within_two_seconds(partial(has_version, server, job_id, number))
    assert server.http.get(f"/api/v1/jobs/{job_id}").json()["name"] == "xxxA job"


async def test_an_edit_is_shown_on_every_open_page(server: RunningServer, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "from", files=2)
    job_id = await asyncio.to_thread(server.create_job, source, tmp_path / "to")

    def names(name: str) -> Callable[[Frame], bool]:
        return lambda frame: (
            f'id="job-{job_id}"' in frame.get("html", "") and (name in frame["html"])
        )

    async with live(server) as one, live(server) as other:
        for client in (one, other):
            await client.send(subscribe=[job_id], cursor=client.cursor)
        began = time.monotonic()
        edit(file_of(server, job_id), "name: A job", "name: Written by hand")
        for client in (one, other):
            await client.until(names("Written by hand"), seconds=5)
        assert time.monotonic() - began < NOTICED_SECONDS


def test_an_invalid_edit_is_told_with_its_line_and_changes_nothing(
    server: RunningServer, tmp_path: Path
) -> None:
    job_id = server.create_job(make_tree(tmp_path / "from", files=2), tmp_path / "to")
    path = file_of(server, job_id)
    good = path.read_bytes()
    edit(path, "engine: rsync", "engine: tar")

    (event,) = within_two_seconds(lambda: open_errors(server, "JobFileEditInvalid"))

    assert (event["severity"], event["component"]) == ("high", "storage")
    assert (event["job_id"], event["job_name"]) == (job_id, "A job")
    assert "line 4: engine: There is no engine “tar”." in event["message"]
    assert server.http.get(f"/api/v1/jobs/{job_id}").json()["version"] == 1
    assert "There is no engine “tar”" in server.http.get("/jobs").text, "the banner"
    assert run_to_end(server, job_id)["outcome"] == "completed"
    path.write_bytes(good.replace(b"A job", b"Mended"))
    within_two_seconds(lambda: not open_errors(server, "JobFileEditInvalid"))
    assert server.http.get(f"/api/v1/jobs/{job_id}").json()["name"] == "Mended"


def test_new_files_are_jobs_and_deleted_ones_are_not(server: RunningServer, tmp_path: Path) -> None:
    source, destination = make_tree(tmp_path / "from", files=20), tmp_path / "to"
    path = file_of(server, "written-by-hand")
    path.write_text(
        f"name: By hand\nengine: rsync\nsource: {source}\ndestination: {destination}\n"
        "verification: checksum\n"
    )
    within_two_seconds(lambda: server.http.get("/api/v1/jobs/written-by-hand").status_code == 200)
    assert run_to_end(server, "written-by-hand")["outcome"] == "completed"
    assert rsync_differences(source, destination) == ""
    path.unlink()
    within_two_seconds(lambda: server.http.get("/api/v1/jobs/written-by-hand").status_code == 404)
    assert server.jobs() == []


def test_when_all_files_vanish_at_once_it_is_told(server: RunningServer, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "from", files=2)
    for number in range(3):
        server.create_job(source, tmp_path / f"to-{number}")
    for path in (server.data_dir / "jobs").glob("*.yaml"):
        path.unlink()
    (event,) = within_two_seconds(lambda: open_errors(server, "JobFilesMissing"))
    assert event["severity"] == "critical"
    assert "3 jobs" in event["message"]


def test_the_deleted_file_of_a_running_job_is_restored(
    server: RunningServer, tmp_path: Path
) -> None:
    make_large_file(tmp_path / "from" / "large.bin", megabytes=4)
    job_id = server.create_job(
        tmp_path / "from", tmp_path / "to", options={"bandwidth_limit": "1M"}
    )
    path = file_of(server, job_id)
    run_id = server.start_job(job_id)
    wait_for_bytes(server, job_id, 1)
    content = path.read_bytes()
    path.unlink()

    (event,) = within_two_seconds(lambda: open_errors(server, "JobFileRestored"))

    assert event["job_id"] == job_id
    assert path.read_bytes() == content
    assert server.wait_for_end(run_id)["outcome"] == "completed"
    wait_for_status(server, job_id, "completed")


def test_a_damaged_file_is_restored_at_the_start_and_told(
    server: RunningServer, tmp_path: Path
) -> None:
    job_id = server.create_job(make_tree(tmp_path / "from", files=2), tmp_path / "to")
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    server.http.put(
        f"/api/v1/jobs/{job_id}", json=job | {"name": "Later"}, headers={"If-Match": '"1"'}
    )
    file_of(server, "hopeless").write_bytes(b"\x00" * 100)
    server.terminate()
    file_of(server, job_id).write_bytes(b"\x00" * 700)
    server.start()

    listing = server.http.get("/api/v1/jobs").json()

    assert [job["name"] for job in listing["items"]] == ["A job"]
    assert [(job["id"], "NUL" in job["reason"]) for job in listing["damaged"]] == [
        ("hopeless", True)
    ]
    (recovered,) = open_errors(server, "JobFileRecovered")
    assert (recovered["job_id"], recovered["job_name"]) == (job_id, "A job")
    (damaged,) = open_errors(server, "JobFileDamaged")
    assert damaged["job_id"] == "hopeless"
    page = server.http.get("/").text
    assert "Its previous version is in force again" in page
    assert "hopeless.yaml cannot be used" in page
    health = server.http.get("/health").json()
    assert health["components"]["storage"]["damaged_jobs"] == 1
    server.terminate()
    file_of(server, "hopeless").unlink()
    server.start()
    assert server.http.get("/api/v1/jobs").json()["damaged"] == []
    within_two_seconds(lambda: not open_errors(server, "JobFileDamaged"))
    assert open_errors(server, "JobFileRecovered"), "this one a person has to see and dismiss"


async def test_of_fifty_clients_every_one_gets_its_own_version(
    server: RunningServer, tmp_path: Path
) -> None:
    """Each adds its own tag to what it read, until it is let: none may be lost."""
    source = make_tree(tmp_path / "from", files=2)
    job_id = await asyncio.to_thread(server.create_job, source, tmp_path / "to")
    refusals = 0

    async def add_tag(client: httpx.AsyncClient, number: int) -> int:
        nonlocal refusals
        while True:
            read = await client.get(f"/api/v1/jobs/{job_id}")
            job = read.json()
            answer = await client.put(
                f"/api/v1/jobs/{job_id}",
                json=job | {"tags": [*job["tags"], f"client-{number}"]},
                headers={"If-Match": read.headers["etag"]},
            )
            if answer.status_code == 200:
                assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
                return int(answer.json()["version"])
            assert answer.status_code == 412, answer.text
            assert answer.json()["current"]["version"] > job["version"]
            refusals += 1

    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        versions = await asyncio.gather(*(add_tag(client, number) for number in range(CLIENTS)))

    assert sorted(versions) == list(range(2, CLIENTS + 2))
    assert refusals > 0, "they did not meet"
    job = (await asyncio.to_thread(server.http.get, f"/api/v1/jobs/{job_id}")).json()
    assert sorted(job["tags"]) == sorted(f"client-{number}" for number in range(CLIENTS))
    assert job["version"] == CLIENTS + 1
    print(f"{CLIENTS} clients, {CLIENTS} versions, {refusals} refusals, 0 lost")  # noqa: T201
