"""Proves that the keys do what their sheet says, nothing where somebody types, and can be off."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor
from tests.support import RunningServer, make_tree


def test_keys_lead_about_and_do_nothing_where_somebody_types(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    source = make_tree(room / "from", files=2)
    jobs = [server.create_job(source, room / f"to-{n}", name=f"Job {n}") for n in range(3)]
    page = visitor.open(f"{server.url}/")
    for keys, path in (
        ("gj", "/jobs"),
        ("gr", "/runs"),
        ("ge", "/errors"),
        ("gs", "/settings"),
        ("gd", "/"),
    ):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_url(f"{server.url}{path}")
    page.keyboard.press("n")
    page.wait_for_url(f"{server.url}/jobs/new")
    page.locator("#field-name").fill("gj")
    page.locator("#field-name").press("n")
    expect(page.locator("#field-name")).to_have_value("gjn")

    page.goto(f"{server.url}/jobs")
    page.keyboard.press("/")
    expect(page.locator("#jobs-q")).to_be_focused()
    page.keyboard.type("n?/")
    expect(page.locator("#jobs-q")).to_have_value("n?/")
    names = [page.locator(f"#job-{job}-name a") for job in sorted(jobs)]
    # What was found arrives by itself, and takes the list that is walked through with it.
    expect(names[0]).to_be_hidden()
    page.locator("#jobs-q").fill("")
    page.keyboard.press("Escape")
    expect(page.locator("#jobs-q")).not_to_be_focused()
    expect(names[0]).to_be_visible()
    for key, place in (("j", 0), ("j", 1), ("ArrowDown", 2), ("j", 2), ("k", 1), ("ArrowUp", 0)):
        page.keyboard.press(key)
        expect(names[place]).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.url}/jobs/{min(jobs)}")


def test_the_sheet_tells_the_keys_and_switches_them_off(
    server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(f"{server.url}/")
    page.keyboard.press("?")
    sheet = page.locator("#keys-sheet")
    expect(sheet).to_be_visible()
    assert faults_of(page) == []
    page.keyboard.press("n")
    expect(sheet).to_be_visible()
    page.locator("#keys-on").uncheck()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()

    page.reload()
    for key in ("?", "g", "j", "n"):
        page.keyboard.press(key)
    expect(sheet).to_be_hidden()
    assert page.url == f"{server.url}/"
    page.locator("[data-keys-open]").click()
    expect(page.locator("#keys-on")).not_to_be_checked()
    page.locator("#keys-on").check()
    page.locator("#keys-close").click()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url(f"{server.url}/jobs")
