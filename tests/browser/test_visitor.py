"""The watch over the pages itself: what a page complains about is noticed."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.sync_api import Browser

from tests.browser.controls import Account
from tests.browser.visitor import Visitor
from tests.support import RunningServer, wait_until

_ADD_BUTTON = """(job) => {
  const button = document.createElement("button");
  button.id = `job-${job}-dry-run-top`;
  button.setAttribute("formaction", `/jobs/${job}/dry-run`);
  button.textContent = "Dry run";
  document.querySelector("main").append(button);
}"""


def test_complaints_of_a_page_are_noticed(server: RunningServer, browser: Browser) -> None:
    visitor = Visitor(browser)
    page = visitor.open(f"{server.url}/")
    assert visitor.problems == []
    page.evaluate("() => console.error('said aloud')")
    page.evaluate("() => { setTimeout(() => { throw new Error('thrown'); }); }")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = 1";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<p style='color: red'>red</p>");
        }"""
    )

    def has_complained(text: str) -> bool:
        page.title()  # Playwright handles what has come from the page.
        return any(text in problem for problem in visitor.problems)

    for text in ("said aloud", "uncaught: thrown", "policy violated: script", "violated: style"):
        wait_until(partial(has_complained, text), what=f"{text!r}")
    assert page.evaluate("() => window.ran") is None
    visitor.allow("said aloud|thrown|policy|Content Security Policy|Applying inline|Executing")
    assert visitor.problems == []
    visitor.close()


@pytest.mark.parametrize("job_id", ["photos-1a2b", "photos-abcd"])
def test_a_control_is_one_kind_whatever_the_id_of_its_job_looks_like(
    server: RunningServer, visitor: Visitor, job_id: str
) -> None:
    account = Account(())
    page = visitor.open(f"{server.url}/", before=account.follow)
    page.evaluate(_ADD_BUTTON, job_id)

    def is_seen() -> bool:
        page.title()  # Playwright handles what has come from the page.
        return "#job-*-dry-run-top" in account.unused({})

    wait_until(is_seen, what="the button")
    assert not [name for name in account.unused({}) if job_id in name]
