"""The data directory has no room or is read-only: nothing breaks, and nothing has to be mended.

Pages and API stay up, a change is refused with its reason, running engine processes go on, and all
is well again within five seconds.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from models.errors import StorageFailed
from storage.database import Database
from storage.run_repository import RunRepository
from tests.chaos.ledger import Ledger, check_all_readable, definitions_in
from tests.chaos.mounts import LoopMount, loop_mount, read_only
from tests.fakes.builders import a_definition, a_run
from tests.integration.running import event_of, start_ticks, wait_for_partial, wait_for_status
from tests.support import RunningServer, make_large_file, rsync_differences, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]
MEGABYTES = 8
RATE = "1M"
ENOUGH_BYTES = 256 * 1024
"""Of the transfer, to see that it goes on."""
RECOVERY_SECONDS = 5
PAGES = ("/", "/jobs", "/jobs/new", "/runs", "/jobs/{id}", "/jobs/{id}/edit")
CALLS = ("/api/v1/jobs", "/api/v1/runs", "/api/v1/jobs/{id}", "/api/v1/errors")


@contextmanager
def no_room(disk: LoopMount) -> Iterator[None]:
    """Fill the disk of the data directory to the last byte."""
    disk.fill()
    try:
        yield
    finally:
        disk.empty()


TROUBLES: dict[str, tuple[str, Callable[[LoopMount], AbstractContextManager[None]]]] = {
    "full": ("No space left on device", no_room),
    "read-only": ("Read-only file system", lambda disk: read_only(disk.path)),
}
"""By name: the reason that a person is told, and how it is made."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopMount]:
    """A small disk of the data directory's own; it outlasts the server."""
    with loop_mount(tmp_path, "ext4") as mounted:
        yield mounted


def drain(server: RunningServer) -> None:
    """Read what the server prints, as a service manager does: it tells of a log that has no room,
    and would wait for ever when the pipe is full."""
    assert server.process is not None
    assert server.process.stdout is not None
    threading.Thread(target=server.process.stdout.read, daemon=True).start()


def save(server: RunningServer, job_id: str, name: str) -> httpx.Response:
    """Save a job under another name."""
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    headers = {"If-Match": f'"{job["version"]}"'}
    definition = {key: job[key] for key in ("engine", "source", "destination", "options")}
    return server.http.put(
        f"/api/v1/jobs/{job_id}", json={**definition, "name": name}, headers=headers
    )


def check_all_answers(server: RunningServer, job_id: str) -> int:
    """Read every page and every list; returns how many."""
    for path in (*PAGES, *CALLS):
        answer = server.http.get(path.format(id=job_id))
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return len(PAGES) + len(CALLS)


def check_all_refused(server: RunningServer, job_id: str, source: Path, reason: str) -> int:
    """Try every change: each is refused with the reason, and has changed nothing."""
    before = documents(server)
    new = a_definition(source=str(source), destination=f"{source}-copy")
    tries: dict[str, Callable[[], httpx.Response]] = {
        "save": lambda: save(server, job_id, "Lost"),
        "create": lambda: server.http.post("/api/v1/jobs", json=new),
        "start": lambda: server.http.post(f"/api/v1/jobs/{job_id}/start"),
    }
    for name, attempt in tries.items():
        answer = attempt()
        assert answer.status_code == 503, f"{name}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json"
        assert reason.lower() in answer.json()["detail"].lower(), f"{name}: {answer.text}"
    assert documents(server) == before
    return len(tries)


def documents(server: RunningServer) -> dict[str, Any]:
    """Return every definition as the API shows it, and the status of its job."""
    return {
        job["id"]: {**job, "state": (job["state"]["status"], job["state"]["run_id"])}
        for job in server.jobs()
    }


def health(server: RunningServer) -> tuple[int, str]:
    """Return the status code, and what it says about the storage."""
    answer = server.http.get("/health")
    return answer.status_code, answer.json()["components"]["storage"]["status"]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_changes_are_refused_and_all_else_goes_on(
    disk: LoopMount,
    make_server: Callable[..., RunningServer],
    tmp_path: Path,
    trouble: str,
    tell: Callable[[str], None],
) -> None:
    reason, begin = TROUBLES[trouble]
    source, destination = tmp_path / "from", tmp_path / "to"
    make_large_file(source / "large.bin", megabytes=MEGABYTES)
    server = make_server(disk.path.name)
    server.had_no_room = trouble == "full"
    drain(server)
    running = server.create_job(source, destination, options={"bandwidth_limit": RATE})
    resting = server.create_job(source, tmp_path / "never")
    run_id = server.start_job(running)
    engine = event_of(server, run_id, "engine_started")["engine"]
    wait_for_partial(destination, 1)

    with begin(disk):
        refused = check_all_refused(server, resting, source, reason)
        read = check_all_answers(server, resting)
        wait_until(lambda: health(server) == (503, "unhealthy"), seconds=2, what="bad health")
        (partial,) = destination.glob(".*")
        wait_for_partial(destination, partial.stat().st_size + ENOUGH_BYTES)
        assert start_ticks(engine["pid"]) == engine["start_ticks"], "the very same process"

    wait_until(
        lambda: save(server, resting, "Saved again").status_code == 200,
        seconds=RECOVERY_SECONDS,
        what="a save",
    )
    wait_until(
        lambda: health(server) == (200, "healthy"), seconds=RECOVERY_SECONDS, what="good health"
    )
    run = server.wait_for_end(run_id)
    state = wait_for_status(server, running, "completed")
    assert (run["outcome"], run["attempts"], state["run_id"]) == ("completed", 1, run_id)
    assert rsync_differences(source, destination) == ""
    check_restart(server)
    tell(f"{trouble}: {refused} changes refused, {read} pages and lists read, 1 transfer went on")


