"""Fixtures of the integration suite: a server that a module shares, and room in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import ended_server
from tests.support import RunningServer

MEMORY = Path("/dev/shm")


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory for large trees, in memory where there is such a place; removed afterwards."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="longshore-test-", dir=base))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of a module that leave it as they found it, jobs of theirs apart."""
    with ended_server(RunningServer(tmp_path_factory.mktemp("shared") / "data")) as server:
        yield server
