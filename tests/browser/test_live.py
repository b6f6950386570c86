"""Live updates: lost and found again, new and deleted jobs, hidden pages, polling at last."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from fastapi_app.access import BACKGROUND
from tests.browser.visitor import (
    Visitor,
    card,
    collect_texts,
    collected_texts,
    expect_live,
    expect_status,
    fast_timers,
    is_same_document,
    mark,
)
from tests.support import RunningServer, make_large_file, wait_until

_UNREACHABLE = (
    r"WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|"
    r"ERR_CONTENT_LENGTH_MISMATCH|"
    r"htmx:error: Failed to fetch"
)
_ATTEMPT = re.compile(r"^Reconnecting \(attempt \d+ of 10\)$")
_HIDDEN = """
window.isHiddenInTest = true;
Object.defineProperty(Document.prototype, "hidden", {get: () => window.isHiddenInTest});
Object.defineProperty(Document.prototype, "visibilityState",
  {get: () => window.isHiddenInTest ? "hidden" : "visible"});
"""


@pytest.fixture
def slow_job(server: RunningServer, rsync: str, room: Path) -> str:
    """A job that takes half a minute when it is left alone."""
    make_large_file(room / "from" / "film.bin", megabytes=32)
    return server.create_job(
        room / "from", room / "to", name="Slow", options={"bandwidth_limit": "1M"}
    )


def _indicator(page: Page) -> Locator:
    return page.locator("#live-indicator")


def _percentages(page: Page) -> list[int]:
    return [int(text.rstrip("%")) for text in collected_texts(page) if text.endswith("%")]


def _init(script: str) -> Callable[[Page], object]:
    return lambda page: page.add_init_script(script)


def _show(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        "(hidden) => { window.isHiddenInTest = hidden;"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_the_page_goes_on_when_a_killed_server_is_started_again(
    server: RunningServer, visitor: Visitor, slow_job: str
) -> None:
    visitor.allow(_UNREACHABLE)
    server.start_job(slow_job)
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    mark(page)
    expect(page.locator("#live-status")).to_have_text("Live")
    server.kill()
    expect(_indicator(page)).to_have_attribute("data-state", "reconnecting")
    expect(page.locator("#live-status")).to_have_text(_ATTEMPT)
    assert page.locator("#live-reconnect").is_hidden()

    server.start()
    expect_live(page)
    collect_texts(page, f"#job-{slow_job} [data-live=percent_text]")
    wait_until(lambda: len(set(_percentages(page))) >= 3, what="new figures")
    shown = _percentages(page)  # Once: the page goes on.
    assert shown == sorted(shown)
    assert is_same_document(page)


def test_new_jobs_appear_at_the_top_and_deleted_ones_disappear(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    old = server.create_job(room, room.parent / f"{room.name}-old", name="The old one")
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    mark(page)
    new = server.create_job(room, room.parent / f"{room.name}-new", name="The new one")
    expect(page.locator("#job-list > article").first).to_have_id(f"job-{new}")
    expect(page.locator("#job-list > article")).to_have_count(2)
    expect(page.locator("#count-pending .summary-count")).to_have_text("2")
    # It is a card like any other.
    page.locator(f"#job-{new}-more").click()
    expect(page.locator(f"#job-{new}-edit")).to_be_visible()

    assert server.http.delete(f"/api/v1/jobs/{old}").status_code == 204
    expect(card(page, old)).to_have_count(0)
    expect(card(page, new)).to_have_count(1)
    assert is_same_document(page)


def test_the_page_of_a_job_that_is_deleted_says_so(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    job_id = server.create_job(room, room.parent / f"{room.name}-copy")
    page = visitor.open(f"{server.url}/jobs/{job_id}")
    expect_live(page)
    server.http.delete(f"/api/v1/jobs/{job_id}")
    toast = page.locator("#toasts .toast")
    expect(toast).to_contain_text("This job was deleted")
    toast.locator("[data-dismiss]").click()
    expect(toast).to_have_count(0)


def test_the_first_job_replaces_the_empty_state(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    job_id = server.create_job(room, room.parent / f"{room.name}-copy")
    expect(card(page, job_id)).to_be_visible()
    expect(page.locator("[data-empty-state]")).to_have_count(0)


def test_a_job_deleted_meanwhile_is_refused_with_a_message(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    visitor.allow("status of 404")
    job_id = server.create_job(room, room.parent / f"{room.name}-copy")
    page = visitor.open(f"{server.url}/", before=_init(_HIDDEN))
    server.http.delete(f"/api/v1/jobs/{job_id}")
    page.locator(f"#job-{job_id}-button").click()
    expect(page.locator("#toasts .toast")).to_be_visible()
    expect(page.locator("#toasts .toast-detail")).not_to_be_empty()


def test_a_page_opened_while_hidden_connects_when_it_is_shown(
    server: RunningServer, visitor: Visitor, slow_job: str
) -> None:
    sockets: list[str] = []

    def before(page: Page) -> None:
        page.add_init_script(_HIDDEN)
        page.on("websocket", lambda socket: sockets.append(socket.url))

    page = visitor.open(f"{server.url}/", before=before)
    server.start_job(slow_job)
    wait_until(lambda: server.state(slow_job)["status"] == "running", what="the run")
    expect_status(card(page, slow_job), "pending")
    assert sockets == []

    _show(page, hidden=False)
    expect_live(page)
    expect_status(card(page, slow_job), "running")

    _show(page, hidden=True)
    server.http.post(f"/api/v1/jobs/{slow_job}/stop")
    wait_until(lambda: server.state(slow_job)["status"] == "paused", what="the stop")
    expect_status(card(page, slow_job), "running")
    _show(page, hidden=False)
    expect_status(card(page, slow_job), "paused")
    assert len(sockets) == 2


def test_after_ten_attempts_the_page_polls_and_offers_to_reconnect(
    server: RunningServer, visitor: Visitor, slow_job: str
) -> None:
    visitor.allow(_UNREACHABLE)
    page = visitor.open(f"{server.url}/", before=_init(fast_timers(50)))
    expect_live(page)
    mark(page)
    collect_texts(page, "#live-status")
    server.kill()
    expect(_indicator(page)).to_have_attribute("data-state", "offline", timeout=30_000)
    attempts = [text for text in collected_texts(page) if _ATTEMPT.match(text)]
    assert attempts == [f"Reconnecting (attempt {number} of 10)" for number in range(1, 11)]
    expect(page.locator("#live-reconnect")).to_be_visible()

    server.start()
    expect(_indicator(page)).to_have_attribute("data-state", "polling")
    expect(page.locator("#live-status")).to_have_text("Polling every 5 s")
    server.start_job(slow_job)
    with page.expect_request(re.compile(rf"/jobs/{slow_job}/card")) as asked:
        expect_status(card(page, slow_job), "running")
    assert asked.value.headers.get(BACKGROUND) == "true"
    expect(page.locator("[data-run-row]")).to_have_count(1)

    page.locator("#live-reconnect").click()
    expect_live(page)
    expect(page.locator("#live-reconnect")).to_be_hidden()
    server.http.post(f"/api/v1/jobs/{slow_job}/stop")
    expect_status(card(page, slow_job), "paused")
    assert is_same_document(page)


def test_a_silent_connection_is_replaced(server: RunningServer, visitor: Visitor) -> None:
    connections: list[WebSocketRoute] = []

    def say_nothing(route: WebSocketRoute) -> None:
        connections.append(route)

    def before(page: Page) -> None:
        page.add_init_script(fast_timers(50, kept=()))
        page.route_web_socket(re.compile(r"/ws"), say_nothing)

    page = visitor.open(f"{server.url}/", before=before)
    expect(_indicator(page)).to_have_attribute("data-state", "reconnecting")
    # The page is asked in between, so that Playwright handles what has come from it.
    wait_until(lambda: page.title() and len(connections) >= 2, what="a second connection")
