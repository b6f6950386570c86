"""The tour through accounts, tokens, signing in and out, on a server that has no password yet."""

from __future__ import annotations

import os
import re

from playwright.sync_api import Page, expect

from tests.browser.visitor import expect_live
from tests.integration.access_server import bear_local_token
from tests.support import RunningServer

_PASSWORD = "seven cranes at the quay"
_OTHER = "eight cranes at the quay"


def tour_of_access(page: Page, server: RunningServer) -> None:
    """Set the first password, make and remove what can be made, sign out and in."""
    bear_local_token(server)
    page.goto(f"{server.url}/settings/access")
    page.get_by_role("link", name="Set the first password").click()
    page.goto(f"{server.url}/jobs")
    page.locator("#to-own-account").click()
    _first_password(page, server)
    _own_account(page)
    page.goto(f"{server.url}/settings/access")
    page.locator("#to-account").click()
    page.go_back()
    _tokens(page)
    _accounts(page)
    page.locator("#sign-out").click()
    page.wait_for_url("**/sign-in")
    page.goto(f"{server.url}/jobs/nobody")
    page.wait_for_url("**/sign-in?next=*")
    _sign_in(page, _OTHER)
    page.wait_for_url(f"{server.url}/jobs/nobody")
    page.goto(f"{server.url}/account")
    page.locator("#account-sign-out").click()
    page.goto(f"{server.url}/nothing")
    page.get_by_role("link", name="Sign in").click()
    _sign_in(page, _OTHER)
    expect_live(page)


def code_of(server: RunningServer) -> str:
    """Return the code for the first password, which the start has printed."""
    assert server.process is not None
    assert server.process.stdout is not None
    told = ""
    while (found := re.search(r" with the code (\w+)", told)) is None:
        told += os.read(server.process.stdout.fileno(), 4096).decode()
    return found[1]


def _tokens(page: Page) -> None:
    page.locator("#field-token_name").fill("no name!")
    page.locator("#token-make").click()
    expect(page.locator("#token_name-error")).to_be_visible()
    page.locator("#field-token_name").fill("scraper")
    page.locator("#field-token-role").select_option("operator")
    page.locator("#field-days").fill("30")
    page.locator("#token-make").click()
    expect(page.locator("#token-text")).to_be_visible()
    page.get_by_role("link", name="Revoke scraper").click()
    page.locator(".crumbs a").last.click()
    page.get_by_role("link", name="Revoke scraper").click()
    page.locator("#remove-not").click()
    page.get_by_role("link", name="Revoke scraper").click()
    page.locator("#remove-button").click()
    page.wait_for_url("**/settings/access")
    expect(page.get_by_role("link", name="Revoke scraper")).to_have_count(0)


def _first_password(page: Page, server: RunningServer) -> None:
    page.locator("#field-name").fill("anna")
    page.locator("#field-password").fill(_PASSWORD)
    page.locator("#field-again").fill(_PASSWORD)
    page.locator("#field-code").fill("guessed")
    page.locator("#first-save").click()
    expect(page.locator("#code-error")).to_be_visible()
    page.locator("#field-code").fill(code_of(server))
    page.locator("#field-password").fill(_PASSWORD)
    page.locator("#field-again").fill(_PASSWORD)
    page.locator("#first-save").click()
    expect(page.get_by_role("status").filter(has_text="The account is made")).to_be_visible()


def _own_account(page: Page) -> None:
    page.locator("#field-old").fill("not this one")
    page.locator("#field-password").fill(_OTHER)
    page.locator("#field-again").fill(_OTHER)
    page.locator("#password-save").click()
    expect(page.locator("#old-error")).to_be_visible()
    page.locator("#field-old").fill(_PASSWORD)
    page.locator("#field-password").fill(_OTHER)
    page.locator("#field-again").fill(_OTHER)
    page.locator("#password-save").click()
    expect(page.get_by_role("status").filter(has_text="is changed")).to_be_visible()
    # Another browser of the same account, which this one ends.
    another = page.context.browser
    assert another is not None
    context = another.new_context()
    elsewhere = context.new_page()
    elsewhere.goto(page.url)
    _sign_in(elsewhere, _OTHER)
    elsewhere.wait_for_url("**/account*")
    page.goto(page.url)
    page.locator("#sessions-end").click()
    expect(page.locator("#sessions-end")).to_have_count(0)
    elsewhere.goto(page.url)
    elsewhere.wait_for_url("**/sign-in*")
    context.close()


def _accounts(page: Page) -> None:
    page.locator("#account-form #field-name").fill("bo")
    page.locator("#field-role").select_option("viewer")
    page.locator("#account-form #field-password").fill(_PASSWORD)
    page.locator("#account-save").click()
    page.get_by_role("link", name="Remove bo").click()
    page.locator("#remove-button").click()
    page.wait_for_url("**/settings/access")
    expect(page.get_by_role("link", name="Remove bo")).to_have_count(0)
    page.get_by_role("link", name="Remove anna").click()
    expect(page.locator("#remove-fault")).to_contain_text("must stay one")
    page.locator("#remove-not").click()


def _sign_in(page: Page, password: str) -> None:
    page.locator("#field-name").fill("anna")
    page.locator("#field-password").fill(password)
    page.locator("#sign-in-button").click()
