"""Proves that no script runs, whatever people, files, tools and addresses say: fifty payloads in
every text field, in the names of a real tree, in what tools print and in every address, looked at
on every page, fragment and push.

The browser takes no note of the policy on scripts, which would hide what is not escaped; then once
more with it, and it is not even needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.feeding import Asked, Table
from tests.browser.infested import NAME, PASSWORD, Infested, infested, shut
from tests.browser.payloads import COUNT, PAYLOADS, Home, Payload, several
from tests.browser.snare import Snare
from tests.browser.visitor import Visitor, expect_live
from tests.integration.test_hostile_values import ADDRESSES, routes
from tests.support import wait_until

IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if IS_FULL else 900)]
ALL = {one.number for one in PAYLOADS}
MARKED = [one for one in PAYLOADS if f"xss={one.number}" in one.text and not one.is_inert]
AT_ONCE = several(Home.DOUBLE, Home.SINGLE, Home.TEXTAREA, Home.TITLE)
ELSEWHERE = next(one.text for one in PAYLOADS if one.text.startswith("//"))
REFUSED = r"status of 4\d\d|WebSocket .* 403"
"""What a browser says of what is refused: an answer, and a page left open by somebody unknown."""
MOST_IN_A_FRAME = 12
"""So many payloads stand around each page: in its banners and behind its bell."""
EXERCISE = """() => {
  for (const one of document.querySelectorAll("details:not([open])")) one.open = true;
  for (const form of document.querySelectorAll("form[hx-get]")) form.requestSubmit();
  const ones = [...document.querySelectorAll("a[hx-get], button[hx-get]")];
  for (const one of ones.slice(0, 4)) one.click();
  document.body.dispatchEvent(new CustomEvent("longshore-changed"));
}"""


def addresses_by_route(site: Infested) -> dict[str, list[str]]:
    """Return every address that the application answers to GET, by its own routes: one that nobody
    has thought of here has a part that is not known."""
    events = site.server.http.get("/api/v1/errors?limit=500").json()["items"]
    jobs = [*site.jobs.values(), *site.by_number.values()]
    ids = {
        "job_id": jobs if IS_FULL else [site.jobs["copied"], site.by_number[1]],
        "run_id": list(site.runs.values()),
        "event_id": [event["id"] for event in events][:: 1 if IS_FULL else 49],
        "rule_name": ["hook"],
        "account": [NAME],
        "token": ["scraper"],
        "field": ["source"],
    }
    found: dict[str, list[str]] = {}
    for route in routes():
        if "GET" not in (route.methods or ()):
            continue
        names = re.findall(r"{(\w+)}", route.path)
        for values in product(*(ids[name] for name in names)):
            path = route.path.format(**dict(zip(names, values, strict=True)))
            found.setdefault(route.name, []).append(path)
    return found


LIVELY = {
    "dashboard": [""],
    "jobs_page": [""],
    "job_page": [""],
    "job_new": [""],
    "run_page": ["failed", "planned", "deleting"],
    "run_log": ["printed"],
    "runs_page": [""],
    "errors_page": [""],
    "logs_page": [""],
    "audit_page": [""],
}
"""Routes whose pages fetch parts or have them pushed, and of which runs: what the short form goes
to beside having the browser read all there is."""
EXTRAS = (
    "/logs?level=all&q=xss",
    "/runs/{printed}/log?q=xss",
    "/runs/{planned}?show=delete&path=xss",
)
"""Pages that look different with a query."""


@dataclass(frozen=True)
class Visit:
    """One tab that goes to pages, and one that reads answers; `snare` watches both."""

    site: Infested
    page: Page
    reader: Page
    table: Table
    snare: Snare

    def go(self, address: str) -> None:
        """Go to a page, have it fetch its fragments, look at it before and after, and feed those of
        its forms that have not been fed."""
        self.page.goto(address, wait_until="domcontentloaded")
        self.table.look(self.page)
        self.page.evaluate(EXERCISE)
        self.table.look(self.page)
        self.feed([form for form, url in self.table.forms().items() if url == address])

    def feed(self, forms: Sequence[str]) -> None:
        """Feed forms of pages: some payloads, or each, by script and without; in the long form each
        field by itself, too."""
        for form in forms:
            turn = len(self.table.fed) % COUNT
            for text in [one.text for one in PAYLOADS] if IS_FULL else [AT_ONCE]:
                self.table.send(self.reader, form, text)
            for name, payload in product(self.table.names(form), PAYLOADS) if IS_FULL else ():
                self.table.send(self.reader, form, payload.text, only=name)
            for payload in PAYLOADS if IS_FULL else [PAYLOADS[turn]]:
                self.table.submit(self.page, form, payload.text)

    def feed_all(self) -> None:
        """Feed forms until there is none that was not fed: an answer may have more."""
        while forms := self.table.forms():
            self.feed(list(forms))

    def check(self, step: str) -> None:
        """Fail when anything was caught."""
        self.snare.settle(self.page)
        self.snare.settle(self.reader)
        self.snare.expect_nothing(step)


def visit_pages(visit: Visit) -> None:
    """Every address there is: read, as a page or as an answer that must not be taken for one; and
    gone to with all that it fetches, in the short form where that is much."""
    url, runs = visit.site.server.url, visit.site.runs
    for name, paths in addresses_by_route(visit.site).items():
        pages = visit.table.read(visit.reader, [(url + path, "GET") for path in paths])
        if name in LIVELY and not IS_FULL:
            marks = [runs.get(one, "") for one in LIVELY[name]]
            pages = [next(page for page in pages if mark in page) for mark in marks]
        elif not IS_FULL:
            pages = []
        for address in pages[:: 5 if IS_FULL else 1]:
            visit.go(address)
    for path in EXTRAS:
        visit.go(url + path.format(**runs))
    visit.check("every page")


def browse_folders(visit: Visit) -> None:
    """The folders of a tree, in the form of a job."""
    page = visit.page
    page.goto(f"{visit.site.server.url}/jobs/{visit.site.jobs['planned']}/edit")
    # By a script's clicks: messages may lie over what is clicked, and there is no policy here.
    page.locator("#browse-source").dispatch_event("click")
    entries = page.locator("#browser-source button.browser-entry").filter(has_text="xss=")
    entries.and_(page.locator("[hx-get]")).first.dispatch_event("click")
    visit.table.look(page)
    page.locator("#browser-source [data-pick]").first.dispatch_event("click")
    expect(page.locator("#field-source")).to_have_value(re.compile("xss="))
    visit.check("the folder browser")


def watch_pushes(visit: Visit, page: Page, wanted: list[Payload], kind: str) -> None:
    """What comes over the WebSocket while runs fail and files turn out to be damaged: cards,
    banners, the list behind the bell and messages."""
    page.goto(f"{visit.site.server.url}/")
    expect_live(page)
    visit.snare.pushed.clear()
    visit.site.look_alive(wanted, kind)
    marks = [f"xss={one.number}" for one in wanted]

    def all_came() -> bool:
        page.wait_for_timeout(1)  # Frames are told of meanwhile.
        told = " ".join(visit.snare.pushed)
        cards = "".join(re.findall(r'<article id="job-.*?</article>', told, re.DOTALL))
        others = told.replace(cards, "")
        parts = ('id="bell-', 'id="banners"')
        came = all(mark in cards and mark in others for mark in marks)
        return not visit.snare.is_empty or (came and all(part in told for part in parts))

    wait_until(all_came, what="what happened, as pushes")
    visit.check("pushes")
    expect(page.locator("#toasts").filter(has_text="xss=")).not_to_have_count(0)
    visit.check("pushes")


def watch_a_transfer(visit: Visit, page: Page) -> None:
    """The names of the files under way, and what the tool says of them."""
    page.goto(f"{visit.site.server.url}/runs/{visit.site.transfer()}")
    expect_live(page)
    name = page.locator("[data-live=current_file]").first
    expect(name).to_contain_text(re.compile(r"xss=|ran\("))
    before = name.text_content()
    expect(name).not_to_have_text(before or "", timeout=30_000)
    visit.check("a transfer")


def ask_addresses(visit: Visit) -> None:
    """Each part of each address, of those too that there are not."""
    texts = [one.text for one in PAYLOADS] if IS_FULL else [AT_ONCE]
    ids = {"{run}": visit.site.runs["printed"], "{job}": visit.site.jobs["copied"]}
    # That no JSON is taken for a page is seen of the answers to `visit_pages`.
    known = [one for one in ADDRESSES if IS_FULL or (one.count("{}") == 1 and "/api/" not in one)]
    asked: list[Asked] = []
    for address, text in [
        *product(known, texts),
        *(("GET /{}", one.text) for one in PAYLOADS),
        ("GET /sign-in?next={}", ELSEWHERE),
    ]:
        method, _, path = address.partition(" ")
        for name, value in ids.items():
            path = path.replace(name, value)
        path = path.replace("{}", quote(text.encode("utf-8", "surrogateescape"), safe=""))
        asked.append((visit.site.server.url + path, method))
    pages = visit.table.read(visit.reader, asked)
    for address in pages[:: 50 if IS_FULL else 100]:
        visit.page.goto(address)
        visit.table.look(visit.page)
    visit.check("every address")


def sign_in(page: Page, site: Infested) -> None:
    """Sign in, as soon as one who guessed is let in again."""

    def is_in() -> bool:
        page.goto(f"{site.server.url}/sign-in")
        page.locator("#field-name").fill(NAME)
        page.locator("#field-password").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("#sign-in-button").click()
        return "/sign-in" not in page.url

    wait_until(is_in, seconds=300, what="being signed in")


@pytest.fixture
def site(room: Path) -> Iterator[Infested]:
    """The server."""
    with infested(room) as found:
        yield found


def begin(visitor: Visitor, site: Infested, path: str) -> Visit:
    """Open two tabs of a browser that takes no note of the policy on scripts."""
    snare = Snare()
    table = Table(snare)
    page = visitor.open(f"{site.server.url}{path}", before=table.follow, policed=False)
    # No page of ours: what is new is told by one tab of a browser.
    reader = visitor.another_tab(page.context, f"{site.server.url}/health/live", table.follow)
    table.look(page)
    return Visit(site, page, reader, table, snare)


def test_nothing_that_anybody_says_runs(visitor: Visitor, site: Infested) -> None:
    # What is against the policy the pages complain of (visitor.py), which fails the test.
    visitor.allow(REFUSED)
    visit = begin(visitor, site, "/account")
    visit.feed_all()
    visit.check("the first password")
    shut(site)
    sign_in(visit.page, site)
    visit_pages(visit)
    shown = {name: visit.snare.shown[f"/runs/{run_id}"] for name, run_id in site.runs.items()}
    by_run = {name: numbers & ALL for name, numbers in shown.items()}
    assert by_run["failed"] == by_run["printed"] == by_run["planned"] == ALL
    assert all(len(numbers) > MOST_IN_A_FRAME for numbers in by_run.values())
    visit.feed_all()
    visit.check("every form")
    assert visit.table.fields.keys() == visit.table.fed
    browse_folders(visit)
    for start in range(15) if IS_FULL else (2,):
        watch_pushes(visit, visit.page, MARKED[start::15], f"later-{start}-")
    watch_a_transfer(visit, visit.page)
    ask_addresses(visit)
    stranger = begin(visitor, site, "/sign-in")
    stranger.feed_all()
    stranger.check("strangers")
    policed = visitor.open(f"{site.server.url}/sign-in", before=visit.table.follow)
    sign_in(policed, site)
    watch_pushes(visit, policed, MARKED[3::15], "policed-")
    for path in (f"/runs/{site.runs['planned']}", "/errors"):
        policed.goto(f"{site.server.url}{path}")
        visit.table.look(policed)
    visit.check("a browser that minds the policy")
