"""What updates cost a browser: the main thread for each batch, and how long a change is under way
from the server, or from a runner's journal, to the page."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.benchmarks import runs
from tests.benchmarks.table import Row, row
from tests.browser.busy import Batches, busy_server
from tests.browser.visitor import DESK, expect_live, launch
from tests.support import RunningServer

CARDS = (200, 1000)
RUNNING = 50
AIMS_MS = {200: 30.0, 1000: 35.0}
P50_AIM_MS, P99_AIM_MS = 15.0, 60.0
JOURNAL_P50_AIM_MS, JOURNAL_P99_AIM_MS = 120.0, 250.0
_BATCHES, _WARM = 100, 20
_WINDOW_MS = 10_000
# Looks at the moment that stands in the changed texts: digits of milliseconds.
_OBSERVE = r"""
() => {
  window.agesOfTest = [];
  const look = (records) => {
    const now = performance.timeOrigin + performance.now();
    for (const { target } of records) {
      const element = target.parentElement?.closest("[data-live=current_file]")
        ?? target.closest?.("[data-live=current_file]");
      const stamp = element?.textContent.match(/\d{13}(\.\d)?/)?.[0];
      if (stamp) window.agesOfTest.push(now - Number(stamp));
    }
  };
  new MutationObserver(look).observe(document.getElementById("job-list"),
    {subtree: true, childList: true, characterData: true});
}
"""
# The least that a page can do with the same frames: texts of elements that it knows.
_PLAIN = """
() => new Promise((done) => {
  const url = new URL(document.querySelector("meta[name=longshore-ws]").content, location.href);
  url.protocol = "ws:";
  url.searchParams.set("cursor", document.querySelector("meta[name=longshore-cursor]").content);
  const socket = new WebSocket(url);
  const known = new Map([...document.querySelectorAll("[data-job-id]")].map((card) =>
    [card.dataset.jobId, [...card.querySelectorAll("span[data-live]")]]));
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.t === "hello") {
      socket.send(JSON.stringify({ subscribe: [...known.keys()] }));
      done();
    }
    if (frame.t !== "update") return;
    for (const [id, values] of frame.set)
      for (const element of known.get(id) ?? []) element.textContent = values[element.dataset.live];
    socket.send(JSON.stringify({ ack: frame.seq }));
  };
})
"""


def changing_cards() -> list[Row]:
    """Pages of 200 and 1,000 cards, 50 of which change ten times a second, beside a page that does
    nothing but set texts."""
    rows = []
    for cards in CARDS:
        program = ("-m", "tests.benchmarks.stamped_server", str(cards))
        with (
            TemporaryDirectory() as name,
            busy_server(Path(name) / "data", jobs=cards, running=RUNNING, program=program) as (
                server,
                batches,
            ),
            _chromium() as browser,
        ):
            _write(batches, 1)
            thread, ages = _measure(_live_page(browser, server, cards), batches)
            plain_thread, plain_ages = _measure(_plain_page(browser, server), batches)
        what = f"{cards} cards, {RUNNING} changing ten times a second"
        rows.append(
            row(
                f"{what}: main thread per batch",
                thread,
                "ms",
                reference=plain_thread,
                aim=f"at most {AIMS_MS[cards]:.0f} ms (reference: plain text patches)",
            )
        )
        for place, aim in ((50, P50_AIM_MS), (99, P99_AIM_MS)):
            rows.append(
                row(
                    f"{what}: server to DOM, p{place}",
                    _percentile(ages, place),
                    "ms",
                    reference=_percentile(plain_ages, place),
                    aim=f"at most {aim:.0f} ms at 200 (reference: plain text patches)",
                )
            )
    return rows


def journal_to_page() -> list[Row]:
    """From a runner's write to the page, with a hundred live runs."""
    with TemporaryDirectory() as name:
        data_dir = Path(name) / "data"
        asyncio.run(runs.fill(data_dir, runs.LIVE_RUNS, running=runs.LIVE_RUNS))
        with (
            runs.runners(data_dir),
            runs.served(RunningServer(data_dir)) as server,
            _chromium() as browser,
        ):
            page = _live_page(browser, server, runs.LIVE_RUNS, path=f"/jobs?limit={runs.LIVE_RUNS}")
            page.wait_for_timeout(_WINDOW_MS / 4)
            page.evaluate(_OBSERVE)
            page.wait_for_timeout(_WINDOW_MS)
            ages = _ages(page)
    expected = runs.LIVE_RUNS * runs.EVENTS_A_SECOND * _WINDOW_MS / 1000
    assert len(ages) > 0.8 * expected, len(ages)
    return [
        row(
            f"a runner's journal to DOM with {runs.LIVE_RUNS} live runs, p{place}",
            _percentile(ages, place),
            "ms",
            reference=aim,
            aim=f"at most {aim:.0f} ms (reference: the bound)",
        )
        for place, aim in ((50, JOURNAL_P50_AIM_MS), (99, JOURNAL_P99_AIM_MS))
    ]


def _measure(page: Page, batches: Batches) -> tuple[float, list[float]]:
    """Return the main thread's ms for each batch, and the ages of changes at the page."""
    _write(batches, _WARM)
    devtools = page.context.new_cdp_session(page)
    # What the thread itself computes: not what others keep it waiting.
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _task_seconds(devtools.send("Performance.getMetrics"))
    _write(batches, _BATCHES)
    page.wait_for_timeout(300)  # What the last batch leaves to be drawn.
    seconds = _task_seconds(devtools.send("Performance.getMetrics")) - before
    page.evaluate(_OBSERVE)
    _write(batches, _BATCHES)
    ages = _ages(page)
    page.context.close()
    assert len(ages) > 0.5 * _BATCHES * RUNNING, len(ages)
    return 1000 * seconds / _BATCHES, ages


def _task_seconds(answer: dict[str, Any]) -> float:
    return float(next(one["value"] for one in answer["metrics"] if one["name"] == "TaskDuration"))


def _live_page(browser: Browser, server: RunningServer, cards: int, path: str = "/") -> Page:
    page = _new_page(browser)
    page.goto(f"{server.url}{path}")
    expect_live(page)
    expect(page.locator("#job-list > article")).to_have_count(cards)
    return page


def _plain_page(browser: Browser, server: RunningServer) -> Page:
    page = _new_page(browser)
    page.route("**/static/js/*", lambda route: route.abort())
    page.goto(f"{server.url}/")
    page.evaluate(_PLAIN)
    return page


def _new_page(browser: Browser) -> Page:
    return browser.new_context(viewport={"width": DESK, "height": 900}).new_page()


def _write(batches: Batches, count: int) -> None:
    batches.begin(count)
    batches.end()


def _ages(page: Page) -> list[float]:
    found: list[float] = page.evaluate("() => window.agesOfTest")
    return found


@contextmanager
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        yield browser
        browser.close()


def _percentile(values: Sequence[float], place: int) -> float:
    return statistics.quantiles(values, n=100)[place - 1]


BENCHMARKS: tuple[Callable[[], list[Row]], ...] = (changing_cards, journal_to_page)
