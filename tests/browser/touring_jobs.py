"""Clicks on the Jobs page, on the page of a job and in its form, for `test_click_through`."""

from __future__ import annotations

import re
import shutil

from playwright.sync_api import Page, expect

from tests.browser.lived_in import LivedIn
from tests.browser.visitor import (
    card,
    expect_live,
    expect_status,
    job_id_of,
    wait_out_double_click,
)
from tests.support import make_tree


def tour_of_jobs(page: Page, site: LivedIn) -> None:
    """The list: what is looked for, how it looks, and commands on several."""
    source = make_tree(site.room / "spare", files=2)
    spare = [site.server.create_job(source, site.room / f"to {n}", name=f"Spare {n}") for n in "12"]
    page.goto(f"{site.url}/jobs?limit=3")
    page.get_by_role("link", name="More jobs").click()
    page.goto(f"{site.url}/jobs")
    expect_live(page)
    page.locator("#jobs-q").fill("nothing is called so")
    page.get_by_role("link", name="Show every job").click()
    page.wait_for_url(f"{site.url}/jobs")
    expect_live(page)
    page.locator("#jobs-tag").select_option("nightly")
    expect(page.locator("#job-list > article")).to_have_count(1)
    page.locator("#jobs-tag").select_option("")
    page.locator("#jobs-engine").select_option("rsync")
    page.locator("#jobs-sort").select_option("urgency")
    page.locator("#jobs-status").select_option("running")
    expect(page.locator("#job-list > article")).to_have_count(1)
    page.locator("#jobs-status").select_option("")
    for job_id in spare:
        expect(card(page, job_id)).to_be_visible()
    for look in ("table", "cards"):
        page.locator(f"#look-{look}").click()
        expect(page.locator(f"#look-{look}")).to_have_attribute("aria-pressed", "true")
    expect_live(page)
    _several_jobs(page, spare)
    _messages(page, site)


def _messages(page: Page, site: LivedIn) -> None:
    """Several runs fail before one's eyes."""
    source = make_tree(site.room / "vanishing", files=1)
    failing = [
        site.server.create_job(source, site.room / f"to V{n}", name=f"Vanished {n}")
        for n in range(4)
    ]
    shutil.rmtree(source)
    page.goto(f"{site.url}/jobs")
    expect_live(page)
    _tick(page, failing)
    page.locator("#many-start").click()
    messages = page.locator("#toasts")
    expect(messages).to_contain_text("and 1 more")
    messages.locator("[data-happening] [data-dismiss]").first.click()
    messages.get_by_role("button", name="Show all").click()
    expect(page.locator("#bell-list")).to_be_visible()


def _several_jobs(page: Page, spare: list[str]) -> None:
    result = page.locator("#many-result")
    page.locator("#select-all").check()
    page.locator("#many-none").click()
    for job_id in spare:
        page.locator(f"#job-{job_id}-select").check()
    page.locator("#many-stop").click()
    expect(result).to_contain_text("left as they are")
    result.get_by_role("link", name="Spare 1").click()
    page.wait_for_url(re.compile("/jobs/spare-1-"))
    page.go_back()
    expect_live(page)
    for button, told in (("start", "started"), ("add", "tagged"), ("remove", "without the tag")):
        _tick(page, spare)
        if button != "start":
            page.locator("#many-tag").fill("by hand")
        page.locator(f"#many-{button}").click()
        expect(result).to_contain_text(told)
    for job_id in spare:
        expect_status(card(page, job_id), "completed")
    for kept in (True, False):
        _tick(page, spare)
        page.locator("#many-delete").click()
        if kept:
            page.get_by_role("link", name="Keep them").click()
            expect_live(page)
    page.locator("#field-sure").fill("yes")
    page.locator("#delete-button").click()
    expect(page.locator("#field-sure-error")).to_be_visible()
    page.locator("#field-sure").fill("delete 2 jobs")
    page.locator("#delete-button").click()
    expect(page.locator(".many-outcome")).to_contain_text("2 jobs deleted")


