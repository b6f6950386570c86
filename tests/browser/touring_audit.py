"""The part of a visit to every control that goes through the audit log."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.lived_in import LivedIn
from tests.browser.visitor import expect_live
from tests.support import wait_until

_MANY = 60
"""More than one page of the list."""


def tour_of_the_audit_log(page: Page, site: LivedIn) -> None:
    """Who did what: found, opened and exported."""
    _do_something(site)
    page.goto(f"{site.url}/settings")
    page.locator("#to-audit").click()
    page.wait_for_url(f"{site.url}/audit")
    expect_live(page)
    page.locator("#audit-older").click()
    page.wait_for_url(re.compile("cursor="))
    page.locator(".crumbs a").click()
    page.go_back()
    page.go_back()
    for name in ("csv", "json"):
        with page.expect_download():
            page.locator(f"#audit-export-{name}").click()
    page.locator("#audit-account").select_option("owner")
    page.locator("#audit-within").select_option("hour")
    page.locator("#audit-action").select_option("job_edited")
    expect(page.locator(".audit-entry .audit-action").first).to_have_text("Job edited")
    page.wait_for_url(re.compile("action=job_edited"))
    page.locator(".audit-entry summary").first.click()
    expect(page.locator(".audit-entry details .audit-facts").first).to_be_visible()
    page.locator("#audit-action").select_option("job_started")
    page.wait_for_url(re.compile("action=job_started"))
    for link in (".audit-what a:not(.audit-run)", ".audit-run"):
        page.locator(link).first.click()
        page.wait_for_url(re.compile("/(jobs|runs)/"))
        page.go_back()
    page.locator("#audit-q").fill("nothing says so")
    page.locator("#audit-none a").click()
    page.wait_for_url(f"{site.url}/audit")
    page.goto(f"{site.url}/jobs/{site.jobs['completed']}")
    page.locator("#job-audit").click()
    expect(page.locator("#audit-job")).to_have_value(site.jobs["completed"])
    page.locator("#audit-job").select_option("")
    page.wait_for_url(re.compile("job=(&|$)"))


def _do_something(site: LivedIn) -> None:
    """Fill more than one page, and change so much of a job that not all of it is shown at once."""
    http = site.server.http
    path = f"/api/v1/jobs/{site.jobs['completed']}"
    document = http.get(path).json()
    for number in range(_MANY):
        version = {"If-Match": f'"{document["version"]}"'}
        tags = {"tags": ["weekly", f"n{number % 2}"]}
        answer = http.put(path, json={**document, **tags}, headers=version)
        assert answer.status_code == 200, answer.text
        document = answer.json()
    job = http.get(path)
    options = {
        "acls": True,
        "bandwidth_limit": "10M",
        "exclude": ["*.tmp"],
        "hard_links": True,
        "include": ["keep.tmp"],
        "keep_replaced": True,
        "timeout_seconds": 100,
        "xattrs": True,
    }
    document = job.json()
    changed = {**document, "options": {**document["options"], **options}}
    answer = http.put(path, json=changed, headers={"If-Match": job.headers["ETag"]})
    assert answer.status_code == 200, answer.text

    def is_known() -> bool:
        return bool(http.get("/api/v1/audit?action=job_edited").json()["total"] >= _MANY)

    wait_until(is_known, what="the entries")
