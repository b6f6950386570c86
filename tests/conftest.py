"""Fixtures for all suites: a server of its own, room in memory, and the tools' presence."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import RunningServer, assert_progress_never_decreases

MEMORY = Path("/dev/shm")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Each client of httpx would read the certificates of the machine, for connections without TLS.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]
# How long one example takes is the load of the machine, and no property of what is tried.
settings.register_profile("longshore", deadline=None)
settings.load_profile("longshore")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what is marked `long` to `make chaos`, and begin with what is slow beside it: no worker
    is then left alone with that at the end."""
    if os.environ.get("LONGSHORE_CHAOS") != "full":
        long = [item for item in items if item.get_closest_marker("long")]
        if long:
            long[0].config.hook.pytest_deselected(items=long)
            items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: not ({"slow", "chaos"} & {one.name for one in item.iter_markers()}))


def need(what: str, found: object) -> None:
    """Skip without `what`, but fail where CI is set: there nothing may be missing."""
    if found:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI is set")
    pytest.skip(f"{what} is missing")


@pytest.fixture
def rsync() -> str:
    """The real rsync."""
    path = shutil.which("rsync")
    need("rsync", path)
    assert path is not None
    return path


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory for large trees, in memory where there is such a place; removed afterwards."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="longshore-test-", dir=base))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def real_starts() -> Iterator[None]:
    """Have each server and command of a module started as a person does, and not forked."""
    RunningServer.forks = False
    yield
    RunningServer.forks = True


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Make servers that are ended after the test, and check every journal that they left."""
    servers: list[RunningServer] = []

    def make(name: str = "data", **environment: str) -> RunningServer:
        server = RunningServer(tmp_path / name, **environment)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.close()
        for directory in (server.data_dir / "runs").glob("*/"):
            if (directory / "journal.jsonl").exists():
                assert_progress_never_decreases(server.journal(directory.name))


@pytest.fixture
def server(make_server: Callable[..., RunningServer]) -> RunningServer:
    """One running server."""
    return make_server()
