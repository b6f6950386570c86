"""The bell and its messages: each new happening once, also to who looked elsewhere meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from models.error_event import Severity
from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, expect_live, fast_timers, is_same_document, mark
from tests.fakes.builders import a_fault
from tests.integration.running import ended_server, run_to_end, wait_for_bytes, wait_for_status
from tests.served_app import ServedApp
from tests.support import RunningServer, make_large_file, make_tree

NAME = "<img src=x onerror='window.ran = 1'> & Söhne"
# What decides whether a page is hidden, under a test's hand: headless pages never are.
_HIDDEN = """
let isHidden = false;
Object.defineProperty(Document.prototype, "hidden", { get: () => isHidden });
window.hide = (value) => {
  isHidden = value;
  document.dispatchEvent(new Event("visibilitychange"));
};
"""
_NO_STORAGE = """
Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("It is not allowed.", "SecurityError"); },
});
"""
# As between two processes of a browser: what one tab stores the other reads later.
_LATE_STORAGE = """
const { getItem, setItem } = Storage.prototype;
Storage.prototype.getItem = function (name) {
  return name === "longshore-told" ? "[]" : getItem.call(this, name);
};
Storage.prototype.setItem = function (name, value) {
  if (name === "longshore-told") window.hasNoted = true;
  setItem.call(this, name, value);
};
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    """A served application in which nothing has happened."""
    app = ServedApp(tmp_path / "data")
    with ended_server(app):
        yield app


def hideable(page: Page) -> None:
    page.add_init_script(_HIDDEN)


def hide(page: Page, value: bool = True) -> None:
    page.evaluate("(value) => window.hide(value)", value)


def messages(page: Page) -> Locator:
    return page.locator("#toasts > [data-happening]")


def listed(page: Page) -> Locator:
    return page.locator("#bell-list [data-happening]")


def bell(page: Page) -> Locator:
    return page.locator("#bell-button")


def failing_job(server: RunningServer, room: Path, name: str = "Photos") -> str:
    """A job whose source is gone until `mend`."""
    source = room / f"from {name[:6].strip('<> ')}"
    source.mkdir()
    job_id = server.create_job(source, room / f"to {name[:6].strip('<> ')}", name=name)
    source.rmdir()
    return job_id


def mend(server: RunningServer, job_id: str) -> None:
    Path(server.http.get(f"/api/v1/jobs/{job_id}").json()["source"]).mkdir()


