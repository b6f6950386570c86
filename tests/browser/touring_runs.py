"""Clicks on the pages of runs and in their logs, for `test_click_through`."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.lived_in import LivedIn
from tests.browser.visitor import expect_live, expect_status


def tour_of_runs(page: Page, site: LivedIn) -> None:
    """The history, and what each kind of run tells."""
    page.goto(f"{site.url}/runs")
    page.locator("#runs-q").fill("nothing is called so")
    page.get_by_role("link", name="Show every run").click()
    page.wait_for_url(f"{site.url}/runs")
    page.locator("#runs-outcome").select_option("failed")
    expect(page).to_have_url(re.compile("outcome=failed"))
    page.goto(f"{site.url}/runs")
    page.get_by_role("link", name="Older runs").click()
    page.locator(".run-job a").first.click()
    page.wait_for_url(re.compile("/jobs/"))
    _failed_files(page, site)
    _planned_changes(page, site)
    _deleted_sources(page, site)
    _log(page, f"{site.url}/runs/{site.runs['completed']}")
    _live_run(page, site)


def _failed_files(page: Page, site: LivedIn) -> None:
    address = f"{site.url}/runs/{site.runs['failed']}"
    page.goto(address)
    page.locator("#failures-q").fill("nothing is called so")
    page.get_by_role("link", name="Show all of them").click()
    page.get_by_role("link", name="More files").click()
    page.get_by_role("link", name="More special files").click()
    page.goto(address)
    page.locator("#retry-failed").click()
    page.get_by_role("link", name="Show that run").click()
    page.wait_for_url(address)


def _planned_changes(page: Page, site: LivedIn) -> None:
    page.goto(f"{site.url}/runs/{site.runs['planned']}")
    for tab in page.locator(".preview-tab").all():
        tab.click()
        expect(tab).to_have_attribute("aria-current", "true")
    page.locator("#preview-tab-create").click()
    page.locator("#preview-next").click()
    page.locator("#preview-first").click()
    page.locator("#preview-q").fill("nothing is called so")
    page.locator("#preview-none a").click()


def _deleted_sources(page: Page, site: LivedIn) -> None:
    page.goto(f"{site.url}/runs/{site.runs['deleting']}")
    page.locator("#deletions-next").click()
    page.locator("#deletions-first").click()
    page.locator("#deletions-q").fill("nothing is called so")
    page.locator("#deletions-none a").click()
    page.locator("#put-back").click()
    expect(page.locator("#deletions-counts")).to_contain_text("were put back")


def _log(page: Page, address: str) -> None:
    page.goto(address)
    page.locator("#log-alone").click()
    page.wait_for_url(f"{address}/log")
    for button in ("start", "later", "earlier", "end"):
        page.locator(f"#log-{button}").click()
        expect(page.locator("#log-view:not([aria-busy])")).to_be_visible()
    about = page.locator("#log-about")
    page.locator("#log-q").fill("file-00007")
    expect(about).to_contain_text("Hit 1 of")
    page.locator("#log-next").click()
    expect(about).to_contain_text("Hit 2 of")
    page.locator("#log-previous").click()
    expect(about).to_contain_text("Hit 1 of")
    page.locator("#log-only").check()
    expect(about).to_contain_text("lines")
    page.locator("#log-level").select_option("error")
    expect(page.locator("#log-empty")).to_be_visible()
    with page.expect_download():
        page.locator("#log-download").click()
    page.locator(".crumbs a").last.click()
    page.wait_for_url(address)


def _live_run(page: Page, site: LivedIn) -> None:
    run_id = site.runs["running"]
    page.goto(f"{site.url}/runs/{run_id}/figures")
    page.locator(".crumbs a").last.click()
    expect_live(page)
    page.locator("#throughput-table > summary").click()
    expect(page.locator("#figures")).to_be_visible()
    page.locator("#log-follow").uncheck()
    page.locator("#log-follow").check()
    page.locator(f"#run-{run_id}-button").click()
    expect_status(page.locator(".run-head"), "paused")
    page.locator(".topbar").get_by_role("link", name="Job").click()
    page.wait_for_url(re.compile("/jobs/"))
