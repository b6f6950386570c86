"""Measures a page as it stands: is anything cut off, does anything overlap, does anything move."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
_SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_HIGH = 6_000
"""Cards that are not in sight are not laid out: all of them are."""


def set_width(page: Page, width: int) -> None:
    """Give the page so much room, and wait until it has settled in it."""
    page.set_viewport_size({"width": width, "height": _HIGH})
    page.evaluate(_SETTLED)


def set_size_of_text(page: Page, pixels: int) -> None:
    """Set the size of text as a person does in the settings of the browser."""
    session = page.context.new_cdp_session(page)
    session.send("Page.setFontSizes", {"fontSizes": {"standard": pixels, "fixed": pixels}})
    page.evaluate(_SETTLED)
    found = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert found == pixels, "the browser did not take it over"


def misfits(page: Page) -> list[str]:
    """Return what does not fit on the page: too wide, cut off, or one upon the other."""
    return _ask(page, "tooWide", "cutOff", "overlaps")


def movements(page: Page) -> list[str]:
    """Return what moves or would move, with every button at work and the connection lost."""
    _ask(page, "setToWork")
    return _ask(page, "movements")


def faults_on_paper(page: Page) -> list[str]:
    """Return what is wrong with a page as it would be printed, in its scheme and width."""
    page.emulate_media(media="print")
    found = _ask(page, "onPaper", "tooWide")
    page.emulate_media(media="screen")
    return found


def _ask(page: Page, *measures: str) -> list[str]:
    page.evaluate(_SCRIPT)
    return [fault for name in measures for fault in page.evaluate(f"measures.{name}()") or ()]