async def test_what_was_opened_while_the_disk_was_read_only_is_written_to_later(
    disk: LoopMount,
) -> None:
    database = await Database.open(disk.path)
    both = threading.Barrier(2, timeout=30)
    try:
        await database.write(lambda one: one.execute(text("CREATE TABLE told (word TEXT)")))
        with read_only(disk.path):
            # Two at once, so that a second connection is opened.
            await asyncio.gather(*(database.read(lambda _one: both.wait()) for _ in range(2)))
        for _ in range(4):
            await database.write(lambda one: one.execute(text("INSERT INTO told VALUES ('on')")))
        count = text("SELECT count(*) FROM told")
        assert await database.read(lambda one: one.execute(count).scalar_one()) == 4
    finally:
        await database.close()


def check_restart(server: RunningServer) -> None:
    """Find every job after a crash as it was shown before, and every file whole."""
    before = documents(server)
    server.kill()
    check_all_readable(server.data_dir)
    ledger = Ledger()
    for job_id, job in before.items():
        ledger.acknowledge(job_id, job)
    assert ledger.lost(definitions_in(server.data_dir)) == []
    server.start()
    assert documents(server) == before
    wait_until(lambda: health(server) == (200, "healthy"), what="good health")


async def test_that_all_was_opened_anew_while_the_disk_was_read_only_does_not_last(
    disk: LoopMount,
) -> None:
    database = await Database.open(disk.path)
    runs = RunRepository(database)

    async def add_beside(readers: int) -> None:
        begun, goes_on = threading.Barrier(readers + 1, timeout=30), threading.Event()

        def read(connection: Connection) -> None:
            connection.execute(text("SELECT count(*) FROM runs"))
            begun.wait()
            assert goes_on.wait(30)

        reading = asyncio.gather(*(database.read(read) for _ in range(readers)))
        await asyncio.to_thread(begun.wait)
        added = asyncio.create_task(runs.add(a_run("run-1")))
        # As long as nobody waits for them, what is refused is tried anew beside them.
        await asyncio.wait({added}, timeout=0.2)
        goes_on.set()
        await reading
        await added

    async def is_refused_beside(readers: int) -> None:
        for _ in range(20):  # A writer that comes late has a connection that may write.
            try:
                await add_beside(readers)
            except StorageFailed:
                return
        raise AssertionError("it was never refused")

    try:
        with read_only(disk.path):
            # The reader has the only connection that may write, which is closed at the next turn:
            # from then on none is left that was opened before.
            for readers in (1, 0, 2):
                await is_refused_beside(readers)
                gc.collect()
        await add_beside(2)
        assert (await runs.list_runs()).total == 1
    finally:
        await database.close()


def test_a_run_that_ends_without_room_has_its_outcome_once_there_is_room(
    disk: LoopMount,
    make_server: Callable[..., RunningServer],
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    source, destination = tmp_path / "from", tmp_path / "to"
    make_large_file(source / "large.bin", megabytes=2)
    server = make_server(disk.path.name)
    server.had_no_room = True
    job_id = server.create_job(source, destination, options={"bandwidth_limit": RATE})
    run_id = server.start_job(job_id)
    engine = event_of(server, run_id, "engine_started")["engine"]
    wait_for_partial(destination, 1)

    with no_room(disk):
        process = Path("/proc") / str(engine["pid"])
        wait_until(lambda: not process.exists(), what="the end of the transfer")
        assert rsync_differences(source, destination) == ""
        assert server.state(job_id)["status"] == "running"

    run = server.wait_for_end(run_id)
    assert (run["outcome"], run["attempts"]) == ("completed", 1)
    wait_for_status(server, job_id, "completed")
    check_restart(server)
    tell("1 transfer ended without room, and is completed")
