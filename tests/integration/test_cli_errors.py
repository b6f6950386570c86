"""Proves that errors are listed and resolved from the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
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


def test_errors_are_found_shown_counted_and_resolved_together(server: RunningServer) -> None:
    facts = {"error_type": "Odd", "details": {"line": 7}, "stack_trace": "Traceback\n  here\x1b[2J"}
    first = record(server, "Found by words", **facts)
    other = record(server, "Another", severity=Severity.LOW)

    def found(*query: str) -> list[str]:
        items = document(server, "errors", "list", "--unresolved", *query)["items"]
        return [event["id"] for event in items if event["id"] in {first, other}]

    assert found("--search", "BY WORDS") == found("--type", "Odd") == [first]
    assert found("--since", "90m") == [other, first]
    assert found("--since", "2999-01-01") == []
    assert "since" in words(server, "errors", "list", "--since", "soon", code=1)
    shown = words(server, "errors", "show", first)
    for part in ("message: Found by words", "details.line: 7", "here\\x1b[2J"):
        assert part in shown
    event = server.http.get(f"/api/v1/errors/{first}").json()
    assert document(server, "errors", "show", first) == event
    assert "999999" in words(server, "errors", "show", "999999", code=1)
    assert "unresolved of" in words(server, "errors", "statistics")
    figures = server.http.get("/api/v1/errors/statistics").json()
    assert document(server, "errors", "statistics")["by_severity"] == figures["by_severity"]

    assert "--all" in words(server, "errors", "resolve", code=1)
    assert "--all" in words(server, "errors", "resolve", "--type", "Odd", code=1)
    assert words(server, "errors", "resolve", "--all", "--type", "Odd").split() == [
        "1",
        "resolved.",
    ]
    assert found() == [other]


def test_errors_are_exported(server: RunningServer, tmp_path: Path) -> None:
    message = "=Exported, “Jörg”"
    record(server, message, error_type="Exported")
    query = ("errors", "export", "--type", "Exported")
    table = server.cli(*query).stdout
    assert f'"\'{message}"' in table
    file = tmp_path / "errors.json"
    assert server.cli(*query, "--format", "json", "--output", str(file)).returncode == 0
    (event,) = json.loads(file.read_text(encoding="utf-8"))
    assert event["message"] == message
    refused = tmp_path / "no.xml"
    assert "format" in words(server, *query, "--format", "xml", "--output", str(refused), code=1)
    assert not refused.exists()
    nowhere = tmp_path / "none" / "a.csv"
    assert "No such file" in words(server, *query, "--output", str(nowhere), code=1)
