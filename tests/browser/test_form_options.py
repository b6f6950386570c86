"""The folded options of the job form, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, job_id_of, wait_out_double_click
from tests.support import RunningServer


def test_options_are_set_and_stored(server: RunningServer, visitor: Visitor, room: Path) -> None:
    visitor.allow("status of 422")
    (room / "from").mkdir()
    page = visitor.open(f"{server.url}/jobs/new")
    page.locator("#field-name").fill("With options")
    page.locator("#field-source").fill(str(room / "from"))
    page.locator("#field-destination").fill(str(room / "to"))
    for section in ("rsync", "retries"):
        page.locator(f"#section-{section} > summary").click()
    page.locator("#field-hard_links").check()
    page.locator("#field-retry_max_attempts").fill("many")
    page.locator("#section-retries > summary").click()

    page.locator("#job-form-submit").click()
    expect(page.locator("#field-retry_max_attempts")).to_be_visible()
    expect(page.locator("#retry_max_attempts-error")).to_be_visible()
    assert faults_of(page) == []

    page.locator("#field-retry_max_attempts").fill("3")
    wait_out_double_click(page)
    page.locator("#job-form-submit").click()
    job_id_of(page)
    (job,) = server.jobs()
    assert job["options"]["hard_links"] is True
    assert job["retry"]["max_attempts"] == 3
