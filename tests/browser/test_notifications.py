"""Proves that notification rules are made, tested, changed and deleted by people, that an address
is never shown again, and that all of it works without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, expect_live, wait_out_double_click
from tests.fakes.receivers import WebReceiver, a_web_receiver
from tests.support import RunningServer, wait_until

SECRET = "n0t-to-be-shown"
PAGE = "/settings/notifications"


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with a_web_receiver() as receiver:
        yield receiver


def fill(page: Page, name: str, address: str) -> None:
    page.locator("#field-name").fill(name)
    page.locator("#field-target").fill(name)
    page.locator("#field-address").fill(address)


@pytest.mark.long
def test_a_rule_is_made_tested_changed_and_deleted(
    server: RunningServer, visitor: Visitor, web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    visitor.allow(r"status of 422")
    page = visitor.open(f"{server.url}/settings")
    page.locator("#to-notifications").click()
    faults = {"empty": faults_of(page)}
    page.locator("#rule-new").click()
    expect_live(page)
    fill(page, "hook", f"syslog://{SECRET}")
    page.locator("#field-title").fill("{secret}")
    page.locator("#field-body").fill("{event} {message}")
    page.locator("#field-digest_seconds").fill("0")
    page.locator("#rule-save").click()
    expect(page.locator("#error-summary")).to_be_focused()
    expect(page.locator("#address-error")).to_contain_text("stays on this machine")
    expect(page.locator("#field-body")).to_have_value("{event} {message}")
    assert SECRET not in page.content()
    faults["refused"] = faults_of(page)

    page.locator("#field-title").fill("{event} of {job_name}")
    page.locator("#field-address").fill(f"json://127.0.0.1:{web.port}/{SECRET}")
    wait_out_double_click(page)
    page.locator("#rule-save").click()
    rule = page.locator("#rule-hook")
    expect(rule).to_contain_text("json://…")
    expect(rule).to_contain_text("Run failed, Run interrupted, Job overdue, Error from high on")
    assert SECRET not in page.content()
    page.locator("#test-hook").click()
    expect(page.locator("#tested-hook")).to_contain_text("The test arrived.")
    assert json.loads(web.requests[0].body)["title"] == "Test of Longshore"
    web.status = 500
    wait_out_double_click(page)
    page.locator("#test-hook").click()
    expect(page.locator("#tested-hook")).to_contain_text("It answered with the status 500.")

    web.status = 200
    source = tmp_path / "source"
    source.mkdir()
    job_id = server.create_job(source, tmp_path / "copy", name="Photos")
    source.rmdir()
    server.wait_for_end(server.start_job(job_id))
    delivery = page.locator("#deliveries .delivery")
    expect(delivery).to_contain_text("Run failed of Photos", timeout=40_000)
    expect(delivery).to_contain_text("Sent", timeout=40_000)
    faults["used"] = faults_of(page)

    page.locator("#edit-hook").click()
    expect(page.locator("#field-address")).to_have_value("")
    expect(page.locator("#address-help")).to_contain_text("json://")
    page.locator("#field-jobs").fill("Photos")
    page.locator("#event-run_completed").check()
    faults["form"] = faults_of(page)
    page.locator("#rule-save").click()
    expect(rule).to_contain_text("Run completed, Job overdue, Error from high on: Photos")
    page.locator("#edit-hook").click()
    expect(page.locator("#field-jobs")).to_have_value(job_id)
    page.locator("#rule-delete").click()
    expect(page.locator("#delete-form")).to_contain_text("forgets the rule hook")
    faults["delete"] = faults_of(page)
    page.locator("#delete-button").click()
    expect(page.locator("#rule-hook")).to_have_count(0)
    assert not {state: found for state, found in faults.items() if found}


def test_it_works_without_javascript(
    server: RunningServer, visitor: Visitor, web: WebReceiver
) -> None:
    page = visitor.open(f"{server.url}{PAGE}/new", script=False)
    fill(page, "hook", f"json://127.0.0.1:{web.port}/{SECRET}")
    page.locator("#rule-save").click()
    expect(page.locator("#rule-hook")).to_be_visible()
    page.locator("#test-hook").click()
    expect(page.locator("#tested-hook")).to_contain_text("The test arrived.")
    wait_until(lambda: web.requests)
    page.locator("#edit-hook").click()
    edited = visitor.open(page.url, script=False)
    edited.locator("#field-enabled").uncheck()
    edited.locator("#rule-save").click()
    expect(edited.locator("#rule-hook")).to_contain_text("off")
    page.locator("#field-tags").fill("mine")
    visitor.allow(r"status of 412")
    page.locator("#rule-save").click()
    expect(page.locator("#form-conflict")).to_be_visible()
    page.locator("#rule-save").click()
    expect(page.locator("#rule-hook")).to_contain_text("tag mine")
    page.locator("#edit-hook").click()
    page.locator("#rule-delete").click()
    page.get_by_role("link", name="Keep it").click()
    page.locator("#rule-delete").click()
    page.locator("#delete-button").click()
    expect(page.locator("#rule-hook")).to_have_count(0)
