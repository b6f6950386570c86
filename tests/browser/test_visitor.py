"""The watch over the pages itself: what a page complains about is noticed."""

from __future__ import annotations

from functools import partial

from playwright.sync_api import Browser

from tests.browser.visitor import Visitor
from tests.support import RunningServer, wait_until


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
        wait_until(partial(has_complained, text), seconds=5, what=f"{text!r}")
    assert page.evaluate("() => window.ran") is None
    visitor.allow("said aloud|thrown|policy|Content Security Policy|Applying inline|Executing")
    assert visitor.problems == []
    visitor.close()