def _tick(page: Page, job_ids: list[str]) -> None:
    for job_id in job_ids:
        page.locator(f"#job-{job_id}-select").check()


def tour_of_a_job(page: Page, site: LivedIn) -> None:
    """The page of a job that has a history, its menu, and what its runs can be told to do."""
    job_id, address = site.jobs["completed"], f"{site.url}/jobs/{site.jobs['completed']}"
    page.goto(address)
    expect_live(page)
    page.locator("#plot-duration-area .u-over").hover()
    page.locator("#job-figures-table > summary").click()
    expect(page.locator("#figures tbody tr").first).to_be_visible()
    page.locator("#job-older-runs > summary").click()
    page.locator("#older-runs").get_by_role("link", name="Older runs").click()
    page.locator(".crumbs a").last.click()
    page.wait_for_url(address)
    page.locator(".outcome").last.click()
    page.wait_for_url(re.compile("/runs/"))
    page.goto(f"{address}/figures")
    page.locator(".figures-table a").first.click()
    page.wait_for_url(re.compile("/runs/"))
    page.get_by_role("link", name="Job", exact=True).click()
    page.wait_for_url(address)
    page.locator(f"#job-{job_id}-dry-run-top").click()
    expect(page.locator("#preview-nothing")).to_be_visible()

    page.goto(f"{site.url}/jobs")
    expect_live(page)
    for entry in ("last-run", "edit", "duplicate", "delete"):
        page.locator(f"#job-{job_id}-more").click()
        page.locator(f"#job-{job_id}-{entry}").click()
        expect(page.locator(f"#job-{job_id}-more")).to_have_count(0)
        page.go_back()
        expect_live(page)
    last = str(card(page, job_id).locator(".status-link").get_attribute("href"))
    page.locator(f"#job-{job_id}-button").click()
    expect(card(page, job_id).locator(".status-link")).not_to_have_attribute("href", last)
    expect_status(card(page, job_id), "completed")
    page.locator(f"#job-{job_id}-more").click()
    page.locator(f"#job-{job_id}-dry-run-menu").click()
    expect(page.locator("#preview-nothing")).to_be_visible()
    page.goto(address)
    page.locator("#job-dry-run a").last.click()
    page.wait_for_url(re.compile("/runs/"))

    paused = site.jobs["paused"]
    page.goto(f"{site.url}/jobs")
    page.locator(f"#job-{paused}-more").click()
    page.locator(f"#job-{paused}-discard").click()
    expect(page.locator(f"#job-{paused}-discard")).to_have_count(0)


def tour_of_the_form(page: Page, site: LivedIn) -> None:
    """A form with mistakes, then a job that is changed, duplicated and deleted."""
    page.goto(f"{site.url}/jobs/new")
    expect_live(page)
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="New job").click()
    _locations(page, site)
    _options(page)
    page.locator("#field-bandwidth_limit").fill("fast")
    page.locator("#job-form-submit").click()
    expect(page.locator("#error-summary")).to_be_focused()
    page.locator("#error-summary a").first.click()
    page.locator("#field-bandwidth_limit").fill("10M")
    page.locator("#field-name").fill("By hand")
    wait_out_double_click(page)
    page.locator("#job-form-submit").click()
    job_id = job_id_of(page)

    page.get_by_role("link", name="Edit").click()
    site.server.http.put(
        f"/api/v1/jobs/{job_id}",
        json=site.server.http.get(f"/api/v1/jobs/{job_id}").json() | {"name": "By another hand"},
        headers={"If-Match": '"1"'},
    )
    page.locator("#job-form-submit").click()
    expect(page.locator("#form-conflict")).to_be_focused()
    page.get_by_role("link", name="Drop mine").click()
    page.locator("#field-name").fill("By my hand")
    page.locator("#job-form-submit").click()
    page.wait_for_url(f"{site.url}/jobs/{job_id}")
    page.locator(f"#job-{job_id}-more").click()
    page.locator(f"#job-{job_id}-duplicate").click()
    page.locator("#job-form-submit").click()
    _delete(page, job_id_of(page), has_history=False)
    _delete(page, site.jobs["gone"], has_history=True)


