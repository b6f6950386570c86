"""Proves that a page's live parts show the last change, however many came before it.

The page's clock is the test's: what a window of time lets through hangs on no machine's speed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.visitor import Visitor
from tests.integration.running import ended_server, run_to_end
from tests.integration.test_source_deletion import a_deleting_job
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.usefixtures("rsync")]
_EVENT = "document.body.dispatchEvent(new CustomEvent('longshore-changed'))"
_STEP_MS = 100
_STEPS = 30
_LONGER_THAN_A_WINDOW_MS = 2500


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that runs one job at a time."""
    directory = tmp_path_factory.mktemp("last-change") / "data"
    with ended_server(RunningServer(directory, LONGSHORE_MAX_CONCURRENT_RUNS="1")) as server:
        yield server


@pytest.fixture
def server(one_at_a_time: RunningServer) -> Iterator[RunningServer]:
    """The same server; nothing that a test began goes on after it."""
    yield one_at_a_time
    for run in one_at_a_time.http.get("/api/v1/runs").json()["items"]:
        if run["outcome"] is None:
            one_at_a_time.http.post(f"/api/v1/jobs/{run['job_id']}/stop")


def open_still(visitor: Visitor, url: str) -> Page:
    """Open a page that hears of changes from the test alone, and whose clock stands."""

    def before(page: Page) -> None:
        page.route_web_socket("**/ws**", lambda _: None)
        page.clock.install()

    page = visitor.open(url, before=before)
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1"))
    return page


def change(page: Page, *, then_ms: int = 0) -> None:
    """Tell the page of a change, and let so much of its time go by."""
    page.evaluate(_EVENT)
    if then_ms:
        page.clock.run_for(then_ms)


def start_slow_job(server: RunningServer, room: Path) -> str:
    """Start a job that whatever is started next has to wait for; returns its id."""
    make_large_file(room / "slow" / "film.bin", megabytes=32)
    options = {"bandwidth_limit": "500K"}
    job_id = server.create_job(room / "slow", room / "slowly", options=options)
    server.start_job(job_id)
    return job_id


def address_of(server: RunningServer, room: Path, kind: str) -> str:
    """Make what there is to look at; returns the address of its page."""
    source, destination = make_tree(room / "from", files=3), room / "to"
    if kind == "deletions":
        job_id = a_deleting_job(server, source, destination, trash_days=30)
        return f"{server.url}/runs/{run_to_end(server, job_id)['id']}"
    job_id = server.create_job(source, destination)
    if kind == "dry run":
        start_slow_job(server, room)
        answer = server.http.post(f"/api/v1/jobs/{job_id}/dry-run")
        assert answer.status_code == 202, answer.text
        return f"{server.url}/runs/{answer.json()['run_id']}"
    return server.url + {"dashboard": "/", "job": f"/jobs/{job_id}"}[kind]


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("dashboard", {"div#overview-refresh"}),
        ("job", {"div#job-dry-run", "section#job-runs"}),
        ("deletions", {"div#run-files", "div#run-deletions"}),
        ("dry run", {"div#run-files", "div#preview"}),
    ],
)
def test_changes_without_end_are_shown_meanwhile_and_the_last_one_too(
    visitor: Visitor, server: RunningServer, room: Path, kind: str, parts: set[str]
) -> None:
    page = open_still(visitor, address_of(server, room, kind))
    fetched: Counter[str] = Counter()
    page.on("request", lambda request: fetched.update(_part_of(request)))

    def fetches(act_ms: int) -> None:
        with ExitStack() as wanted:
            for part in parts:
                wanted.enter_context(page.expect_request(_is_by(part)))
            change(page, then_ms=act_ms)

    for _ in range(_STEPS):
        change(page, then_ms=_STEP_MS)
    assert set(fetched) == parts, "each is fetched while changes go on, and nothing else is"
    assert max(fetched.values()) <= 1 + _STEPS * _STEP_MS / 1000, "no more than once a second"

    page.clock.run_for(2 * _LONGER_THAN_A_WINDOW_MS)
    fetches(0)  # The first change at once;
    fetches(_LONGER_THAN_A_WINDOW_MS)  # the last one, of the same moment, when the window is over.


def test_a_change_is_not_lost_while_the_first_deletions_appear(
    visitor: Visitor, server: RunningServer, room: Path
) -> None:
    blocking = start_slow_job(server, room)
    deleting = a_deleting_job(server, make_tree(room / "from", files=3), room / "to", trash_days=30)
    run_id = server.start_job(deleting)
    page = open_still(visitor, f"{server.url}/runs/{run_id}")
    held: list[Route] = []

    def answer(route: Route) -> None:
        if held or "div#run-deletions" not in _part_of(route.request):
            route.fallback()
            return
        response = route.fetch()
        # The first answer that tells of them: the record is taken a moment after the end.
        if 'id="deletions-counts"' in response.text():
            held.append(route)
            back = server.http.post(f"/api/v1/runs/{run_id}/put-back")
            assert back.is_success, back.text
            change(page)
        route.fulfill(response=response)

    page.route("**/runs/*", answer)
    server.http.post(f"/api/v1/jobs/{blocking}/stop")
    server.wait_for_end(run_id)

    def is_held() -> bool:
        change(page, then_ms=_STEP_MS)
        return bool(held)

    wait_until(is_held, seconds=30, what="the first deletions on the page")
    page.clock.run_for(_LONGER_THAN_A_WINDOW_MS)
    expect(page.locator("#deletions-counts")).to_have_text("3 were put back.")


def _part_of(request: Request) -> list[str]:
    """Return which part of a page fetches itself; none when a page asks for something else."""
    return [request.headers["hx-source"]] if "hx-source" in request.headers else []


def _is_by(part: str) -> Callable[[Request], bool]:
    return lambda request: part in _part_of(request)


def test_the_runs_of_a_job_are_there_at_the_end(
    visitor: Visitor, server: RunningServer, room: Path
) -> None:
    job_id = server.create_job(make_tree(room / "from", files=3), room / "to")
    page = open_still(visitor, f"{server.url}/jobs/{job_id}")
    first = run_to_end(server, job_id)
    row = page.locator(f"#row-{first['id']}")

    def shown() -> bool:
        change(page, then_ms=_STEP_MS)
        return row.count() > 0

    wait_until(shown, seconds=10, what="the first run, while changes go on")
    change(page)
    second = run_to_end(server, job_id)
    change(page)
    page.clock.run_for(_LONGER_THAN_A_WINDOW_MS)
    expect(page.locator(f"#row-{second['id']} .status")).to_have_text("Completed")
