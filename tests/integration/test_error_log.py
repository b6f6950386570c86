"""Proves the error log from outside: the API, the banners of the pages, Dismiss, and /health."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fastapi_app.banners import Banners
from models.error_event import Component, Fault, Severity
from models.errors import StorageFailed
from storage import batch_writer
from storage.database import Database
from storage.error_repository import ErrorRepository
from storage.layout import DATABASE_NAME
from tests.fakes.builders import a_fault
from tests.integration.live import Frame, LiveClient, live
from tests.integration.pages import Page
from tests.integration.running import ended_server, run_to_end
from tests.integration.test_api_jobs import problem_of
from tests.integration.test_forms import HTMX, page_of, send
from tests.served_app import ServedApp
from tests.support import RunningServer, make_tree, wait_until

pytestmark = pytest.mark.integration
EVENT_KEYS = [
    "id",
    "timestamp",
    "last_seen",
    "count",
    "severity",
    "component",
    "error_type",
    "message",
    "details",
    "job_id",
    "job_name",
    "run_id",
    "stack_trace",
    "resolved",
    "resolved_at",
]
PAGES = ("/", "/jobs", "/jobs/new", "/runs", "/nothing/here")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    """A served application with an empty error log."""
    app = ServedApp(tmp_path / "data")
    with ended_server(app):
        yield app


@pytest.fixture(scope="module")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    """A served application for tests that leave nothing unresolved."""
    app = ServedApp(tmp_path_factory.mktemp("shared app") / "data")
    with ended_server(app):
        yield app


def errors(server: RunningServer, query: str = "") -> dict[str, Any]:
    """Return a page of the error log."""
    answer = server.http.get(f"/api/v1/errors{query}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert list(document) == ["items", "total", "next_cursor"]
    return document


def messages(document: dict[str, Any]) -> list[str]:
    """Return what the events of a page say."""
    return [event["message"] for event in document["items"]]


def below_the_bell(page: str) -> str:
    """Return a page without its top bar: what is over stands behind the bell for a while."""
    return page.partition("<main")[2]


def banners_in(frame: dict[str, Any]) -> str:
    """Return the banners in a frame of the WebSocket, without the bell's list behind them."""
    html: str = frame.get("html", "")
    _, start, rest = html.partition('id="banners"')
    return start + rest.partition('id="bell-list"')[0]


def write_before_start(data_dir: Path, *faults: Fault) -> None:
    """Put events into the database of a server that is not up."""

    async def write() -> None:
        data_dir.mkdir(mode=0o700, exist_ok=True)
        database = await Database.open(data_dir)
        log = ErrorRepository(database)
        for fault in faults:
            log.report(fault)
        await log.close()
        await database.close()

    # In a thread of its own: in a browser test, Playwright's loop is up in this one.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, write()).result()


