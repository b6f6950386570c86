"""Proves with a disk that really hangs among the allowed folders that all others are served
meanwhile: pages, health, saves and starts; and that what asks for it is told so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.questions import PATIENCE_SECONDS
from tests.hanging import HangingDisk, hanging_disk
from tests.integration.running import ended_server
from tests.support import RunningServer, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
_PAGE_SECONDS = PATIENCE_SECONDS / 2
"""Whoever waits for the disk takes longer: how fast a page is shows a benchmark."""
_ASKERS = 16


class Site:
    """A server with three allowed folders, one of which hangs and one is a link to that."""

    def __init__(self, place: Path, disk: HangingDisk) -> None:
        self.disk, self.good, self.link = disk, place / "good", place / "link"
        make_tree(self.good / "photos", files=3)
        self.link.symlink_to(disk.path)
        roots = f"{disk.path}:{self.link}:{self.good}"
        self.server = RunningServer(place / "data", LONGSHORE_ALLOWED_ROOTS=roots)

    def definition(self, **fields: Any) -> dict[str, Any]:
        """Return a job within the folder that answers."""
        source, destination = f"{self.good}/photos", f"{self.good}/copy"
        job = {"name": "A job", "engine": "rsync", "source": source, "destination": destination}
        return job | fields


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for the module."""
    place = tmp_path_factory.mktemp("hanging")
    with hanging_disk(place / "dead") as disk:
        made = Site(place, disk)
        with ended_server(made.server):
            yield made


def test_a_job_on_it_is_refused_with_the_reason_and_its_other_faults(site: Site) -> None:
    job = site.definition(source=f"{site.link}/photos", destination="/etc/copy")
    answer = site.server.http.post("/api/v1/jobs", json=job)
    assert answer.status_code == 422, answer.text
    told = {fault["field"]: fault["message"] for fault in answer.json()["errors"]}
    assert told["source"].startswith(f"{site.disk.path} does not answer: is its disk")
    assert set(told) == {"source", "destination"}


def test_the_browser_and_the_settings_say_which_one_it_is(site: Site) -> None:
    text = site.server.http.get(f"/folders?field=source&path={site.disk.path}/photos").text
    assert f"{site.disk.path} does not answer" in text
    text = site.server.http.get("/folders?field=source").text
    assert f"No answer from {site.disk.path}, {site.link}." in text
    assert f'<span dir="auto">{site.good}</span>' in text
    text = site.server.http.get("/settings").text
    assert f"No answer from {site.disk.path}, {site.link}." in text


def test_everybody_else_is_served_while_many_ask_for_it(site: Site) -> None:
    job_id = site.server.create_job(site.good / "photos", site.good / "copy")
    took = asyncio.run(_served_meanwhile(site, job_id))
    slow = {name: round(seconds, 2) for name, seconds in took.items() if seconds > _PAGE_SECONDS}
    assert not slow
    wait_until(lambda: site.server.state(job_id)["status"] == "completed", what="the run")


async def _served_meanwhile(site: Site, job_id: str) -> dict[str, float]:
    """Return how long each took, the best of three, while many ask for what hangs."""
    server, took = site.server, dict[str, float]()
    dead = site.definition(source=str(site.disk.path))
    async with httpx.AsyncClient(
        base_url=server.url, headers=server.http.headers, timeout=30
    ) as client:

        async def ask_for_it(number: int) -> None:
            while True:
                path = f"{(site.disk.path, site.link)[number % 2]}/{number}"
                await client.get("/folders", params={"field": "source", "path": path})
                await client.post("/api/v1/jobs", json=dead)

        askers = [asyncio.create_task(ask_for_it(number)) for number in range(_ASKERS)]
        await asyncio.sleep(0.1)
        good = {"field": "source", "path": str(site.good)}
        try:
            for name, request in {
                "dashboard": client.build_request("GET", "/"),
                "jobs": client.build_request("GET", "/jobs"),
                "settings": client.build_request("GET", "/settings"),
                "health": client.build_request("GET", "/health"),
                "browser": client.build_request("GET", "/folders", params=good),
                "save": client.build_request("POST", "/api/v1/jobs", json=site.definition()),
            }.items():
                times = []
                for _ in range(3):
                    began = time.monotonic()
                    answer = await client.send(request)
                    times.append(time.monotonic() - began)
                    assert answer.status_code < 300, (name, answer.text)
                took[name] = min(times)
            answer = await client.post(f"/api/v1/jobs/{job_id}/start")
            assert answer.status_code < 300, answer.text
        finally:
            for asker in askers:
                asker.cancel()
            await asyncio.gather(*askers, return_exceptions=True)
    return took


def test_it_is_asked_again_once_it_answers(site: Site) -> None:
    site.disk.let_go()
    (site.disk.path / "photos").mkdir()

    def is_listed() -> bool:
        text = site.server.http.get(f"/folders?field=source&path={site.link}").text
        return '<span dir="auto">photos</span>' in text

    wait_until(is_listed, what="the folder on the disk that answers again")
    job = site.definition(source=f"{site.link}/photos", destination=f"{site.good}/other")
    assert site.server.http.post("/api/v1/jobs", json=job).status_code == 201
