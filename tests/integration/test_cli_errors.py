"""Proves that errors are listed and resolved from the command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from models.error_event import Component, Severity
from storage.database import Database
from storage.error_repository import ErrorRepository
from tests.fakes.builders import a_fault
from tests.integration.command_line import document, words
from tests.support import RunningServer

pytestmark = pytest.mark.integration


def record(server: RunningServer, message: str, **facts: Any) -> str:
    """Put an error into the log of a server; returns its id."""

    async def write() -> None:
        database = await Database.open(server.data_dir)
        try:
            log = ErrorRepository(database)
            log.report(a_fault(message=message, **facts))
            await log.flush()
        finally:
            await database.close()

    asyncio.run(write())
    items = server.http.get("/api/v1/errors?limit=50").json()["items"]
    return next(str(event["id"]) for event in items if event["message"] == message)


def test_errors_are_listed_by_what_they_are_and_resolved(server: RunningServer) -> None:
    low = record(server, "[bold]small\x1b[2J", severity=Severity.LOW, job_id="one")
    high = record(server, "B", severity=Severity.HIGH, component=Component.ENGINE)
    everything = server.http.get("/api/v1/errors?limit=50").json()
    assert document(server, "errors", "list") == everything
    shown = words(server, "errors", "list")
    assert low in shown
    assert "[bold]small\\x1b[2J" in shown
    for query, expected in (
        (("--severity", "high"), [high]),
        (("--component", "engine"), [high]),
        (("--job", "one"), [low]),
    ):
        found = document(server, "errors", "list", *query)["items"]
        assert [event["id"] for event in found if event["id"] in {low, high}] == expected
    assert "severity" in words(server, "errors", "list", "--severity", "bad", code=1)
    assert "are shown" in words(server, "errors", "list", "--limit", "1")

    result = server.cli("errors", "resolve", high, "none", "--json")
    assert result.returncode == 1
    answer = json.loads(result.stdout)
    assert [item["id"] for item in answer["items"]] == [high]
    assert answer["items"][0]["resolved"] is True
    assert [fault["id"] for fault in answer["errors"]] == ["none"]
    unresolved = document(server, "errors", "list", "--unresolved")["items"]
    assert low in {event["id"] for event in unresolved}
    assert high not in {event["id"] for event in unresolved}
    assert "(resolved)" in words(server, "errors", "list", "--severity", "high")
