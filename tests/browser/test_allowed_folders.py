"""Proves that the folder browser goes about the allowed folders and no further, and that a path
outside is said at its field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor
from tests.integration.running import ended_server
from tests.support import RunningServer

pytestmark = pytest.mark.browser


def test_the_form_stays_within_the_allowed_folders(visitor: Visitor, tmp_path: Path) -> None:
    photos, backup = tmp_path / "photos", tmp_path / "backup"
    (photos / "2026").mkdir(parents=True)
    (photos / "out").symlink_to("/etc")
    backup.mkdir()
    server = RunningServer(tmp_path / "data", LONGSHORE_ALLOWED_ROOTS=f"{photos}:{backup}")
    visitor.allow("status of 422")
    with ended_server(server):
        page = visitor.open(f"{server.url}/jobs/new")
        browser = page.locator("#browser-source")
        names = browser.locator(".browser-entry")
        page.locator("#browse-source").click()
        expect(names).to_have_text([str(photos), str(backup)])
        expect(browser.locator("[data-browser-use]")).to_have_count(0)
        assert faults_of(page) == []
        names.first.click()
        expect(browser.locator(".browser-path")).to_have_text(str(photos))
        expect(names).to_have_text(["2026"])
        assert faults_of(page) == []
        page.get_by_role("button", name="Up to the allowed folders").click()
        expect(browser.locator(".browser-path")).to_have_text("Allowed folders")
        names.first.click()
        names.first.click()
        page.locator("#browser-source [data-browser-use]").click()
        expect(page.locator("#field-source")).to_have_value(str(photos / "2026"))
        page.locator("#field-name").fill("A job")
        page.locator("#field-source").fill(str(photos / "out"))
        page.locator("#field-destination").fill("/etc/copy")
        page.locator("#job-form-submit").click()
        told = re.compile(re.escape(f"within the allowed folders ({photos}, {backup})"))
        expect(page.locator("#error-summary li")).to_have_text([told, told])
        expect(page.locator("#source-error")).to_contain_text(told)
