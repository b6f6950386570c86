"""Proves that a saved setting decides at once how much of the error log is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.builders import a_fault
from tests.integration.running import ended_server
from tests.integration.test_settings import put
from tests.served_app import ServedApp
from tests.support import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    """A served application with an empty error log."""
    app = ServedApp(tmp_path / "data")
    with ended_server(app):
        yield app


def test_fewer_errors_are_kept_from_now_on_and_new_faults_still_come(served: ServedApp) -> None:
    served.record(*(a_fault(message=str(number)) for number in range(120)))
    answer = put(served, kept_errors=100)
    assert answer.status_code == 200, answer.text

    def total() -> int:
        return int(served.http.get("/api/v1/errors").json()["total"])

    wait_until(lambda: total() == 100, what="the surplus to go")
    served.record(a_fault(message="newer"))
    assert total() == 100
    newest, *_ = served.http.get("/api/v1/errors").json()["items"]
    assert newest["message"] == "newer"
