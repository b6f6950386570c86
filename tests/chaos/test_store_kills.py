"""Twenty writers change jobs over HTTP while the server is killed again and again.

After each kill the files are read without the store, then by the next server.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.children import child
from tests.chaos.drivers import serve
from tests.chaos.ledger import Document, Ledger, check_all_readable, definitions_in
from tests.fakes.builders import a_definition
from tests.support import free_port, wait_until_async

pytestmark = pytest.mark.chaos
KILLS = 1000 if os.environ.get("LONGSHORE_CHAOS") == "full" else 12
WRITERS = 20
MOST_JOBS = 5
"""Of one writer."""
LONGEST_LIFE_SECONDS = 0.4


class Writer:
    """Creates, saves and deletes jobs of its own, one change at a time, until the server is gone.

    A creation is known by its name until it is answered: the id is the server's to choose.
    """

    def __init__(self, number: int, source: Path) -> None:
        self.ledger = Ledger()
        self.creating: Document | None = None
        self._source = source
        self._source.mkdir(parents=True)
        self._serial = 0
        self._choice = random.Random(number)
        self._number = number

    async def write(self, http: httpx.AsyncClient) -> None:
        """Change one job after another; ends with the server."""
        try:
            while True:
                await self._change_one(http)
        except httpx.TransportError:
            return

    async def _change_one(self, http: httpx.AsyncClient) -> None:
        present = [job_id for job_id, job in self.ledger.acknowledged.items() if job is not None]
        chance = self._choice.random()
        if not present or (chance < 0.2 and len(present) < MOST_JOBS):
            await self._create(http)
        elif chance < 0.3:
            await self._delete(http, self._choice.choice(present))
        else:
            await self._save(http, self._choice.choice(present))

    async def _create(self, http: httpx.AsyncClient) -> None:
        self.creating = self._definition()
        answer = await http.post("/api/v1/jobs", json=self.creating)
        assert answer.status_code == 201, answer.text
        job = answer.json()
        self.ledger.acknowledge(job["id"], job)
        self.creating = None

    async def _save(self, http: httpx.AsyncClient, job_id: str) -> None:
        current = self.ledger.acknowledged[job_id]
        assert current is not None
        version = int(current["version"])
        definition = self._definition()
        self.ledger.begin(job_id, {**definition, "version": version + 1})
        headers = {"If-Match": f'"{version}"'}
        answer = await http.put(f"/api/v1/jobs/{job_id}", json=definition, headers=headers)
        assert answer.status_code == 200, answer.text
        self.ledger.acknowledge(job_id, answer.json())

    async def _delete(self, http: httpx.AsyncClient, job_id: str) -> None:
        self.ledger.begin(job_id, None)
        answer = await http.delete(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 204, answer.text
        self.ledger.acknowledge(job_id, None)

    def _definition(self) -> dict[str, Any]:
        self._serial += 1
        name = f"Writer {self._number} change {self._serial}"
        return a_definition(name=name, tags=[name], source=str(self._source))

    def jobs_in(self, on_disk: Mapping[str, Document]) -> dict[str, Document]:
        """Return the writer's own jobs: no other has its source."""
        source = str(self._source)
        return {job_id: job for job_id, job in on_disk.items() if job["source"] == source}

    def settle(self, on_disk: Mapping[str, Document]) -> list[str]:
        """Compare with the writer's own jobs on disk, and go on from them; returns what is lost."""
        found = self.jobs_in(on_disk)
        unknown = found.keys() - self.ledger.acknowledged.keys()
        if self.creating is not None and len(unknown) == 1:
            # It was created and not answered; whole or not is seen below.
            self.ledger.begin(unknown.pop(), {**self.creating, "version": 1})
        lost = self.ledger.lost(found)
        self.ledger.settle(found)
        self.creating = None
        return lost


async def check_server(http: httpx.AsyncClient, on_disk: dict[str, Document]) -> None:
    """Compare what the server that was started anew shows with the files."""
    shown = (await http.get("/api/v1/jobs?limit=500")).json()
    assert shown["damaged"] == []
    assert shown["total"] == len(shown["items"])
    ledger = Ledger()
    for job in shown["items"]:
        ledger.acknowledge(job["id"], job)
    assert ledger.lost(on_disk) == [], "the server shows other jobs than there are"


async def answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/api/v1/jobs?limit=1")).status_code == 200
    except httpx.TransportError:
        return False


async def has_enough(writers: list[Writer], kills: int) -> bool:
    """Whether so many were acknowledged that this many kills prove anything."""
    return sum(writer.ledger.count for writer in writers) >= kills * WRITERS // 4


async def test_no_acknowledged_change_is_lost(tmp_path: Path, tell: Callable[[str], None]) -> None:
    data_dir, port = tmp_path / "data", free_port()
    choice = random.Random(1)
    writers = [Writer(number, tmp_path / f"from-{number}") for number in range(WRITERS)]
    files = 0
    on_disk: dict[str, Document] = {}
    for kill in range(1, KILLS + 1):
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as http:
            with child(serve, data_dir, port) as server:
                await wait_until_async(lambda http=http: answers(http), what="the server's answer")  # type: ignore[misc]
                await check_server(http, on_disk)
                async with asyncio.TaskGroup() as tasks:
                    for writer in writers:
                        tasks.create_task(writer.write(http))
                    await asyncio.sleep(choice.random() * LONGEST_LIFE_SECONDS)
                    await wait_until_async(partial(has_enough, writers, kill), what="changes")
                    server.kill()
        files += check_all_readable(data_dir)
        on_disk = definitions_in(data_dir)
        lost = [fault for writer in writers for fault in writer.settle(on_disk)]
        assert lost == [], f"lost by kill {kill}"
    acknowledged = sum(writer.ledger.count for writer in writers)
    tell(f"{KILLS} kills, {acknowledged:,} acknowledged, 0 lost, 0 of {files:,} files unreadable")
