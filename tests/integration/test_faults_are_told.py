"""Forces the fault of each component for real, and proves that it stands once in the error log with
its severity, comes to an open page, /health and /metrics, and is over when its cause is gone.

One served application for all of them, so that each also proves that the ones before left nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from core import health as core_health
from core import missing_tools
from fastapi_app import storage_watch, task_keeper
from fastapi_app.services import Services
from fastapi_app.websocket import hub as hub_module
from models.job_status import JobStatus
from storage import database as database_module
from tests.chaos.mounts import loop_mount
from tests.conftest import need
from tests.integration.live import LiveClient, live
from tests.integration.running import ended_server, run_to_end
from tests.rclone_server import RcloneServer, write_configuration
from tests.rsync_daemon import RsyncDaemon
from tests.scraped import samples, series
from tests.served_app import ServedApp
from tests.support import free_port, make_tree, wait_until, wait_until_async

pytestmark = pytest.mark.integration
_QUICK = {"retry": {"max_attempts": 1}}


@dataclass(frozen=True)
class Told:
    """What is expected of a fault."""

    error_type: str
    severity: str
    component: str
    on_page: str | None
    """What an open page says of it; None for what is not worth a person's look."""
    is_open: bool = True
    """Whether it still is when it stands in the log; not where nothing could be written before."""


class Hurried:
    """Waits that take a minute in earnest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(missing_tools, "AGAIN_SECONDS", 0.2)
        monkeypatch.setattr(storage_watch, "PROBE_SECONDS", 0.3)
        monkeypatch.setattr(task_keeper, "STEADY_SECONDS", 2.0)
        monkeypatch.setattr(task_keeper, "_DELAYS_SECONDS", (0.1,))
        monkeypatch.setattr(hub_module, "CALM_SECONDS", 2.0)
        monkeypatch.setattr(core_health, "FRESH_SECONDS", 0.05)
        monkeypatch.setattr(database_module, "_BUSY_MILLISECONDS", 100)


class Broken:
    """A route that can be broken."""

    def __init__(self) -> None:
        self.is_broken = False

    async def answer(self, job_id: str) -> dict[str, str]:
        """Answer, or not."""
        if self.is_broken:
            raise ZeroDivisionError("a canary that no answer may hold")
        return {"job_id": job_id}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all programs of this machine, and the only ones that the server finds."""
    rsync = shutil.which("rsync")
    need("rsync", rsync)
    assert rsync is not None
    folder = tmp_path_factory.mktemp("tools")
    for directory in os.get_exec_path():
        for program in Path(directory).glob("*"):
            link = folder / program.name
            if not link.is_symlink():
                link.symlink_to(program)
    return folder


