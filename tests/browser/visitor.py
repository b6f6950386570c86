"""A person with a browser: opens pages and takes note of everything that a page complains about."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    BrowserType,
    ConsoleMessage,
    Error,
    HttpCredentials,
    Locator,
    Page,
    expect,
)

from tests.conftest import CHROMIUM_NAMES

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PHONE = 390
DESK = 1280
_WAIT_MS = 30_000
_DOUBLE_CLICK_MS = 650
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`));
"""
expect.set_options(timeout=_WAIT_MS)
_SILENCE_MS = 25_000
"""How long a page waits for the next frame before it gives its WebSocket up (live.js)."""
_ANSWER_MS = 60_000
"""How long htmx waits for an answer."""


def fast_timers(factor: int, *, kept: Iterable[int] = (_SILENCE_MS,)) -> str:
    """Return a script after which the delays of a page are shorter by a factor: its attempts to
    connect take minutes. How long it waits for others stays: a busy machine would seem broken."""
    stay = json.dumps([*kept, _ANSWER_MS])
    return f"""{{
      const real = window.setTimeout;
      window.setTimeout = (work, delay = 0, ...rest) =>
        real(work, {stay}.includes(delay) ? delay : delay / {factor}, ...rest);
    }}"""


def chromium_path() -> str | None:
    """Return where the system's Chromium is, or None."""
    return next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)


def launch(chromium: BrowserType) -> Browser:
    """Start the system's Chromium."""
    return chromium.launch(
        executable_path=chromium_path(), args=list(FLAGS), chromium_sandbox=False, timeout=60_000
    )


class Visitor:
    """Opens pages, each in a context of its own; `problems` is what they complained about."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._allowed: list[re.Pattern[str]] = []
        self._problems: list[str] = []

    @property
    def problems(self) -> list[str]:
        """Return console errors, uncaught exceptions and CSP violations that were not allowed."""
        return [
            problem
            for problem in self._problems
            if not any(pattern.search(problem) for pattern in self._allowed)
        ]

    def allow(self, pattern: str) -> None:
        """Expect such a complaint: the error is the point of the test."""
        self._allowed.append(re.compile(pattern))

    def open(
        self,
        url: str,
        *,
        width: int = DESK,
        height: int = 900,
        dark: bool = False,
        script: bool = True,
        zone: str | None = None,
        before: Callable[[Page], object] | None = None,
        credentials: HttpCredentials | None = None,
        policed: bool = True,
    ) -> Page:
        """Open a page in a new context; `before` runs on the page before it loads. Where it is not
        `policed`, scripts run whatever the policy of the page says."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            timezone_id=zone,
            reduced_motion="reduce",
            http_credentials=credentials,
            bypass_csp=not policed,
        )
        context.set_default_timeout(_WAIT_MS)
        context.add_init_script(_REPORT_VIOLATIONS)
        self._contexts.append(context)
        return self.another_tab(context, url, before)

    def another_tab(
        self,
        context: BrowserContext,
        url: str,
        before: Callable[[Page], object] | None = None,
    ) -> Page:
        """Open one more page in a context."""
        page = context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", self._on_exception)
        if before is not None:
            before(page)
        page.goto(url)
        return page

    def close(self) -> None:
        """Close every page."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._problems.append(f"{message.text} ({message.location.get('url', '')})")

    def _on_exception(self, error: Error) -> None:
        self._problems.append(f"uncaught: {error}")


def card(page: Page, job_id: str) -> Locator:
    """Return a job's card."""
    return page.locator(f"#job-{job_id}")


def expect_status(locator: Locator, status: str, *, seconds: float = 30) -> None:
    """Wait until a card or a run's head has a status."""
    expect(locator).to_have_attribute("data-status", status, timeout=seconds * 1000)


def expect_live(page: Page, *, seconds: float = 30) -> None:
    """Wait until the page is connected."""
    indicator = page.locator("#live-indicator")
    expect(indicator).to_have_attribute("data-state", "live", timeout=seconds * 1000)


def job_id_of(page: Page) -> str:
    """Return the job whose page this is, after the redirect that follows the form."""
    page.wait_for_url(re.compile(r"/jobs/(?!new$)[a-z0-9-]+$"))
    return urlsplit(page.url).path.rpartition("/")[2]


def wait_out_double_click(page: Page) -> None:
    """Wait until ui.js no longer takes a click for the second half of a double click (600 ms)."""
    page.wait_for_timeout(_DOUBLE_CLICK_MS)


def mark(page: Page) -> None:
    """Mark the document, so that `is_same_document` notices a reload."""
    page.evaluate("() => { window.markOfThisTest = true; }")


def is_same_document(page: Page) -> bool:
    """Whether the page has not been loaded anew since `mark`."""
    return bool(page.evaluate("() => window.markOfThisTest === true"))


def collect_texts(page: Page, selector: str) -> None:
    """Collect from now on every text that an element shows, also when it is replaced."""
    page.evaluate(
        """(selector) => {
          window.collectedTexts = [];
          const look = () => {
            const text = document.querySelector(selector)?.textContent.trim();
            if (text && text !== window.collectedTexts.at(-1)) window.collectedTexts.push(text);
          };
          new MutationObserver(look).observe(document.body,
            {subtree: true, childList: true, characterData: true});
          look();
        }""",
        selector,
    )


def collected_texts(page: Page) -> list[str]:
    """Return what `collect_texts` has seen, in order, without repetitions in a row."""
    texts: list[str] = page.evaluate("() => window.collectedTexts")
    return texts


def value_of(page: Page, expression: str, argument: Any = None) -> Any:
    """Return the value of an expression in the page, through the devtools (no CSP applies)."""
    return page.evaluate(expression, argument)
