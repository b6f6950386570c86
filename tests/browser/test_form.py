"""The form of a job: every mistake at its field, nothing typed is lost, nothing is sent twice."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor, job_id_of, wait_out_double_click
from tests.support import RunningServer, wait_until

_HTML = '<b onclick="x()">“Jörg’s” & 🏖️ photos</b>'
_REFUSED = r"status of 422|status of 412"


class Mistake(NamedTuple):
    """What is typed into a field, and a part of what is said about it."""

    field: str
    typed: str
    said: str


_MISTAKES = (
    Mistake("source", "relative/<i>path</i>", "absolute"),
    Mistake("destination", "nas:photos", "ssh://"),
    Mistake("bandwidth_limit", "fast 🚀", "10M"),
    Mistake("max_delete", "several", "number"),
    Mistake("exclude", "*.tmp\n+ keep", "filter rule"),
)


def _type_mistakes(page: Page) -> None:
    for mistake in _MISTAKES:
        page.locator(f"#field-{mistake.field}").fill(mistake.typed)
    page.locator("#field-name").fill(_HTML)
    page.locator("#field-verification-checksum").check()
    page.locator("#field-delete_extraneous").check()


def _expect_mistakes_at_their_fields(page: Page) -> None:
    for mistake in _MISTAKES:
        field = page.locator(f"#field-{mistake.field}")
        error = page.locator(f"#{mistake.field}-error")
        expect(error).to_contain_text(mistake.said)
        expect(field).to_have_attribute("aria-invalid", "true")
        described = (field.get_attribute("aria-describedby") or "").split()
        assert f"{mistake.field}-error" in described, mistake.field
        expect(field).to_have_value(mistake.typed)
    expect(page.locator("#field-name")).to_have_value(_HTML)
    expect(page.locator("#field-name")).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator("#field-verification-checksum")).to_be_checked()
    expect(page.locator("#field-delete_extraneous")).to_be_checked()
    expect(page.locator("#error-summary")).to_be_focused()
    links = page.locator("#error-summary a")
    expect(links).to_have_count(len(_MISTAKES))


def _fill(page: Page, name: str, source: Path, destination: Path) -> None:
    page.locator("#field-name").fill(name)
    page.locator("#field-source").fill(str(source))
    page.locator("#field-destination").fill(str(destination))


def test_every_mistake_is_shown_at_once_and_what_was_typed_stays(
    server: RunningServer, visitor: Visitor
) -> None:
    visitor.allow(_REFUSED)
    page = visitor.open(f"{server.url}/jobs/new")
    _type_mistakes(page)
    page.locator("#job-form-submit").click()
    _expect_mistakes_at_their_fields(page)
    page.locator("#error-summary a").first.click()
    assert page.evaluate("document.activeElement.id.startsWith('field-')")
    assert server.jobs() == []


def test_without_javascript_the_same(server: RunningServer, visitor: Visitor) -> None:
    visitor.allow(_REFUSED)
    page = visitor.open(f"{server.url}/jobs/new", script=False)
    _type_mistakes(page)
    page.locator("#job-form-submit").click()
    error = page.locator("#source-error")
    expect(error).to_contain_text("absolute")
    for mistake in _MISTAKES:
        expect(page.locator(f"#{mistake.field}-error")).to_contain_text(mistake.said)
        expect(page.locator(f"#field-{mistake.field}")).to_have_value(mistake.typed)
    expect(page.locator("#field-name")).to_have_value(_HTML)
    assert server.jobs() == []


def test_without_javascript_a_job_is_created_and_run(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    (room / "from").mkdir()
    (room / "from" / "file").write_bytes(b"content")
    page = visitor.open(f"{server.url}/jobs/new", script=False)
    _fill(page, _HTML, room / "from", room / "to")
    page.locator("#job-form-submit").click()
    job_id = job_id_of(page)
    expect(page.locator("h1")).to_have_text(_HTML)
    page.locator(f"#job-{job_id}-button").click()
    assert job_id_of(page) == job_id
    wait_until(lambda: server.state(job_id)["status"] == "completed", what="the end of the run")
    page.reload()
    expect(page.locator(f"#job-{job_id}")).to_have_attribute("data-status", "completed")
    assert (room / "to" / "file").read_bytes() == b"content"


def test_a_job_is_edited(server: RunningServer, visitor: Visitor, room: Path) -> None:
    job_id = server.create_job(room, room.parent / f"{room.name}-copy", name="Before")
    page = visitor.open(f"{server.url}/jobs/{job_id}")
    page.get_by_role("link", name="Edit").first.click()
    expect(page.locator("#field-name")).to_have_value("Before")
    page.locator("#field-name").fill("After")
    page.locator("#field-exclude").fill("*.tmp\ncache/")
    page.locator("#field-bandwidth_limit").fill("500k")
    page.locator("#job-form-submit").click()
    assert job_id_of(page) == job_id
    expect(page.locator("h1")).to_have_text("After")
    expect(page.locator(".pattern")).to_have_text(["*.tmp", "cache/"])
    (job,) = server.jobs()
    assert (job["name"], job["version"]) == ("After", 2)
    assert job["options"]["exclude"] == ["*.tmp", "cache/"]
    assert job["options"]["bandwidth_limit"] == "500K"


def test_two_tabs_that_edit_one_job_are_shown_both_versions(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    visitor.allow(_REFUSED)
    job_id = server.create_job(room, room.parent / f"{room.name}-copy", name="As it was")
    first = visitor.open(f"{server.url}/jobs/{job_id}/edit")
    second = visitor.another_tab(first.context, f"{server.url}/jobs/{job_id}/edit")
    first.locator("#field-name").fill("Of the first tab")
    first.locator("#job-form-submit").click()
    assert job_id_of(first) == job_id

    second.locator("#field-name").fill("Of the second tab")
    second.locator("#job-form-submit").click()
    expect(second.locator("#form-conflict")).to_be_focused()
    expect(second.locator("#form-conflict")).to_be_in_viewport()
    cells = second.locator("#form-conflict td")
    expect(cells).to_have_text(["Of the first tab", "Of the second tab"])
    expect(second.locator("#field-name")).to_have_value("Of the second tab")
    assert server.jobs()[0]["name"] == "Of the first tab"

    wait_out_double_click(second)
    second.locator("#job-form-submit").click()
    assert job_id_of(second) == job_id
    assert server.jobs()[0]["name"] == "Of the second tab"


def test_a_double_click_creates_one_job(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    page = visitor.open(f"{server.url}/jobs/new")
    _fill(page, "Only once", room, room.parent / f"{room.name}-copy")
    page.locator("#job-form-submit").dblclick()
    job_id = job_id_of(page)
    assert [job["id"] for job in server.jobs()] == [job_id]


def test_the_folder_browser_is_used_by_keyboard(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    (room / "alpha" / "<i>inner & 🏝️").mkdir(parents=True)
    (room / "alpha" / "a file.bin").write_bytes(b"12345")
    (room / "omega").mkdir()
    page = visitor.open(f"{server.url}/jobs/new")
    source, browser = page.locator("#field-source"), page.locator("#browser-source")
    path = browser.locator(".browser-path")
    source.fill(f"{room}/alph")
    page.keyboard.press("Tab")
    expect(page.locator("#browse-source")).to_be_focused()
    page.keyboard.press("Enter")
    expect(path).to_have_text(str(room))
    expect(page.locator("#browse-source")).to_have_attribute("aria-expanded", "true")
    expect(browser.get_by_role("button", name="alpha")).to_be_focused()

    page.keyboard.press("Enter")
    expect(path).to_have_text(str(room / "alpha"))
    expect(browser.get_by_role("button", name="<i>inner & 🏝️")).to_be_focused()
    expect(browser.get_by_role("button", name="a file.bin")).to_be_visible()
    browser.locator("#browser-source-up").focus()
    page.keyboard.press("Enter")
    expect(path).to_have_text(str(room))

    page.keyboard.press("Escape")
    expect(browser).to_be_empty()
    expect(page.locator("#browse-source")).to_be_focused()
    expect(source).to_have_value(f"{room}/alph")

    page.keyboard.press("Enter")
    expect(browser.get_by_role("button", name="alpha")).to_be_focused()
    page.keyboard.press("Enter")
    expect(browser.get_by_role("button", name="<i>inner & 🏝️")).to_be_focused()
    page.keyboard.press("Enter")
    expect(browser.locator(".browser-empty")).to_be_visible()
    expect(browser.locator("[data-browser-use]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(source).to_have_value(str(room / "alpha" / "<i>inner & 🏝️"))
    expect(page.locator("#browse-source")).to_be_focused()
