"""Fixtures of the integration suite: a server that a module shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.running import ended_server
from tests.support import RunningServer


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of a module that leave it as they found it, jobs of theirs apart."""
    with ended_server(RunningServer(tmp_path_factory.mktemp("shared") / "data")) as server:
        yield server
