"""Proves the API of the error log beyond its list: searching, counting, resolving many, export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastapi_app.error_export import COLUMNS, EVENTS_A_PART, export
from models.error_event import Component, Severity
from models.error_query import ErrorFilter
from models.errors import StorageFailed
from storage.database import Database
from tests.fakes.builders import a_fault
from tests.fakes.error_logs import InMemoryErrorLog
from tests.integration.running import ended_server
from tests.integration.test_api_jobs import problem_of
from tests.served_app import ServedApp

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    """A served application; each test leaves its errors resolved."""
    app = ServedApp(tmp_path_factory.mktemp("errors") / "data")
    with ended_server(app):
        yield app


@pytest.fixture
def app(served: ServedApp) -> Iterator[ServedApp]:
    """The same with nothing unresolved, before and after."""
    yield served
    answer = served.http.post("/api/v1/errors/resolve", json={"filter": {}})
    assert answer.status_code == 200


def said(app: ServedApp, query: str) -> list[str]:
    """Return what the unresolved errors say that a query finds."""
    answer = app.http.get(f"/api/v1/errors?resolved=false&{query}")
    assert answer.status_code == 200, answer.text
    return [event["message"] for event in answer.json()["items"]]


def test_errors_are_found_by_text_type_and_time(app: ServedApp) -> None:
    app.record(
        a_fault(message="One 100% <b>", error_type="Odd"),
        a_fault(message="Two", job_id="photos", job_name="Photos to NAS"),
    )
    assert said(app, "q=PHOTOS") == ["Two"]
    assert said(app, "q=100%25") == ["One 100% <b>"]
    assert said(app, "q=odd") == said(app, "error_type=Odd") == ["One 100% <b>"]
    assert said(app, "since=2999-01-01") == []
    assert said(app, "since=2020-01-01T00:00:00%2B01:00") == ["Two", "One 100% <b>"]
    assert said(app, "q=&since=&error_type=&component=&severity=&job_id=") == said(app, "")
    for bad in ("since=yesterday", "q=" + "x" * 201, "resolved=maybe", "severity=bad"):
        problem_of(app.http.get(f"/api/v1/errors?{bad}"), 422)


def test_many_are_resolved_by_ids_or_by_a_filter_and_nothing_by_mistake(app: ServedApp) -> None:
    for number in range(4):
        severity = Severity.LOW if number % 2 else Severity.CRITICAL
        app.record(a_fault(message=str(number), severity=severity))
    items = app.http.get("/api/v1/errors?resolved=false").json()["items"]
    ids = {event["message"]: event["id"] for event in items}
    assert 'id="banner-list"' in app.http.get("/jobs").text

    def resolve(body: Any) -> Any:
        return app.http.post("/api/v1/errors/resolve", json=body)

    refused: tuple[Any, ...] = (
        {},
        {"ids": ["1"], "filter": {}},
        {"filter": {"nonsense": 1}},
        {"ids": "1"},
        {"filter": {"up_to": "x"}},
        [],
    )
    for bad in refused:
        problem_of(resolve(bad), 422)
    assert resolve({"ids": []}).json() == {"resolved": 0}
    assert resolve({"ids": [ids["0"], ids["0"], "999999"]}).json() == {"resolved": 1}
    assert said(app, "") == ["3", "2", "1"]
    body = {"filter": {"severity": "low", "up_to": ids["1"]}}
    assert resolve(body).json() == {"resolved": 1}
    assert said(app, "") == ["3", "2"]
    assert resolve({"filter": {"q": "3"}}).json() == {"resolved": 1}
    assert resolve({"filter": {}}).json() == {"resolved": 1}
    assert said(app, "") == []
    assert 'id="banner-list"' not in app.http.get("/jobs").text


def test_one_error_the_figures_and_the_kinds_of_faults(app: ServedApp) -> None:
    before = app.http.get("/api/v1/errors/statistics").json()
    for _ in range(3):
        app.record(a_fault(message="Counted", component=Component.ENGINE, error_type="Kind"))
    (event,) = app.http.get("/api/v1/errors?error_type=Kind").json()["items"]
    assert app.http.get(f"/api/v1/errors/{event['id']}").json() == event
    problem_of(app.http.get("/api/v1/errors/999999"), 404)

    after = app.http.get("/api/v1/errors/statistics").json()
    assert after["total"] == before["total"] + 1
    assert after["unresolved"] == after["unresolved_by_severity"]["high"] == 1
    assert after["by_component"]["engine"] == before["by_component"]["engine"] + 1
    assert _sum(after["hours"]) == _sum(before["hours"]) + 3
    assert _sum(after["days"]) == _sum(before["days"]) + 3
    (group,) = app.http.get("/api/v1/errors/groups?error_type=Kind").json()["items"]
    assert (group["events"], group["count"], group["newest_id"]) == (1, 3, event["id"])


def _sum(points: list[dict[str, Any]]) -> int:
    return sum(point["count"] for point in points)


def test_the_page_comes_without_the_database_and_is_whole_again(
    app: ServedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.record(a_fault(message="Known already", severity=Severity.LOW))

    async def refuse(_self: Database, _work: Any) -> Any:
        raise StorageFailed("The database", "disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "read", refuse)
        answer = app.http.get("/errors?by=kind")
        assert (answer.status_code, "The errors cannot be read now" in answer.text) == (200, True)
        assert "unresolved error" not in answer.text.partition("errors-head")[2]
        problem_of(app.http.get("/api/v1/errors/export"), 503)
    answer = app.http.get("/errors")
    assert "cannot be read now" not in answer.text.partition("errors-head")[2]
    assert "Known already" in answer.text


def test_an_export_holds_what_matches_and_no_cell_is_a_formula(app: ServedApp) -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
    for text in formulas:
        app.record(a_fault(message=text, job_name=text, job_id=text, details={"a": text}))
    app.record(a_fault(message='Fine, "quoted"\nand = within', severity=Severity.LOW))
    query = "resolved=false"
    events = app.http.get(f"/api/v1/errors?{query}").json()["items"]

    answer = app.http.get(f"/api/v1/errors/export?format=csv&{query}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "longshore-errors.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == [event["id"] for event in events]
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {f"'{text}" for text in formulas} <= {row["message"] for row in rows}
    assert {f"'{text}" for text in formulas} <= {row["job_name"] for row in rows}
    assert rows[0]["message"] == 'Fine, "quoted"\nand = within'
    assert json.loads(rows[1]["details"]) == {"a": "\r=1"}

    answer = app.http.get(f"/api/v1/errors/export?format=json&{query}")
    assert answer.json() == events
    assert len(app.http.get("/api/v1/errors/export?format=json&q=quoted").json()) == 1
    assert app.http.get("/api/v1/errors/export?format=json&q=nowhere").json() == []
    problem_of(app.http.get("/api/v1/errors/export?format=xml"), 422)


@pytest.mark.parametrize("count", [0, 1, EVENTS_A_PART, EVENTS_A_PART * 2 + 1])
async def test_a_long_export_comes_in_bounded_parts_and_leaves_nothing_out(count: int) -> None:
    log = InMemoryErrorLog()
    for number in range(count):
        log.report(a_fault(message=str(number)))
    parts = [part async for part in await export(log, ErrorFilter(), "json")]
    found = json.loads("".join(parts))
    assert [event["message"] for event in found] == [str(n) for n in reversed(range(count))]
    assert max(part.count('"message"') for part in parts) <= EVENTS_A_PART
    table = "".join([part async for part in await export(log, ErrorFilter(), "csv")])
    assert len(list(csv.reader(io.StringIO(table, newline="")))) == count + 1