def test_a_failure_and_a_recovery_are_told_by_severity_and_listed(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    job_id = failing_job(served, room, NAME)
    page = visitor.open(
        f"{served.url}/jobs/new", before=lambda p: p.add_init_script(fast_timers(20))
    )
    expect_live(page)
    mark(page)
    page.locator("#field-name").fill("Not sent yet")
    expect(bell(page)).to_have_accessible_name("Notifications")

    run_id = run_to_end(served, job_id)["id"]
    expect(messages(page)).to_have_count(1)
    failed = messages(page).first
    expect(failed).to_have_attribute("role", "alert")
    expect(failed).to_have_class(re.compile("is-failed"))
    expect(failed).to_contain_text(f"{NAME} failed")
    expect(failed.get_by_role("link")).to_have_attribute("href", f"{served.url}/runs/{run_id}")
    expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
    expect(page.locator("#field-name")).to_have_value("Not sent yet")
    expect(page.locator("#field-name")).to_be_focused()
    # A failure stays: as long as good news does, in the time of this page.
    page.wait_for_timeout(1_000)
    expect(messages(page)).to_have_count(1)

    mend(served, job_id)
    page.locator("#toasts").hover()
    run_to_end(served, job_id)
    expect(messages(page)).to_contain_text(f"{NAME} is good again")
    expect(messages(page)).to_have_count(1)  # In the place of the failure.
    expect(messages(page)).to_have_attribute("role", "status")
    page.wait_for_timeout(1_000)
    expect(messages(page)).to_have_count(1)  # The hand is on it.
    page.mouse.move(0, 0)
    expect(messages(page)).to_have_count(0)
    expect(bell(page)).to_have_accessible_name("Notifications, 2 new")

    run_to_end(served, job_id)  # Good as it was: nothing is told of that.
    bell(page).click()
    expect(listed(page)).to_have_count(2)
    expect(listed(page).first).to_contain_text(f"{NAME} is good again")
    expect(listed(page).last.get_by_role("link")).to_have_attribute("href", f"/runs/{run_id}")
    expect(bell(page)).to_have_accessible_name("Notifications")
    assert page.evaluate("() => window.ran") is None
    assert is_same_document(page)


def test_what_a_person_stops_is_not_told(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    source = make_large_file(room / "from" / "large", megabytes=8).parent
    job_id = server.create_job(source, room / "to", options={"bandwidth_limit": "1M"})
    failing = failing_job(server, room, "Later")
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    server.start_job(job_id)
    wait_for_bytes(server, job_id, 1)
    server.http.post(f"/api/v1/jobs/{job_id}/stop")
    wait_for_status(server, job_id, "paused")
    run_to_end(server, failing)
    expect(messages(page)).to_have_count(1)
    expect(messages(page)).to_contain_text("Later failed")
    expect(listed(page)).to_have_count(1)


def test_what_happens_while_the_page_is_hidden_is_told_when_it_is_seen_again(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    jobs = [failing_job(served, room, f"Job {number}") for number in range(5)]
    page = visitor.open(f"{served.url}/", before=hideable)
    expect_live(page)
    mark(page)
    hide(page)
    for job_id in jobs:
        run_to_end(served, job_id)
    assert messages(page).count() == 0

    hide(page, False)
    expect(messages(page)).to_have_count(3)
    expect(messages(page)).to_have_text(
        [re.compile(f"Job {number} failed") for number in (2, 3, 4)]
    )
    expect(page.locator("#toasts")).to_contain_text("and 2 more")
    expect(bell(page)).to_have_accessible_name("Notifications, 5 new")
    page.get_by_role("button", name="Show all").click()
    expect(listed(page)).to_have_count(5)
    expect(listed(page).first).to_be_visible()
    expect(bell(page)).to_be_focused()
    expect(page.locator("#toasts > *")).to_have_count(0)
    expect(page.locator("#bell-list .is-new")).to_have_count(5)
    page.keyboard.press("Escape")
    expect(listed(page).first).to_be_hidden()
    expect(bell(page)).to_be_focused()
    expect(page.locator("#bell-list .is-new")).to_have_count(0)
    assert is_same_document(page)


def test_what_arrived_before_the_page_was_hidden_for_good_waits_too(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    """A page that polls goes on being told while it is hidden."""
    page = visitor.open(f"{served.url}/", before=hideable)
    expect_live(page)
    # live.js lets go, and does not come back.
    page.evaluate("() => { window.WebSocket = class { close() {} }; }")
    page.evaluate("() => window.dispatchEvent(new Event('pagehide'))")
    job_id = failing_job(served, room)
    run_to_end(served, job_id)
    fragment = served.http.get("/bell").text
    hide(page)
    page.evaluate(
        """(html) => { document.getElementById("bell-list").outerHTML = html; }""", fragment
    )
    expect(listed(page)).to_have_count(1)
    expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
    assert messages(page).count() == 0
    hide(page, False)
    expect(messages(page)).to_have_count(1)


def test_two_tabs_tell_it_once_and_share_what_was_seen(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    job_id = failing_job(served, room)
    first = visitor.open(f"{served.url}/", before=hideable)
    second = visitor.another_tab(first.context, f"{served.url}/jobs", hideable)
    third = visitor.another_tab(first.context, f"{served.url}/runs", hideable)
    stranger = visitor.open(f"{served.url}/")
    for page in (first, second, third, stranger):
        expect_live(page)
    hide(third)
    run_to_end(served, job_id)
    for page in (first, second):
        expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
    expect(messages(stranger)).to_have_count(1)
    # Who tells it stores that and shows it in one go.
    first.wait_for_function("() => JSON.parse(localStorage.getItem('longshore-told')).length === 1")
    assert messages(first).count() + messages(second).count() == 1
    hide(third, False)
    expect(bell(third)).to_have_accessible_name("Notifications, 1 new")
    assert messages(third).count() == 0

    bell(second).click()
    for page in (first, second, third):
        expect(bell(page)).to_have_accessible_name("Notifications")
    expect(bell(stranger)).to_have_accessible_name("Notifications, 1 new")
    # It is known after a navigation as well, and nothing flies.
    third.goto(f"{served.url}/jobs")
    expect_live(third)
    expect(listed(third)).to_have_count(1)
    expect(bell(third)).to_have_accessible_name("Notifications")
    assert messages(third).count() == 0


def test_tabs_that_read_late_what_the_other_stored_tell_it_once(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    def late(page: Page) -> None:
        page.add_init_script(_LATE_STORAGE)

    job_id = failing_job(served, room)
    first = visitor.open(f"{served.url}/", before=late)
    second = visitor.another_tab(first.context, f"{served.url}/jobs", late)
    for page in (first, second):
        expect_live(page)
    run_to_end(served, job_id)
    for page in (first, second):
        # Whoever has decided notes it, and shows what is its own in one go.
        page.wait_for_function("() => window.hasNoted")
    assert messages(first).count() + messages(second).count() == 1


def test_what_happens_between_two_pages_is_told_by_the_next_and_what_is_old_is_not(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    job_id = failing_job(served, room)
    run_to_end(served, job_id)
    page = visitor.open(f"{served.url}/", before=hideable)
    expect_live(page)
    expect(listed(page)).to_have_count(1)
    assert messages(page).count() == 0, "to a new browser it is no news"
    expect(bell(page)).to_have_accessible_name("Notifications")
    hide(page)
    run_to_end(served, job_id)
    page.goto(f"{served.url}/jobs")
    expect(messages(page)).to_have_count(1)
    expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
    page.reload()
    expect_live(page)
    assert messages(page).count() == 0, "it was told"

    hide(page)
    run_to_end(served, job_id)
    page.add_init_script("{ const now = Date.now; Date.now = () => now() + 600_000; }")
    page.goto(f"{served.url}/jobs")
    expect(bell(page)).to_have_accessible_name("Notifications, 2 new")
    assert messages(page).count() == 0, "it was long ago"


def test_a_restarted_server_lost_none_and_tells_what_it_met(
    make_server: Callable[..., RunningServer], visitor: Visitor, room: Path
) -> None:
    visitor.allow(r"WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET")
    server = make_server()
    first, second = failing_job(server, room, "First"), failing_job(server, room, "Second")
    run_to_end(server, first)
    page = visitor.open(f"{server.url}/", before=hideable)
    expect_live(page)
    mark(page)
    hide(page)
    run_to_end(server, second)
    server.kill()
    (server.data_dir / "jobs" / "broken.yaml").write_text("name: [", encoding="utf-8")
    server.start()
    hide(page, False)
    expect(listed(page)).to_have_count(3)
    texts = [re.compile("Second failed"), re.compile("broken is damaged")]
    expect(messages(page)).to_have_text(texts)
    expect(messages(page).last).to_have_attribute("role", "alert")
    assert is_same_document(page)
    (server.data_dir / "jobs" / "broken.yaml").write_text(
        f"name: Mended\nengine: rsync\nsource: {room}\ndestination: {room}-copy\n", encoding="utf-8"
    )
    expect(messages(page).last).to_contain_text("The file of Mended is whole again")
    expect(messages(page).last).to_have_attribute("role", "status")


def test_it_works_where_a_browser_stores_nothing(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    job_id = failing_job(served, room)
    run_to_end(served, job_id)
    page = visitor.open(f"{served.url}/", before=lambda p: p.add_init_script(_NO_STORAGE))
    expect_live(page)
    assert messages(page).count() == 0
    run_to_end(served, job_id)
    expect(messages(page)).to_have_count(1)
    expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
    bell(page).click()
    expect(bell(page)).to_have_accessible_name("Notifications")


def test_an_open_list_stays_open_and_takes_in_what_is_new(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    jobs = [failing_job(served, room, f"Job {number}") for number in range(2)]
    run_to_end(served, jobs[0])
    page = visitor.open(f"{served.url}/jobs/new")
    expect_live(page)
    bell(page).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    link = listed(page).get_by_role("link", name="Job 0 failed")
    expect(link).to_be_focused()
    run_to_end(served, jobs[1])
    expect(listed(page)).to_have_count(2)
    expect(listed(page).first).to_be_visible()
    expect(listed(page).first).to_have_class(re.compile("is-new"))
    expect(link).to_be_focused()
    expect(bell(page)).to_have_accessible_name("Notifications")
    assert messages(page).count() == 0, "it is before one's eyes"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/runs/"))


def test_bell_and_messages_fit_and_are_accessible(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    page = visitor.open(f"{served.url}/jobs/new")
    expect_live(page)
    bell(page).click()
    expect(page.locator("#bell-empty")).to_be_visible()
    assert faults_of(page) == []
    page.keyboard.press("Escape")

    long = "Averylongnamewithoutanyspace" * 4
    run_to_end(served, failing_job(served, room, long))
    run_to_end(served, failing_job(served, room, NAME))
    served.record(
        a_fault(message="/srv/" + "path" * 60, severity=Severity.MEDIUM, job_name=long, job_id="x"),
        a_fault(message="Words " * 100, severity=Severity.CRITICAL),
    )
    expect(messages(page)).to_have_count(3)
    expect(page.locator("#toasts")).to_contain_text("and 1 more")
    assert faults_of(page) == []
    bell(page).click()
    expect(listed(page)).to_have_count(4)
    assert faults_of(page) == []


def test_without_javascript_the_list_opens(served: ServedApp, visitor: Visitor, room: Path) -> None:
    run_to_end(served, failing_job(served, room))
    page = visitor.open(f"{served.url}/", script=False)
    expect(listed(page)).to_be_hidden()
    bell(page).click()
    expect(listed(page)).to_be_visible()
    expect(listed(page)).to_contain_text("Photos failed")
    visitor.allow("404")
    missing = visitor.open(f"{served.url}/nothing/here", script=False)
    bell(missing).click()
    expect(listed(missing)).to_be_visible()


def test_a_page_that_can_only_poll_is_told_too(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    visitor.allow("WebSocket connection to")

    def before(page: Page) -> None:
        page.add_init_script(fast_timers(50))
        page.route_web_socket(re.compile("/ws"), lambda socket: socket.close())

    source = make_tree(room / "from", files=1)
    job_id = served.create_job(source, room / "to", name="Polled")
    page = visitor.open(f"{served.url}/", before=before)
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "polling")
    source.rename(room / "elsewhere")
    run_to_end(served, job_id)
    expect(messages(page)).to_contain_text("Polled failed")
    expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