@pytest.fixture(scope="module")
def broken() -> Broken:
    """What a test breaks."""
    return Broken()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, tools: Path, broken: Broken
) -> Iterator[ServedApp]:
    """A served application with a route that can be broken."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        Hurried(monkeypatch)
        monkeypatch.setenv("PATH", str(tools))
        monkeypatch.setenv("LONGSHORE_RCLONE_CONFIG", str(tools.parent / "rclone.conf"))
        app = ServedApp(tmp_path_factory.mktemp("told") / "data")
        app.app.add_api_route("/api/v1/broken/{job_id}", broken.answer)
        with ended_server(app):
            yield app


@pytest.fixture
def job(served: ServedApp, tmp_path: Path) -> Iterator[str]:
    """A job that can run."""
    make_tree(tmp_path / "from", files=2)
    job_id = served.create_job(tmp_path / "from", tmp_path / "to", name="Photos", **_QUICK)
    yield job_id
    served.http.delete(f"/api/v1/jobs/{job_id}")


def events(served: ServedApp, error_type: str) -> list[dict[str, Any]]:
    """Return the events of a type, the newest first, when all that was reported is written."""
    served.call(lambda services: services.error_log.flush())
    found = served.http.get("/api/v1/errors?limit=500").json()["items"]
    return [event for event in found if event["error_type"] == error_type]


def open_faults(served: ServedApp, expected: Told) -> tuple[int, int]:
    """Return how many faults are open, as /health tells it by severity and /metrics by severity and
    component."""
    tracking = served.http.get("/health").json()["components"]["error_tracking"]
    labels = {"severity": expected.severity, "component": expected.component}
    name = series("longshore_unresolved_errors", **labels)
    told_in_metrics = samples(served.http.get("/metrics").text)[name]
    return tracking["unresolved_by_severity"].get(expected.severity, 0), int(told_in_metrics)


def is_unwell(served: ServedApp, part: str) -> bool:
    """Return whether both /health and /metrics tell that a part is not healthy."""
    health = served.http.get("/health").json()["components"][part]["status"]
    name = series("longshore_health_status", component=part)
    return health != "healthy" and samples(served.http.get("/metrics").text)[name] > 0


@asynccontextmanager
async def told(served: ServedApp, expected: Told) -> AsyncIterator[Callable[[], Any]]:
    """Expect what is done within to be told as this, once, and on a page that is open; what is
    yielded waits for that, and returns the event. Afterwards it must be over."""
    before = len(await asyncio.to_thread(events, served, expected.error_type))
    were_open = await asyncio.to_thread(open_faults, served, expected)
    one_more = tuple(count + 1 for count in were_open)

    def are_open(counts: tuple[int, ...]) -> Callable[[], bool]:
        return lambda: open_faults(served, expected) == counts

    async with live(served) as client:

        async def seen() -> dict[str, Any]:
            if expected.on_page is not None:
                await comes_to(client, expected.on_page)
            await wait_until_async(is_written, seconds=15, what=f"{expected.error_type}")
            found = (await asyncio.to_thread(events, served, expected.error_type))[0]
            kind = (found["severity"], found["component"])
            assert kind == (expected.severity, expected.component)
            if expected.on_page is not None:
                await comes_as_toast(client, expected.on_page)
            if expected.is_open:
                assert not found["resolved"]
                await asyncio.to_thread(wait_until, are_open(one_more), what="health and metrics")
            return found

        async def is_written() -> bool:
            return len(await asyncio.to_thread(events, served, expected.error_type)) > before

        yield seen
    resolved = await asyncio.to_thread(wait_until, lambda: all_over(served, expected.error_type))
    assert len(resolved) == before + 1, "told more than once"
    await asyncio.to_thread(wait_until, are_open(were_open), what="the end in health and metrics")


def all_over(served: ServedApp, error_type: str) -> list[dict[str, Any]]:
    """Return the events of a type when all of them are resolved."""
    found = events(served, error_type)
    return found if all(event["resolved"] for event in found) else []


async def comes_to(client: LiveClient, words: str) -> None:
    """Wait for a page's banners, or the bell's list, to say this."""
    await client.until(lambda frame: words in frame.get("html", ""))


async def comes_as_toast(client: LiveClient, words: str) -> None:
    """Wait for the push of what is news behind the bell, which a page shows as a toast
    (tests/browser/test_bell.py)."""

    def is_news(frame: dict[str, Any]) -> bool:
        return words in frame.get("html", "").partition('id="bell-list"')[2]

    if not any(map(is_news, client.frames)):
        await client.until(is_news)


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do what waits, while the live client of the test goes on."""
    return await asyncio.to_thread(work, *arguments)


async def test_an_exception_in_a_route(served: ServedApp, broken: Broken, job: str) -> None:
    route = "GET /api/v1/broken/{job_id}"
    expected = Told(f"RouteFailed: {route}", "high", "api", "failed with ZeroDivisionError")
    address = f"/api/v1/broken/{job}"
    async with told(served, expected) as seen:
        broken.is_broken = True
        for _ in range(3):
            # A server ends the connection after a defect: none is used again.
            answer = await in_thread(lambda: httpx.get(served.url + address, trust_env=False))
            assert (answer.status_code, "canary" in answer.text) == (500, False)
        event = await seen()
        assert "ZeroDivisionError" in event["stack_trace"]
        assert "in answer" in event["stack_trace"]
        assert (event["job_id"], event["job_name"]) == (job, "Photos")
        assert (await in_thread(events, served, expected.error_type))[0]["count"] == 3
        broken.is_broken = False
        # Another job's success says nothing of this one's.
        assert (await in_thread(served.http.get, "/api/v1/broken/other")).status_code == 200
        assert not (await in_thread(events, served, expected.error_type))[0]["resolved"]
        assert (await in_thread(served.http.get, address)).status_code == 200