def test_what_went_wrong_outlives_the_server(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fault = a_fault(message="Kept <b>", details={"line": 7}, job_id="photos", job_name="Photos")
    write_before_start(data_dir, fault, fault)
    with ended_server(RunningServer(data_dir)) as server:
        (event,) = errors(server)["items"]
        assert list(event) == EVENT_KEYS
        assert (event["message"], event["details"], event["count"]) == ("Kept <b>", {"line": 7}, 2)
        assert (event["severity"], event["component"]) == ("high", "storage")
        assert (event["resolved"], event["resolved_at"], event["run_id"]) == (False, None, None)
        assert event["timestamp"].endswith("Z")
        for address in PAGES:
            page = Page(server.http.get(address).text)
            assert "Kept <b>" in page.text, address
            assert page.forbidden == []

        answer = server.http.post(f"/api/v1/errors/{event['id']}/resolve")
        assert answer.status_code == 200
        resolved = answer.json()
        assert resolved["resolved"]
        assert resolved == event | {"resolved": True, "resolved_at": resolved["resolved_at"]}
        assert server.http.post(f"/api/v1/errors/{event['id']}/resolve").json() == resolved
        for address in PAGES:
            assert "Kept <b>" not in server.http.get(address).text, address

        server.kill()
        server.start()
        assert errors(server)["items"] == [resolved]


def test_a_kill_before_the_end_of_a_run_was_told_loses_no_word_of_it(tmp_path: Path) -> None:
    def is_only(**wanted: object) -> bool:
        found = [{name: event[name] for name in wanted} for event in errors(server)["items"]]
        return found == [wanted]

    def as_before_the_word(statement: str) -> None:
        server.kill()
        with closing(sqlite3.connect(server.data_dir / DATABASE_NAME)) as connection, connection:
            connection.execute(statement)
        server.start()

    with ended_server(RunningServer(tmp_path / "data")) as server:
        make_tree(tmp_path / "source", files=1)
        job_id = server.create_job(tmp_path / "source", tmp_path / "copy", name="Photos")
        (tmp_path / "source").rename(tmp_path / "away")
        run_id = run_to_end(server, job_id)["id"]
        failed = {"error_type": "RunFailed", "run_id": run_id, "count": 1}
        wait_until(lambda: is_only(**failed, resolved=False), what="the event")
        as_before_the_word("DELETE FROM error_events")
        wait_until(lambda: is_only(**failed, resolved=False), what="the event after all")

        (tmp_path / "away").rename(tmp_path / "source")
        assert run_to_end(server, job_id)["outcome"] == "completed"
        wait_until(lambda: is_only(**failed, resolved=True), what="its end")
        as_before_the_word("UPDATE error_events SET resolved_at = NULL")
        wait_until(lambda: is_only(**failed, resolved=True), what="its end after all")


def test_who_resolves_by_the_api_finds_pages_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sleep(_self: Banners) -> None:
        await asyncio.Event().wait()

    # Without the task that follows the log, so that the answer itself must have seen to it.
    monkeypatch.setattr(Banners, "run", sleep)
    app = ServedApp(tmp_path / "data")
    with ended_server(app):
        app.record(a_fault(message="Gone soon"))
        assert "Gone soon" in below_the_bell(app.http.get("/jobs").text)
        assert app.http.post("/api/v1/errors/1/resolve").status_code == 200
        assert "Gone soon" not in below_the_bell(app.http.get("/jobs").text)


def test_events_are_chosen_and_paged(served: ServedApp) -> None:
    served.record(
        a_fault(message="a", severity=Severity.LOW, component=Component.API, job_id="one"),
        a_fault(message="b", severity=Severity.LOW, component=Component.UI, job_id="two"),
        a_fault(message="c", severity=Severity.HIGH, component=Component.API, job_id="two"),
    )
    (newest, *_) = errors(served)["items"]
    served.http.post(f"/api/v1/errors/{newest['id']}/resolve")

    assert messages(errors(served)) == ["c", "b", "a"]
    assert messages(errors(served, "?severity=low")) == ["b", "a"]
    assert messages(errors(served, "?component=api")) == ["c", "a"]
    assert messages(errors(served, "?job_id=two")) == ["c", "b"]
    assert messages(errors(served, "?job_id=nobody")) == []
    assert messages(errors(served, "?resolved=true")) == ["c"]
    assert messages(errors(served, "?resolved=false&component=ui")) == ["b"]
    empty = "?severity=&component=&job_id=&resolved=&cursor="
    assert messages(errors(served, empty)) == ["c", "b", "a"]

    first = errors(served, "?limit=2")
    assert (messages(first), first["total"]) == (["c", "b"], 3)
    second = errors(served, f"?limit=2&cursor={first['next_cursor']}")
    assert (messages(second), second["total"], second["next_cursor"]) == (["a"], 3, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("severity=worst", "severity"),
        ("component=kitchen", "component"),
        ("resolved=perhaps", "resolved"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=%D9%A3", "cursor"),
        ("cursor=" + "9" * 19, "cursor"),
    ],
)
def test_a_bad_query_is_told_at_its_field(
    shared_server: RunningServer, query: str, field: str
) -> None:
    problem = problem_of(shared_server.http.get(f"/api/v1/errors?{query}"), 422)
    assert [fault["field"] for fault in problem["errors"]] == [field]


@pytest.mark.parametrize("job_id", ["%00", "%ff", "%ed%a0%80", "'; --", "a" * 5000])
def test_a_job_that_cannot_be_has_no_errors(shared_server: RunningServer, job_id: str) -> None:
    assert errors(shared_server, f"?job_id={job_id}")["total"] == 0


@pytest.mark.parametrize("event_id", ["999", "0", "-1", "x", "%00", "%ff", "9" * 400, "1%2f2"])
def test_an_unknown_event_cannot_be_resolved(shared_server: RunningServer, event_id: str) -> None:
    answer = shared_server.http.post(f"/api/v1/errors/{event_id}/resolve")
    problem_of(answer, 404)
    page = shared_server.http.post(f"/errors/{event_id}/resolve")
    assert page.status_code == 404
    assert Page(page.text).is_whole
    assert "Traceback" not in page.text
    toast = shared_server.http.post(f"/errors/{event_id}/resolve", headers=HTMX)
    assert (toast.status_code, Page(toast.text).is_whole) == (404, False)


def test_the_calls_are_described(shared_server: RunningServer) -> None:
    paths = shared_server.http.get("/api/v1/openapi.json").json()["paths"]
    assert paths["/api/v1/errors"].keys() == {"get"}
    assert paths["/api/v1/errors/{event_id}/resolve"].keys() == {"post"}
    assert "/banners" not in paths


def test_a_banner_names_its_job_and_counts_the_others(served: ServedApp, tmp_path: Path) -> None:
    job_id = served.create_job(
        make_tree(tmp_path / "from", files=1), tmp_path / "to", name="<i>Here"
    )
    served.record(
        *(a_fault(message=f"old {number}") for number in range(2)),
        a_fault(message="hidden", severity=Severity.MEDIUM),
        a_fault(message="of a job that is gone", job_id="gone", job_name="<i>Gone"),
        a_fault(message="of a job", job_id=job_id, job_name="Then"),
        a_fault(message="x" * 3000 + "<script>alert(1)</script>", severity=Severity.CRITICAL),
    )
    page = page_of(served, "/runs")
    shown = Page(below_the_bell(served.http.get("/runs").text))

    assert page.forbidden == []
    assert [form.action for form in page.forms if form.action.endswith("/resolve")] == [
        f"/errors/{number}/resolve" for number in (6, 5, 4)
    ]
    for text in ("<i>Here", "<i>Gone", "of a job that is gone", "and 2 more"):
        assert text in shown.text
    for text in ("old 0", "hidden", "Then", "x" * 501):
        assert text not in shown.text
    alone = Page(served.http.get("/banners").text)
    assert alone.text.strip() in page.text
    resolve = {f"/errors/{number}/resolve" for number in (6, 5, 4)}
    icons = {link for link in alone.links if "/icons.svg#" in link}
    details = {"/errors", *(f"/errors/{number}" for number in (6, 5, 4))}
    assert set(alone.links) - icons == {"/banners", f"/jobs/{job_id}"} | resolve | details


@pytest.mark.parametrize(
    ("came_from", "goes_to"),
    [
        ("{own}/jobs?q=a&status=", "/jobs?q=a&status="),
        ("{own}/jobs/nobody", "/jobs/nobody"),
        ("{own}/", "/"),
        (None, "/"),
        ("{own}", "/"),
        ("{own}/jobs/photos/start", "/"),
        ("{own}/no/such/page", "/"),
        ("{own}//example.org/jobs", "/"),
        ("{own}/\\example.org", "/"),
        ("{own}/%2f%2fexample.org", "/"),
        ("http://example.org/jobs", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_dismiss_without_javascript_goes_back_to_a_page_of_ours(
    shared_app: ServedApp, came_from: str | None, goes_to: str
) -> None:
    shared_app.record(a_fault(message="Gone soon"))
    form = page_of(shared_app, "/jobs").form_to("/resolve")
    assert form.method == "post"
    headers = {"Origin": shared_app.url}
    if came_from is not None:
        headers["Referer"] = came_from.format(own=shared_app.url)

    answer = shared_app.http.post(form.action, headers=headers)

    assert (answer.status_code, answer.headers["location"]) == (303, goes_to)
    assert "Gone soon" not in below_the_bell(shared_app.http.get(goes_to).text)


def test_dismiss_by_htmx_answers_with_the_banners_that_are_left(served: ServedApp) -> None:
    served.record(a_fault(message="First"), a_fault(message="Second"))
    second, _ = (form for form in page_of(served, "/").forms if form.action.endswith("/resolve"))

    answer = send(served, second, htmx=True)

    assert answer.status_code == 200
    page = Page(answer.text)
    assert not page.is_whole
    assert "First" in page.text
    assert "Second" not in page.text
    assert answer.text.lstrip().startswith('<div id="banners"')
    assert "hx-swap-oob" not in answer.text
    last = Page(send(served, page.form_to("/resolve"), htmx=True).text)
    assert last.text.strip() == ""


def test_a_foreign_site_cannot_dismiss(served: ServedApp) -> None:
    served.record(a_fault())
    answer = served.http.post("/errors/1/resolve", headers={"Origin": "http://example.org"})
    assert answer.status_code == 403
    assert not errors(served)["items"][0]["resolved"]


def test_under_a_sub_path_dismiss_goes_back_beneath_it(tmp_path: Path) -> None:
    ways = {
        "/backup/jobs?q=a": "/backup/jobs?q=a",
        "/backup/": "/backup/",
        "/jobs": "/backup/jobs",
        "/backup/none": "/backup/",
        "/backup": "/backup/",
    }
    data_dir = tmp_path / "data"
    write_before_start(data_dir, *(a_fault(message=f"{number}") for number in range(len(ways))))
    with ended_server(RunningServer(data_dir, LONGSHORE_ROOT_PATH="/backup")) as server:
        for came_from, goes_to in ways.items():
            forms = page_of(server, "/").forms
            form = next(form for form in forms if form.action.endswith("/resolve"))
            headers = {"Origin": server.url, "Referer": server.url + came_from}
            answer = server.http.post(form.action, headers=headers)
            assert (answer.status_code, answer.headers["location"]) == (303, goes_to)
        assert errors(server, "?resolved=false")["total"] == 0


def no_banner(frame: Frame) -> bool:
    """Whether a frame has the banners, and none is there."""
    return "Live" not in (banners_in(frame) or "Live")


async def seconds_until_both_show(served: ServedApp, *clients: LiveClient) -> float:
    """Report an error, and return how long it takes until all have its banner."""
    await asyncio.to_thread(served.report, a_fault(message="Live <b>"))
    began = time.monotonic()
    for client in clients:
        frame = await client.until(lambda frame: "Live" in banners_in(frame))
        assert "<b>" not in frame["html"]
        assert 'hx-swap-oob="outerMorph"' in frame["html"]
    return time.monotonic() - began


async def test_banners_reach_every_open_page_within_a_second(served: ServedApp) -> None:
    async with live(served) as new, live(served, "0000:7") as returned:
        await new.send(subscribe=["#banners"])
        await returned.send(subscribe=["#banners"])
        # Pages of another process of the server are told how it is now.
        for client in (new, returned):
            frame = await client.until(lambda frame: 'id="banners"' in frame.get("html", ""))
            assert "Dismiss" not in frame["html"]
        took = [await seconds_until_both_show(served, new, returned)]
        while min(took) > 1 and len(took) < 5:  # Once is enough: the machine may be busy.
            await asyncio.to_thread(served.http.post, f"/api/v1/errors/{len(took)}/resolve")
            for client in (new, returned):
                await client.until(no_banner)
            took.append(await seconds_until_both_show(served, new, returned))
        assert min(took) <= 1
        cursor = new.cursor

        await asyncio.to_thread(served.http.post, f"/api/v1/errors/{len(took)}/resolve")
        for client in (new, returned):
            await client.until(no_banner)

    def is_counted() -> bool:
        return '/errors/count" hidden' in served.http.get("/errors/count").text

    await asyncio.to_thread(wait_until, is_counted, what="the count of none")
    async with live(served, cursor) as away:
        await away.send(subscribe=["#banners"])
        frame = await away.receive()
        assert banners_in(frame)
        assert "Live" not in banners_in(frame)
        up_to_date = away.cursor
    async with live(served, up_to_date) as client:
        await client.send(subscribe=["#banners"])
        await client.nothing_more(seconds=0.5)


def test_health_counts_what_is_unresolved(served: ServedApp) -> None:
    def tracking() -> dict[str, Any]:
        health = served.http.get("/health")
        assert health.status_code == 200
        part: dict[str, Any] = health.json()["components"]["error_tracking"]
        assert (part["status"], part["dropped"]) == ("healthy", 0)
        return {name: count for name, count in part["unresolved_by_severity"].items() if count}

    assert tracking() == {}
    served.record(a_fault(), a_fault(message="low", severity=Severity.LOW))
    wait_until(lambda: tracking() == {"high": 1, "low": 1}, what="the count of both")
    served.http.post("/api/v1/errors/1/resolve")
    wait_until(lambda: tracking() == {"low": 1}, what="the count of one")


def test_while_the_database_refuses_health_says_so_and_pages_show_the_last_banners(
    served: ServedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_writer, "RETRY_SECONDS", (0.05,) * 4)
    served.record(a_fault(message="Known already"))

    def tracking() -> tuple[str, int | None, bool]:
        part = served.http.get("/health").json()["components"]["error_tracking"]
        # Beside the one below also what is told of the database itself.
        return part["status"], part["unresolved"], part["dropped"] > 0

    async def refuse(_self: Database, _work: Callable[..., Any]) -> Any:
        raise StorageFailed("The database", "disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "write", refuse)
        problem_of(served.http.post("/api/v1/errors/1/resolve"), 503)
        served.report(a_fault(message="Lost to the database"))
        served.call(lambda services: services.error_log.flush())
        wait_until(lambda: tracking() == ("degraded", 1, True), what="its word of the writes")
        broken.setattr(Database, "read", refuse)
        problem_of(served.http.get("/api/v1/errors"), 503)
        page = served.http.get("/jobs/nobody").text
        assert "Known already" in page
        assert "The error log cannot be written" in page
        wait_until(lambda: tracking() == ("degraded", None, True), what="its word of the reads")
    log = served.data_dir / "logs" / "longshore.log"
    wait_until(lambda: "Lost to the database" in log.read_text(), what="its line in the log")
    served.record(a_fault(message="Written again"))
    told = [event for event in messages(errors(served)) if "cannot be kept" not in event]
    assert told == ["Written again", "Known already"]
    assert "The error log cannot be written" not in served.http.get("/jobs/nobody").text
    wait_until(lambda: tracking() == ("healthy", 2, True), what="good health")
