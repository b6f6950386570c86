"""Two hundred cards, fifty of which change every 100 ms: whatever a person does on five pages
survives a hundred of these batches, a server that is killed, and polling in between.

The source of change is the real server, which follows the journals of fifty runs (busy.py), and
one job whose runs are real from end to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.busy import Batches, busy_server
from tests.browser.test_live import _UNREACHABLE
from tests.browser.visitor import Visitor, card, expect_live, expect_status, value_of
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]
_JOBS, _RUNNING = 199, 50
_BATCHES, _FEW = 100, 10
# Ten attempts take four minutes: when the test says so, every delay but that of silence is shorter.
_PACE = """
{
  const real = window.setTimeout;
  const SILENCE_MS = 25_000;
  window.setTimeout = (work, delay = 0, ...rest) =>
    real(work, delay === SILENCE_MS ? delay : delay / (window.paceOfTest ?? 1), ...rest);
}
"""
# What a person has done to a page, and where the page stands.
_KEPT = """
(anchor) => {
  const active = document.activeElement;
  const selector = "input[id]:not([type=hidden]), textarea[id], select[id]";
  const fields = [...document.querySelectorAll(selector)];
  const value = (field) => (/checkbox|radio/.test(field.type) ? field.checked : field.value);
  return {
    focus: active.id,
    selection: active.matches("input, textarea") && !/checkbox|radio/.test(active.type)
      ? [active.selectionStart, active.selectionEnd, active.selectionDirection] : null,
    fields: Object.fromEntries(fields.map((field) => [field.id, value(field)])),
    open: [...document.querySelectorAll("details[open][id]")].map((details) =>
      [details.id, details.querySelector("tbody tr") !== null]),
    top: Math.round(anchor ? document.getElementById(anchor).getBoundingClientRect().top : scrollY),
    log: document.getElementById("log")?.scrollTop ?? null,
    isSameDocument: window.markOfThisTest === true,
  };
}
"""


class Tab:
    """One page with what was done to it; the anchor is what must not move on the screen."""

    def __init__(self, page: Page, anchor: str | None = None) -> None:
        self.page = page
        self._anchor = anchor
        page.evaluate("() => { window.markOfThisTest = true; }")
        self._before = self._look()

    def check(self) -> None:
        """Compare with what was done."""
        assert self._look() == self._before

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = value_of(self.page, _KEPT, self._anchor)
        return found


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[RunningServer, Batches]]:
    """The server and the writer of the fifty journals."""
    with busy_server(tmp_path / "data", jobs=_JOBS, running=_RUNNING) as both:
        yield both


@pytest.fixture
def real_job(busy: tuple[RunningServer, Batches], rsync: str, room: Path) -> Iterator[str]:
    """A job that has run once, and whose next run takes a minute; it is at rest at the end."""
    server, _ = busy
    source = make_tree(room / "from", files=2)
    job_id = server.create_job(
        source, room / "to", name="Very own", options={"bandwidth_limit": "512K"}
    )
    server.wait_for_end(server.start_job(job_id))
    make_large_file(source / "film.bin", megabytes=32)
    yield job_id
    _stop(server, job_id)


def _stop(server: RunningServer, job_id: str) -> None:
    server.http.post(f"/api/v1/jobs/{job_id}/stop")
    at_rest = {"paused", "completed", "interrupted"}
    wait_until(lambda: server.state(job_id)["status"] in at_rest, what="the stop")


def _cards(page: Page, job_id: str) -> Tab:
    """The open menu of the very card, far down, and what is unsent inside of another one."""
    page.evaluate(
        """() => {
          const card = document.getElementById("job-job-00004");
          for (const type of ["text", "checkbox"]) {
            const field = Object.assign(document.createElement("input"), {type, id: `in-${type}`});
            card.querySelector(".job-what").append(field);
          }
        }"""
    )
    page.locator("#in-text").fill("inside of a card")
    page.locator("#in-checkbox").check()
    page.locator("#job-job-00007-select").check()
    more = page.locator(f"#job-{job_id}-more")
    more.scroll_into_view_if_needed()
    more.click()
    expect(page.locator(f"#job-{job_id}-menu")).to_have_attribute("open", "")
    return Tab(page, f"job-{job_id}")


def _cards_without_fields(page: Page, job_id: str) -> Tab:
    """As a card that is replaced leaves it: it has no fields of its own."""
    page.evaluate(
        "() => { for (const id of ['in-text', 'in-checkbox'])"
        " document.getElementById(id)?.remove(); }"
    )
    return Tab(page, f"job-{job_id}")


def _jobs(page: Page) -> Tab:
    """A selection within what is searched for."""
    search = page.locator("#jobs-q")
    search.press_sequentially("Job 4")
    expect(page.locator("#results-heading")).to_contain_text("11 jobs")
    page.evaluate("() => document.getElementById('jobs-q').setSelectionRange(1, 3, 'backward')")
    return Tab(page)


def _form(page: Page) -> Tab:
    """Half a form, with the caret in the middle of a word."""
    page.locator("#field-delete_extraneous").check()
    page.locator("#field-engine-rclone").check()
    name = page.locator("#field-name")
    name.fill("Unsent words")
    name.focus()
    page.evaluate("() => document.getElementById('field-name').setSelectionRange(9, 9)")
    return Tab(page)


def _run(page: Page) -> Tab:
    """A search in the log, which stands at its hit, with a selection in the word."""
    search = page.locator("#log-q")
    search.press_sequentially("early line 150")
    expect(page.locator("#log-hit")).to_be_visible()
    page.wait_for_function("() => document.getElementById('log').scrollTop > 0")
    expect(page.locator("#log-follow")).not_to_be_checked()
    page.evaluate("() => document.getElementById('log-q').setSelectionRange(2, 4)")
    return Tab(page)


def _job(page: Page, job_id: str) -> Tab:
    """The page of the very job: details that were loaded, and the focus on its button."""
    page.locator("#job-figures-table > summary").click()
    expect(page.locator("#job-figures-table-content tbody tr")).to_have_count(1)
    page.locator(f"#job-{job_id}-button").focus()
    return Tab(page, f"job-{job_id}")


def test_what_a_person_does_survives(
    busy: tuple[RunningServer, Batches], real_job: str, visitor: Visitor
) -> None:
    server, batches = busy
    visitor.allow(_UNREACHABLE)

    def opened(path: str) -> Page:
        page = visitor.open(server.url + path, before=lambda page: page.add_init_script(_PACE))
        expect_live(page)
        return page

    # The first progress of a run is a change of its phase, which replaces its card.
    _write(batches, 1)
    overview = _cards(opened("/jobs?limit=200"), real_job)
    expect(overview.page.locator("#job-list > article")).to_have_count(_JOBS + 1)
    job = _job(opened(f"/jobs/{real_job}"), real_job)
    others = [
        _jobs(opened("/jobs")),
        _form(opened("/jobs/new")),
        _run(opened("/runs/run-00000")),
    ]
    showing = [(overview, 0), (overview, 49), (others[0], 40), (others[2], 0)]

    def check(first: Tab) -> None:
        for tab, number in ((first, 0), *showing[1:]):
            batches.expect_shown(tab.page, number)
        for tab in (first, job, *others):
            tab.check()

    def show_status(status: str) -> None:
        for tab in (overview, job):
            expect_status(card(tab.page, real_job), status)

    # A hundred batches, and new statuses of the very card.
    batches.begin(_BATCHES)
    server.start_job(real_job)
    show_status("running")
    _stop(server, real_job)
    show_status("paused")
    batches.end()
    check(overview)

    # A server that is killed and started.
    overview = _cards_without_fields(overview.page, real_job)
    tabs = [overview, job, *others]
    server.kill()
    _expect_states(tabs, "reconnecting")
    server.start()
    _expect_states(tabs, "live")
    _write(batches, _FEW)
    check(overview)

    # One that stays away, polling, and live again.
    server.kill()
    for tab in tabs:
        tab.page.evaluate("() => { window.paceOfTest = 50; }")
    _expect_states(tabs, "offline")
    for tab in tabs:
        tab.page.evaluate("() => { window.paceOfTest = 10; }")
    server.start()
    _expect_states(tabs, "polling")
    server.start_job(real_job)
    show_status("running")
    for tab in tabs:
        tab.check()
        tab.page.evaluate("() => window.dispatchEvent(new Event('online'))")
    _expect_states(tabs, "live")
    _write(batches, _FEW)
    check(overview)


def _write(batches: Batches, count: int) -> None:
    batches.begin(count)
    batches.end()


def _expect_states(tabs: list[Tab], state: str) -> None:
    for tab in tabs:
        indicator = tab.page.locator("#live-indicator")
        expect(indicator).to_have_attribute("data-state", state, timeout=30_000)
