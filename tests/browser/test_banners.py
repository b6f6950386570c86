"""Banners on open pages: they come and go by themselves, and Dismiss works in every way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from fastapi_app.services import Services
from models.error_event import Severity
from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, expect_live, fast_timers, is_same_document, mark
from tests.fakes.builders import a_fault
from tests.integration.running import ended_server
from tests.integration.test_error_log import write_before_start
from tests.served_app import ServedApp
from tests.support import RunningServer

_LONG = "Averylongnamewithoutanyspace" * 4


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    """A served application with an empty error log."""
    app = ServedApp(tmp_path / "data")
    with ended_server(app):
        yield app


def _banners(page: Page) -> Locator:
    return page.locator("#banners li")


def _dismiss(page: Page, text: str) -> Locator:
    return _banners(page).filter(has_text=text).get_by_role("button", name="Dismiss")


def _focused(page: Page) -> str:
    return str(page.evaluate("() => document.activeElement.id"))


def test_a_banner_comes_to_every_open_page_and_goes_when_one_dismisses_it(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    job_id = served.create_job(room, room.parent / f"{room.name}-copy", name="Photos")
    dashboard = visitor.open(f"{served.url}/")
    form = visitor.open(f"{served.url}/jobs/new")
    for page in (dashboard, form):
        expect_live(page)
        mark(page)
        expect(_banners(page)).to_have_count(0)
    form.locator("#field-name").fill("Not sent yet")

    served.report(a_fault(message="The disk is full <b>", job_id=job_id))
    for page in (dashboard, form):
        expect(_banners(page)).to_have_count(1)
        expect(_banners(page)).to_contain_text("The disk is full <b>")
        link = _banners(page).get_by_role("link", name="Photos")
        expect(link).to_have_attribute("href", f"/jobs/{job_id}")
    expect(form.locator("#field-name")).to_have_value("Not sent yet")
    assert _focused(form) == "field-name"

    _dismiss(dashboard, "The disk is full").click()
    expect(_banners(dashboard)).to_have_count(0)
    expect(_banners(form)).to_have_count(0)
    assert _focused(form) == "field-name"
    assert is_same_document(dashboard)
    assert is_same_document(form)
    dashboard.reload()
    expect_live(dashboard)
    expect(_banners(dashboard)).to_have_count(0)


def test_the_focus_on_dismiss_stays_while_other_banners_come_and_go(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    served.create_job(room, room.parent / f"{room.name}-first", name="There")
    served.record(a_fault(message="Older"), a_fault(message="Mine"))
    page = visitor.open(f"{served.url}/")
    expect_live(page)
    mark(page)
    button = _dismiss(page, "Mine")
    button.focus()
    name = _focused(page)
    assert name

    served.report(a_fault(message="Newer", job_id="newer"))
    expect(_banners(page)).to_have_count(3)
    assert _focused(page) == name
    served.create_job(room, room.parent / f"{room.name}-copy", name="Unrelated")
    expect(page.locator("#job-list > article")).to_have_count(2)
    assert _focused(page) == name
    _dismiss(visitor.open(f"{served.url}/jobs"), "Older").click()
    expect(_banners(page)).to_have_count(2)
    assert _focused(page) == name
    served.call(_settle_newer)
    expect(_banners(page)).to_have_count(1)
    assert _focused(page) == name

    page.keyboard.press("Enter")
    expect(_banners(page)).to_have_count(0)
    assert _focused(page) == "banners", "the focus is where it was, not at the top of the page"
    assert is_same_document(page)


async def _settle_newer(services: Services) -> None:
    services.error_log.settle(error_type="DiskFull", job_id="newer")


def test_who_comes_back_to_a_restarted_server_sees_the_banners_of_now(
    make_server: Callable[..., RunningServer], visitor: Visitor
) -> None:
    visitor.allow(r"WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET")
    server = make_server()
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    mark(page)
    server.kill()
    write_before_start(server.data_dir, a_fault(message="Met while nobody was connected"))
    server.start()
    # It connects after 1, 2, 4 and 8 seconds, and a busy machine's server starts in between.
    expect(_banners(page)).to_contain_text("Met while nobody was connected", timeout=40_000)
    assert is_same_document(page)


def test_a_double_click_dismisses_one_banner(served: ServedApp, visitor: Visitor) -> None:
    served.record(a_fault(message="First"), a_fault(message="Second"))
    page = visitor.open(f"{served.url}/")
    expect_live(page)
    place = _dismiss(page, "Second").bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    # The clock that tells a double click stands: the server may take longer than one.
    page.evaluate("() => { const now = performance.now(); performance.now = () => now; }")
    page.mouse.click(x, y)
    # The other one has taken its place before the second click.
    expect(_banners(page)).to_have_count(1)
    page.mouse.click(x, y)
    page.reload()
    expect_live(page)
    expect(_banners(page)).to_have_text([re.compile("First")])


def test_banners_fit_and_are_accessible(served: ServedApp, visitor: Visitor, room: Path) -> None:
    job_id = served.create_job(room, room.parent / f"{room.name}-copy", name=_LONG)
    served.record(
        a_fault(message="Counted"),
        a_fault(message=f"No such job {_LONG}", job_id="gone", job_name=_LONG),
        a_fault(message="Words " * 100, job_id=job_id, severity=Severity.CRITICAL),
        a_fault(message="/srv/" + "path" * 60),
    )
    page = visitor.open(f"{served.url}/jobs/new")
    expect_live(page)
    expect(_banners(page)).to_have_count(3)
    expect(page.locator("#banners")).to_contain_text("and 1 more")
    assert faults_of(page) == []


def test_dismiss_works_without_javascript(served: ServedApp, visitor: Visitor) -> None:
    served.record(a_fault(message="First"), a_fault(message="Second"))
    page = visitor.open(f"{served.url}/jobs?q=photos", script=False)
    _dismiss(page, "Second").click()
    expect(_banners(page)).to_have_count(1)
    assert page.url == f"{served.url}/jobs?q=photos"
    expect(_banners(page)).to_contain_text("First")


def test_a_page_that_can_only_poll_shows_banners_too(served: ServedApp, visitor: Visitor) -> None:
    visitor.allow("WebSocket connection to")

    def before(page: Page) -> None:
        page.add_init_script(fast_timers(50))
        page.route_web_socket(re.compile("/ws"), lambda socket: socket.close())

    page = visitor.open(f"{served.url}/", before=before)
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "polling")
    mark(page)
    served.report(a_fault(message="By polling"))
    expect(_banners(page)).to_contain_text("By polling")
    button = _dismiss(page, "By polling")
    button.focus()
    served.report(a_fault(message="Another"))
    expect(_banners(page)).to_have_count(2)
    assert _focused(page).endswith("-dismiss")
    page.keyboard.press("Enter")
    expect(_banners(page)).to_have_count(1)
    assert is_same_document(page)
