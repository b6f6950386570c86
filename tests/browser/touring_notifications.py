"""The part of a visit to every control that goes through the rules of notifications."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.lived_in import LivedIn
from tests.browser.visitor import expect_live, wait_out_double_click


def tour_of_notifications(page: Page, site: LivedIn) -> None:
    """A rule is refused, made, tested, changed and deleted."""
    page.goto(f"{site.url}/settings")
    page.locator("#to-notifications").click()
    page.locator("#rule-new").click()
    expect_live(page)
    page.get_by_role("link", name="Cancel").click()
    page.locator("#rule-new").click()
    page.locator(".crumbs").get_by_role("link", name="Notifications").click()
    page.locator("#rule-new").click()
    for field in page.locator("#rule-form input[type=text], #rule-form textarea").all():
        before = field.input_value()
        field.fill("1")
        field.fill(before)
    page.locator("#field-name").fill("tour")
    page.locator("#field-target").fill("tour")
    page.locator("#field-enabled").uncheck()
    page.locator("#field-minimum_severity").select_option("low")
    for box in page.locator("#field-events input").all():
        was = box.is_checked()
        box.set_checked(not was)
        box.set_checked(was)
    page.locator("#rule-save").click()
    expect(page.locator("#error-summary")).to_be_focused()
    page.locator("#error-summary a").first.click()
    # A closed port: it is said at once that nothing arrives there.
    page.locator("#field-address").fill("json://127.0.0.1:1/tour")
    wait_out_double_click(page)
    page.locator("#rule-save").click()
    page.locator("#test-tour").click()
    expect(page.locator("#tested-tour")).to_contain_text("It cannot be reached.")
    page.locator("#rule-tour .rule-name a").click()
    page.go_back()
    page.locator("#edit-tour").click()
    page.locator("#rule-save").click()
    page.locator("#edit-tour").click()
    page.locator("#rule-delete").click()
    page.get_by_role("link", name="Keep it").click()
    page.locator("#rule-delete").click()
    page.locator(".crumbs").get_by_role("link", name="tour").click()
    page.locator("#rule-delete").click()
    expect_live(page)
    wait_out_double_click(page)
    page.locator("#delete-button").click()
    expect(page.locator("#rule-tour")).to_have_count(0)