async def test_the_database_is_locked(served: ServedApp, job: str) -> None:
    words = "Another program holds the database"
    expected = Told("StorageFailing", "high", "storage", words, is_open=False)
    async with told(served, expected) as seen, live(served) as client:
        with locked(served.data_dir):
            answer = await in_thread(served.http.post, f"/api/v1/jobs/{job}/start")
            assert answer.status_code == 503
            # From memory: nothing can be written to the log yet.
            await comes_to(client, words)
            page = await in_thread(served.http.get, "/jobs")
            assert words in page.text
            await in_thread(wait_until, lambda: is_unwell(served, "database"))
        await seen()
        await in_thread(wait_until, lambda: not is_unwell(served, "database"))
    page = await in_thread(served.http.get, "/jobs")
    assert "Another program holds" not in page.text.partition("<main")[2]
    assert (await in_thread(run_to_end, served, job))["outcome"] == "completed"


async def test_one_file_that_cannot_be_removed_says_nothing_of_the_storage(
    served: ServedApp, job: str, tmp_path: Path
) -> None:
    stuck = tmp_path / "to" / ".longshore-partial" / "folder"
    stuck.mkdir(parents=True)
    before = await in_thread(events, served, "StorageFailing")

    async def pause(services: Services) -> None:
        await services.jobs.transform(
            job, lambda found: replace(found, state=replace(found.state, status=JobStatus.PAUSED))
        )

    await in_thread(served.call, pause)
    answer = await in_thread(served.http.post, f"/api/v1/jobs/{job}/discard")
    detail = answer.json()["detail"]
    assert answer.status_code == 503
    assert f"failed at {stuck}: " in detail
    assert "data directory" not in detail
    assert await in_thread(events, served, "StorageFailing") == before


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the database as another program might."""
    connection = sqlite3.connect(data_dir / "longshore.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize("how", ["cancelled", "raises"])
async def test_the_monitor_is_killed(served: ServedApp, job: str, how: str) -> None:
    expected = Told("TaskEnded: monitor", "high", "background_monitor", "“monitor” ended")

    async def kill(services: Services) -> None:
        if how == "raises":
            # What its loop does not survive: there is no such clock.
            services.monitor._next_look = None  # type: ignore[assignment]
            services.monitor._journals.wake()
            return
        for task in asyncio.all_tasks():
            if task.get_name() == "monitor":
                task.cancel()

    async with told(served, expected) as seen:
        await in_thread(served.call, kill)
        event = await seen()
        assert bool(event["stack_trace"]) == (how == "raises")
        run = await in_thread(run_to_end, served, job)
        assert run["outcome"] == "completed"


async def test_a_tool_is_missing(served: ServedApp, job: str, tools: Path) -> None:
    expected = Told("ToolMissing: rsync", "high", "engine", "rsync is not installed")
    real = (tools / "rsync").readlink()
    async with told(served, expected) as seen:
        (tools / "rsync").unlink()
        assert (await in_thread(run_to_end, served, job))["outcome"] == "failed"
        await seen()
        await in_thread(wait_until, lambda: is_unwell(served, "engines"))
        (tools / "rsync").symlink_to(real)
    assert not await in_thread(events, served, "RunFailed"), "one fault, one event"
    assert (await in_thread(run_to_end, served, job))["outcome"] == "completed"


async def test_a_runner_cannot_be_started(
    served: ServedApp, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Told("RunnerStartFailed", "high", "executor", "A runner could not be started")
    async with told(served, expected) as seen:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/no/such/python")
            assert (await in_thread(run_to_end, served, job))["outcome"] == "failed"
        await seen()
        assert (await in_thread(run_to_end, served, job))["outcome"] == "completed"
    assert not await in_thread(events, served, "RunFailed"), "one fault, one event"


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
async def test_a_target_is_unreachable(
    served: ServedApp, tools: Path, tmp_path: Path, engine: str
) -> None:
    make_tree(tmp_path / "from", files=1)
    there: RsyncDaemon | RcloneServer
    if engine == "rsync":
        there = RsyncDaemon(tmp_path / "daemon")
    else:
        there = RcloneServer("webdav", tmp_path / "remote")
        write_configuration(tools.parent / "rclone.conf", {"webdav": there.section()})
    far: dict[str, Any] = {"engine": engine, "name": "Far", **_QUICK}
    job = await in_thread(lambda: served.create_job(tmp_path / "from", there.url("copy"), **far))
    expected = Told("RunFailed", "medium", "engine", "Far failed")
    async with told(served, expected) as seen:
        assert (await in_thread(run_to_end, served, job))["outcome"] == "failed"
        event = await seen()
        assert event["message"].startswith("“Far” failed: ")
        there.start()
        try:
            run = await in_thread(run_to_end, served, job)
            assert run["outcome"] == "completed", run["message"]
        finally:
            there.stop()
    await in_thread(served.http.delete, f"/api/v1/jobs/{job}")


async def test_what_failed_of_a_job_is_over_with_the_job(served: ServedApp, tmp_path: Path) -> None:
    make_tree(tmp_path / "from", files=1)
    target = f"rsync://127.0.0.1:{free_port()}/backup"
    job = await in_thread(
        lambda: served.create_job(tmp_path / "from", target, name="Gone", **_QUICK)
    )
    async with told(served, Told("RunFailed", "medium", "engine", "Gone failed")) as seen:
        await in_thread(run_to_end, served, job)
        await seen()
        assert (await in_thread(served.http.delete, f"/api/v1/jobs/{job}")).status_code == 204


async def test_a_browser_that_aborts_is_no_fault(served: ServedApp) -> None:
    kinds = ("LiveConnectionFailed", "LiveClientDropped")
    before = [await in_thread(events, served, kind) for kind in kinds]
    for _ in range(5):
        async with live(served) as client:
            await client.send(subscribe=["a"])
            transport = client.connection.transport
            raw = transport.get_extra_info("socket")
            # A reset and no end: as when a machine is switched off.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    async def all_gone() -> bool:
        return bool(await in_thread(clients_of, served) == 0)

    await wait_until_async(all_gone, seconds=10, what="the end of the connections")
    assert [await in_thread(events, served, kind) for kind in kinds] == before


def clients_of(served: ServedApp) -> int:
    """Return how many browsers are connected."""

    async def count(services: Services) -> int:
        return services.hub.client_count

    return served.call(count)


async def test_a_browser_that_does_not_read(
    served: ServedApp, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Told("LiveClientDropped", "low", "websocket", None)
    async with told(served, expected) as seen, live(served) as silent:
        await silent.send(subscribe=[job])
        await in_thread(run_to_end, served, job)
        await seen()


async def test_a_connection_fails(served: ServedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Told("LiveConnectionFailed", "high", "websocket", "A live connection failed")

    def fail(*_arguments: object) -> None:
        raise KeyError("not the fault of the browser")

    async with told(served, expected) as seen:
        with monkeypatch.context() as patch:
            patch.setattr(hub_module.Hub, "subscribe", fail)
            async with live(served) as unlucky:
                await unlucky.send(subscribe=["a"])
                await unlucky.connection.wait_closed()
        event = await seen()
        assert "KeyError" in event["stack_trace"]
        async with live(served):
            pass


async def test_the_file_system_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hurried(monkeypatch)
    expected = Told("StorageFailing", "critical", "storage", "No space left on device")
    make_tree(tmp_path / "from", files=1)
    places = {"source": str(tmp_path / "from"), "destination": str(tmp_path / "to")}
    definition = {"name": "A", "engine": "rsync", **places}
    with loop_mount(tmp_path, "ext4") as mount:
        served = ServedApp(mount.path / "data")
        with ended_server(served):
            async with live(served) as client:
                await in_thread(mount.fill)
                answer: httpx.Response = await in_thread(
                    lambda: served.http.post("/api/v1/jobs", json=definition)
                )
                assert answer.status_code == 503
                await comes_to(client, expected.on_page or "")
                await in_thread(wait_until, lambda: is_unwell(served, "storage"))
                assert await in_thread(is_unwell, served, "disk")
                await in_thread(mount.empty)
                await client.until(lambda frame: "No space" not in banners_in(frame))
            (event,) = await in_thread(wait_until, lambda: all_over(served, expected.error_type))
            assert (event["severity"], event["component"]) == ("critical", "storage")
            created = await in_thread(lambda: served.http.post("/api/v1/jobs", json=definition))
            assert created.status_code == 201
            await in_thread(wait_until, lambda: not is_unwell(served, "storage"))
            assert await in_thread(open_faults, served, expected) == (0, 0)


def banners_in(frame: dict[str, Any]) -> str:
    """Return the banners in a frame; "No space" where it has none."""
    html = str(frame.get("html", ""))
    found = html.partition('id="banners"')[2].partition('id="bell-list"')[0]
    return found or "No space"