def _locations(page: Page, site: LivedIn) -> None:
    page.locator("#field-source").fill(str(site.room))
    page.locator("#browse-source").click()
    page.locator("#browser-source-up").click()
    browser = page.locator("#browser-source")
    browser.get_by_role("button", name=site.room.name, exact=True).click()
    browser.get_by_role("button", name="rclone.conf").click()
    page.locator("#browse-source").click()
    page.locator("#browser-source [data-browser-close]").click()
    page.locator("#field-source").fill(str(site.room / "small"))
    page.locator("#browse-source").click()
    page.locator("#browser-source [data-browser-use]").click()
    page.locator("#field-destination").fill(str(site.room))
    page.locator("#browse-destination").click()
    browser = page.locator("#browser-destination")
    browser.get_by_role("button", name="small", exact=True).click()
    page.locator("#browser-destination-up").click()
    browser.get_by_role("button", name="small", exact=True).click()
    expect(browser.locator(".browser-path")).to_have_text(str(site.room / "small"))
    browser.locator("[data-browser-use]").click()
    page.locator("#browse-destination").click()
    browser.locator("[data-browser-close]").click()
    page.locator("#browse-destination").click()
    expect(browser.locator(".browser-entry").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(browser.locator("*")).to_have_count(0)
    for name in ("source", "destination"):
        kind = page.locator(f"#field-{name}_kind")
        kind.select_option("ssh")
        page.locator(f"#field-{name}_user").fill("me")
        page.locator(f"#field-{name}_host").fill("nas")
        page.locator(f"#field-{name}_port").fill("22")
        kind.select_option("rsync")
        page.locator(f"#field-{name}_module").fill("backup")
        page.locator(f"#field-{name}_path").fill("here")
        kind.select_option("rclone")
        page.locator(f"#field-{name}_remote").fill("cloud")
        page.locator(f"#test-{name}").click()
        expect(page.locator(f"#tested-{name}")).to_contain_text("The remote answers.")
        kind.select_option("local")
    page.locator("#field-destination").fill(str(site.room / "to by hand"))


def _options(page: Page) -> None:
    """Everything else that the form has, whatever it is, filled in and taken out again."""
    for summary in page.locator("#job-form details > summary").all():
        summary.click()
    page.locator("#field-source_deletion_enabled").check()
    for box in page.locator("#job-form input[type=checkbox]").all():
        box.set_checked(not box.is_checked())
        box.set_checked(not box.is_checked())
    for choice in reversed(page.locator("#job-form input[type=radio]").all()):
        choice.check()
    for field in page.locator("#job-form").locator("input[type=text], textarea").all():
        if field.is_visible():
            before = field.input_value()
            field.fill("1")
            field.fill(before)
    for select in page.locator("#job-form select").all():
        if select.is_visible():
            select.select_option(index=1)
            select.select_option(index=0)
    page.locator("#field-source_deletion_enabled").uncheck()


def _delete(page: Page, job_id: str, *, has_history: bool) -> None:
    page.goto(page.url.partition("/jobs")[0] + f"/jobs/{job_id}")
    for kept in (True, False):
        page.locator(f"#job-{job_id}-more").click()
        page.locator(f"#job-{job_id}-delete").click()
        if kept:
            page.get_by_role("link", name="Keep it").click()
    if has_history:
        page.locator("#field-name").fill("Something else")
        page.locator("#delete-button").click()
        expect(page.locator("#field-name-error")).to_be_visible()
        page.locator("#field-name").fill("Gone")
    page.locator("#delete-button").click()
    page.wait_for_url(re.compile(r"/jobs$"))
    expect(page.locator(f"#job-{job_id}")).to_have_count(0)
