"""Clicks on the Errors page, on one error and in its figures, for `test_click_through`."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.lived_in import LivedIn
from tests.browser.visitor import expect_live, wait_out_double_click
from tests.support import wait_until

_BROKEN = 60
"""More than one page of the list."""


def tour_of_errors(page: Page, site: LivedIn) -> None:
    """What went wrong: found, opened, exported, resolved in every way."""
    _break_jobs(site, "once", _BROKEN)
    _ways_there(page, site)
    page.goto(f"{site.url}/errors")
    expect_live(page)
    _list(page, site)
    _one(page, site)
    _kinds(page, site)
    _resolving(page, site)


def _break_jobs(site: LivedIn, name: str, count: int) -> None:
    """Put so many job files there that cannot be read."""
    for number in range(count):
        path = site.server.data_dir / "jobs" / f"{name}-{number}.yaml"
        path.write_text("name: [\n", encoding="utf-8")

    def is_known() -> bool:
        address = f"/api/v1/errors?resolved=false&job_id={name}-{count - 1}"
        return bool(site.server.http.get(address).json()["total"])

    wait_until(is_known, what="the damaged jobs")


def _ways_there(page: Page, site: LivedIn) -> None:
    for link, place in (
        ("#errors .newest-message a", "/errors/"),
        ("#errors .section-head a", "/errors"),
        ("#banner-more-link", "/errors"),
    ):
        page.goto(site.url)
        page.locator(link).first.click()
        page.wait_for_url(re.compile(place))
    page.goto(f"{site.url}/jobs/{site.jobs['completed']}")
    page.locator("#job-errors").click()
    page.wait_for_url(re.compile("job="))


def _list(page: Page, site: LivedIn) -> None:
    for severity in page.locator("#errors-summary a").all():
        address = severity.get_attribute("href")
        severity.click()
        page.wait_for_url(f"{site.url}{address}")
        page.go_back()
    for form in ("csv", "json"):
        with page.expect_download():
            page.locator(f"#errors-export-{form}").click()
    page.locator("#errors-trend > summary").click()
    expect(page.locator("#figures")).to_be_visible()
    for field, value in (("severity", "low"), ("component", "api"), ("within", "day")):
        page.locator(f"#errors-{field}").select_option(value)
    page.locator("#errors-job").select_option(index=1)
    page.locator("#errors-q").fill("nothing is called so")
    page.get_by_role("link", name="Show every unresolved error").click()
    page.wait_for_url(f"{site.url}/errors")
    page.get_by_role("link", name="Older errors").click()
    page.wait_for_url(re.compile("cursor="))
    page.goto(f"{site.url}/errors/trend")
    page.locator(".crumbs a").click()
    page.wait_for_url(f"{site.url}/errors")


def _one(page: Page, site: LivedIn) -> None:
    item = page.locator("#errors-list > li").first
    item.locator("summary").click()
    expect(item.locator(".error-facts")).to_be_visible()
    event_id = str(item.get_attribute("id")).removeprefix("error-")
    page.goto(f"{site.url}/errors/{event_id}")
    expect_live(page)
    page.locator("#error-resolve").click()
    expect(page.locator("#error-resolved")).to_be_visible()
    page.locator(".crumbs a").click()
    page.wait_for_url(f"{site.url}/errors")


def _kinds(page: Page, site: LivedIn) -> None:
    page.goto(f"{site.url}/errors?by=kind&state=all")
    expect_live(page)
    page.locator("#errors-list a").first.click()
    page.locator("#errors-kind").uncheck()
    page.locator("#errors-by").select_option("kind")
    page.locator("#errors-state").select_option("open")
    damaged = page.locator("#errors-list > li").filter(has_text="JobFileDamaged")
    wait_out_double_click(page)
    damaged.locator("button").click()
    expect(damaged).to_have_count(0)


def _resolving(page: Page, site: LivedIn) -> None:
    _break_jobs(site, "again", 5)
    page.goto(f"{site.url}/errors?q=again")
    expect_live(page)
    items = page.locator("#errors-list > li")
    expect(items).to_have_count(5)
    items.first.locator("button").click()
    expect(items).to_have_count(4)
    page.locator("#errors-select-all").check()
    page.locator("#errors-many-none").click()
    items.first.locator(".error-select").check()
    page.locator("#errors-many-resolve").click()
    expect(items).to_have_count(3)
    wait_out_double_click(page)
    page.locator("#errors-all-button").click()
    page.locator("#errors-all-resolve").click()
    expect(items).to_have_count(0)
    page.goto(f"{site.url}/errors?state=resolved")
    expect(items.first).to_contain_text("Resolved")
