"""What a person does with the page survives the updates of a run that goes on beneath."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import (
    Visitor,
    card,
    collect_texts,
    collected_texts,
    expect_live,
    expect_status,
    is_same_document,
    mark,
    value_of,
    wait_out_double_click,
)
from tests.support import RunningServer, make_large_file, make_tree, wait_until

_UPDATES = 3
_OTHERS = 30


@pytest.fixture
def slow_job(server: RunningServer, rsync: str, room: Path) -> str:
    """A job that takes long enough to be looked at, among others that make the page long."""
    make_large_file(room / "from" / "film.bin", megabytes=32)
    for number in range(_OTHERS):
        server.create_job(room / "from", room / f"other-{number}", name=f"Quiet {number:02d}")
    return server.create_job(
        room / "from", room / "to", name="Moving", options={"bandwidth_limit": "2M"}
    )


def _see_updates(page: Page, job_id: str) -> None:
    """Wait until so many new percentages were shown."""
    collect_texts(page, f"#job-{job_id} [data-live=percent_text]")
    wait_until(
        lambda: len(collected_texts(page)) > _UPDATES,
        what=f"{_UPDATES} updates of {job_id}",
    )


def _is_focused(page: Page, element_id: str) -> bool:
    return bool(page.evaluate("() => document.activeElement.id") == element_id)


def test_an_open_menu_stays_open(server: RunningServer, visitor: Visitor, slow_job: str) -> None:
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    mark(page)
    menu, more = page.locator(f"#job-{slow_job}-menu"), page.locator(f"#job-{slow_job}-more")
    more.click()
    expect(menu).to_have_attribute("open", "")
    # New statuses replace the card, new figures patch it.
    server.start_job(slow_job)
    expect_status(card(page, slow_job), "running")
    _see_updates(page, slow_job)
    server.http.post(f"/api/v1/jobs/{slow_job}/stop")
    expect_status(card(page, slow_job), "paused")
    expect(menu).to_have_attribute("open", "")
    expect(page.locator(f"#job-{slow_job}-discard")).to_be_visible()
    assert _is_focused(page, f"job-{slow_job}-more")
    assert is_same_document(page)


def test_the_focus_on_a_button_stays(
    server: RunningServer, visitor: Visitor, slow_job: str
) -> None:
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    button = page.locator(f"#job-{slow_job}-button")
    button.focus()
    page.keyboard.press("Enter")
    expect_status(card(page, slow_job), "running")
    assert _is_focused(page, f"job-{slow_job}-button")
    _see_updates(page, slow_job)
    assert _is_focused(page, f"job-{slow_job}-button")
    wait_out_double_click(page)
    page.keyboard.press("Enter")
    expect_status(card(page, slow_job), "paused")
    expect(button).to_contain_text("Resume")
    assert _is_focused(page, f"job-{slow_job}-button")


def test_text_and_selection_in_the_search_field_stay(
    server: RunningServer, visitor: Visitor, slow_job: str
) -> None:
    page = visitor.open(f"{server.url}/jobs")
    expect_live(page)
    mark(page)
    search = page.locator("#jobs-q")
    search.click()
    search.press_sequentially("Moving")
    expect(page.locator("#results-heading")).to_contain_text("1 job")
    page.evaluate("() => document.getElementById('jobs-q').setSelectionRange(1, 4, 'backward')")
    server.start_job(slow_job)
    expect_status(card(page, slow_job), "running")
    _see_updates(page, slow_job)
    assert _is_focused(page, "jobs-q")
    assert search.input_value() == "Moving"
    kept = "() => { const q = document.getElementById('jobs-q');"
    kept += " return [q.selectionStart, q.selectionEnd, q.selectionDirection]; }"
    assert value_of(page, kept) == [1, 4, "backward"]
    assert is_same_document(page)


def test_the_place_in_the_page_stays(
    server: RunningServer, visitor: Visitor, slow_job: str
) -> None:
    page = visitor.open(f"{server.url}/", height=600)
    expect_live(page)
    quiet = page.locator(".job-card", has_text="Quiet 20")
    quiet.scroll_into_view_if_needed()
    page.mouse.wheel(0, 40)
    page.wait_for_function("() => scrollY > 200")
    top = "(element) => element.getBoundingClientRect().top"
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    before = quiet.evaluate(top)
    server.start_job(slow_job)
    expect_status(card(page, slow_job), "running")
    _see_updates(page, slow_job)
    assert abs(quiet.evaluate(top) - before) <= 1


def test_the_place_in_the_log_stays_when_the_reader_has_scrolled_up(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    make_tree(room / "from", files=1500, largest=6000)
    job_id = server.create_job(room / "from", room / "to", options={"bandwidth_limit": "500K"})
    run_id = server.start_job(job_id)
    page = visitor.open(f"{server.url}/runs/{run_id}")
    length = "() => document.getElementById('log').textContent.length"
    page.wait_for_function(
        "() => { const log = document.getElementById('log');"
        " return log.scrollHeight > 2 * log.clientHeight; }"
    )
    at_bottom = (
        "() => { const log = document.getElementById('log');"
        " return log.scrollHeight - log.scrollTop - log.clientHeight < 2; }"
    )
    assert value_of(page, at_bottom), "a reader who has not scrolled follows the log"
    page.locator("#log").hover()
    page.mouse.wheel(0, -150)
    page.wait_for_function(f"() => !({at_bottom})()")
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    place, size = value_of(page, "() => document.getElementById('log').scrollTop"), None
    size = value_of(page, length)
    page.wait_for_function(f"(before) => ({length})() > before + 500", arg=size)
    assert value_of(page, "() => document.getElementById('log').scrollTop") == place
