"""Proves that a page which does not escape what it shows is caught, with each of the payloads."""

from __future__ import annotations

from jinja2 import Environment
from playwright.sync_api import Page, Route

from tests.browser.payloads import COUNT, PAYLOADS, Home, Payload
from tests.browser.snare import Snare
from tests.browser.visitor import Visitor
from tests.support import PROJECT_ROOT

HTMX = PROJECT_ROOT / "fastapi_app" / "static" / "vendor" / "htmx.min.js"
CONTROL = "http://control.test"
BY_THEMSELVES = 36
"""So many of them run in a careless page at once; others need a click, or are there to be found."""


def careless_page(payload: Payload) -> str:
    """Return a page that takes a payload for a part of itself."""
    body = payload.home.value.replace("{}", "" if payload.home is Home.SWAP else payload.text)
    if payload.home is Home.TEMPLATE:
        body = Environment(autoescape=True).from_string(body).render()
    head = "<!doctype html><meta charset=utf-8>"
    if "hx-" in payload.text:
        head += "<script src=/htmx.js></script>"
    return f"{head}<body>{body}<a href='/'>x</a></body>".encode("utf-8", "replace").decode()


def test_a_page_that_does_not_escape_is_caught(visitor: Visitor) -> None:
    assert len({payload.text for payload in PAYLOADS}) == COUNT
    visitor.allow("")
    pages = {f"/{one.number}": careless_page(one) for one in PAYLOADS}
    pages["/swapped"] = "".join(one.text for one in PAYLOADS if one.home is Home.SWAP)
    snare = Snare()

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(CONTROL)
        if path == "/htmx.js":
            route.fulfill(path=HTMX)
        else:
            status = 200 if path in pages else 404
            route.fulfill(body=pages.get(path, "-"), status=status, content_type="text/html")

    def before(page: Page) -> None:
        page.route(f"{CONTROL}/**", serve)
        snare.follow(page)

    page = visitor.open(f"{CONTROL}/0", before=before)
    for payload in PAYLOADS:
        page.goto(f"{CONTROL}/{payload.number}", wait_until="commit")
        snare.settle(page)
    assert snare.caught - {0} == {one.number for one in PAYLOADS if not one.is_inert}
    assert len(snare.ran) >= BY_THEMSELVES
