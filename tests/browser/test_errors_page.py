"""The Errors page: live without taking anything away, resolving, finding, plain forms."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from models.error_event import Component, Severity
from tests.browser.looks import faults_of
from tests.browser.visitor import (
    Visitor,
    expect_live,
    is_same_document,
    mark,
    wait_out_double_click,
)
from tests.fakes.builders import a_fault
from tests.integration.running import ended_server
from tests.served_app import ServedApp
from tests.support import RunningServer, wait_until

_MANY = 60
_REPEATED_IDS = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  return ids.filter((id, place) => ids.indexOf(id) !== place);
}"""
_LONG = "Averylongnamewithoutanyspace" * 4


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedApp]:
    """A served application with an empty error log."""
    app = ServedApp(tmp_path / "data")
    with ended_server(app):
        yield app


def _items(page: Page) -> Locator:
    return page.locator("#errors-list > li")


def _item(page: Page, text: str) -> Locator:
    return _items(page).filter(has_text=text)


def _resolve(page: Page, text: str) -> Locator:
    return _item(page, text).get_by_role("button", name="Resolve")


def _focused(page: Page) -> str:
    return str(page.evaluate("() => document.activeElement.id"))


def _damage(server: RunningServer, name: str) -> str:
    """Put a job file there that cannot be read; returns its event's id, as soon as there is one."""
    (server.data_dir / "jobs" / f"{name}.yaml").write_text("name: [\n", encoding="utf-8")

    def known() -> str | None:
        items = server.http.get(f"/api/v1/errors?job_id={name}").json()["items"]
        return str(items[0]["id"]) if items else None

    found = wait_until(known, what=f"the event of {name}")
    assert found is not None
    return found


def test_a_real_fault_comes_by_itself_and_takes_nothing_away(
    server: RunningServer, visitor: Visitor
) -> None:
    first, second = _damage(server, "first"), _damage(server, "second")
    page = visitor.open(f"{server.url}/errors", height=500)
    expect_live(page)
    expect(_items(page)).to_have_count(2)
    mark(page)
    page.locator(f"#error-{first}-select").check()
    page.locator(f"#error-{second}-more > summary").click()
    facts = page.locator(f"#error-{second}-more .error-facts")
    expect(facts).to_contain_text("JobFileDamaged")
    page.locator(f"#error-{first}-resolve").focus()
    page.evaluate("() => scrollTo(0, 120)")
    top = page.evaluate("() => scrollY")
    count = page.locator("#errors-count")
    expect(count).to_contain_text("2")

    third = _damage(server, "third")
    expect(page.locator(f"#error-{third}")).to_be_visible()
    expect(count).to_contain_text("3")
    expect(page.locator("#errors-heading")).to_have_text("3 unresolved errors")
    assert page.locator(f"#error-{first}-select").is_checked()
    expect(page.locator("#errors-many-count")).to_have_text("1 selected")
    expect(facts).to_be_visible()
    assert _focused(page) == f"error-{first}-resolve"
    assert page.evaluate("() => scrollY") == top

    # When its cause is gone it goes by itself.
    (server.data_dir / "jobs" / "third.yaml").unlink()
    expect(page.locator(f"#error-{third}")).to_have_count(0)
    expect(count).to_contain_text("2")
    assert page.locator(f"#error-{first}-select").is_checked()
    assert is_same_document(page)


def test_the_details_of_several_errors_are_open_at_once(
    served: ServedApp, visitor: Visitor
) -> None:
    served.record(
        *(a_fault(message=f"Fault {number}", stack_trace=f"Trace {number}") for number in "12")
    )
    page = visitor.open(f"{served.url}/errors")
    expect_live(page)
    for number in "12":
        _item(page, f"Fault {number}").locator("summary").click()
        expect(_item(page, f"Fault {number}").locator(".error-trace")).to_have_text(
            f"Trace {number}"
        )
    assert page.evaluate(_REPEATED_IDS) == []
    served.report(a_fault(message="Fault 3"))
    expect(_items(page)).to_have_count(3)
    for number in "12":
        expect(_item(page, f"Fault {number}").locator(".error-trace")).to_be_visible()
    assert page.evaluate(_REPEATED_IDS) == []


def test_errors_are_resolved_one_by_one_and_several_together(
    served: ServedApp, visitor: Visitor
) -> None:
    served.record(*(a_fault(message=f"Fault {number}") for number in range(6)))
    page = visitor.open(f"{served.url}/errors")
    other = visitor.open(f"{served.url}/jobs")
    for one in (page, other):
        expect_live(one)
        mark(one)
    _resolve(page, "Fault 5").focus()
    page.keyboard.press("Enter")
    expect(_items(page)).to_have_count(5)
    expect(_resolve(page, "Fault 4")).to_be_focused()
    expect(other.locator("#errors-count")).to_contain_text("5 unresolved")
    expect(other.locator("#banners")).not_to_contain_text("Fault 5")

    bar = page.locator("#errors-many")
    expect(bar).to_be_hidden()
    _item(page, "Fault 3").locator(".error-select").check()
    _item(page, "Fault 1").locator(".error-select").click(modifiers=["Shift"])
    expect(page.locator("#errors-many-count")).to_have_text("3 selected")
    page.locator("#errors-many-none").click()
    expect(bar).to_be_hidden()
    page.locator("#errors-select-all").check()
    expect(page.locator("#errors-many-count")).to_have_text("5 selected")
    _item(page, "Fault 0").locator(".error-select").uncheck()
    page.locator("#errors-many-resolve").click()
    expect(_items(page)).to_have_count(1)
    expect(_items(page)).to_contain_text("Fault 0")
    expect(bar).to_be_hidden()
    expect(other.locator("#errors-count")).to_contain_text("1 unresolved")
    wait_out_double_click(page)  # For it every button that resolves an error is the same one.
    _resolve(page, "Fault 0").click()
    expect(page.locator("#errors-none")).to_contain_text("Every error is resolved")
    expect(page.locator("#errors-count")).to_be_hidden()
    expect(other.locator("#banners li")).to_have_count(0)
    assert is_same_document(page)
    assert is_same_document(other)


def test_all_that_match_are_resolved_and_what_came_meanwhile_is_not(
    served: ServedApp, visitor: Visitor
) -> None:
    served.record(*(a_fault(message=f"Old {number}") for number in range(_MANY)))
    served.record(a_fault(message="Different", severity=Severity.LOW))
    page = visitor.open(f"{served.url}/errors?severity=high")
    expect_live(page)
    expect(page.locator("#errors-heading")).to_have_text(f"{_MANY} unresolved errors")
    page.locator("#errors-all-button").click()
    button = page.locator("#errors-all-resolve")
    address = button.get_attribute("hx-post")
    expect(button).to_have_text(f"Resolve {_MANY} errors")
    page.route("**/errors?**", lambda route: route.abort())  # The list is not renewed from here on.
    visitor.allow("ERR_FAILED|Failed to fetch")
    served.record(a_fault(message="Meanwhile"))
    assert button.get_attribute("hx-post") == address
    # What the answer leads to is fetched all the same: a route sees no redirect.
    button.click()
    expect(_items(page)).to_have_count(1)
    expect(_items(page)).to_contain_text("Meanwhile")
    page.unroute("**/errors?**")
    page.goto(f"{served.url}/errors")
    expect(_items(page)).to_have_count(2)


def test_errors_are_found_by_words_and_filters_and_grouped(
    served: ServedApp, visitor: Visitor, room: Path
) -> None:
    job_id = served.create_job(room, room.parent / f"{room.name}-copy", name="Photos")
    served.record(
        a_fault(message="The disk is full", job_id=job_id, job_name="Photos"),
        a_fault(message="Odd <b>", error_type="Odd", component=Component.API),
        a_fault(message="Odd again", error_type="Odd", component=Component.API),
        a_fault(message="Small", severity=Severity.LOW, job_id="gone", job_name="Gone"),
    )
    page = visitor.open(f"{served.url}/errors")
    expect_live(page)
    mark(page)
    page.locator("#errors-q").fill("ODD")
    expect(_items(page)).to_have_count(2)
    expect(page).to_have_url(re.compile("q=ODD"))
    page.locator("#errors-q").fill("")
    expect(_items(page)).to_have_count(4)
    page.locator("#errors-severity").select_option("low")
    expect(_items(page)).to_have_count(1)
    expect(_items(page)).to_contain_text("Small")
    expect(_items(page).get_by_role("link", name="Gone")).to_have_count(0)
    page.locator("#errors-severity").select_option("")
    page.locator("#errors-component").select_option("api")
    expect(_items(page)).to_have_count(2)
    # What comes while a filter is set is filtered too.
    served.report(a_fault(message="Elsewhere"), a_fault(message="Here", component=Component.API))
    expect(_item(page, "Here")).to_be_visible()
    expect(_item(page, "Elsewhere")).to_have_count(0)
    page.locator("#errors-by").select_option("kind")
    expect(_items(page)).to_have_count(2)
    expect(_item(page, "Odd")).to_contain_text("2 errors, met 2 times")
    assert is_same_document(page)
    _item(page, "Odd").get_by_role("link", name="Odd").click()
    expect(page.locator("#errors-kind")).to_be_checked()
    expect(_items(page)).to_have_count(2)
    page.locator("#errors-kind").uncheck()
    expect(_items(page)).to_have_count(3)
    page.locator("#errors-by").select_option("kind")
    _item(page, "Odd").get_by_role("button", name="Resolve all").click()
    expect(_item(page, "Odd")).to_have_count(0)
    page.locator("#errors-by").select_option("")
    page.locator("#errors-state").select_option("resolved")
    expect(_items(page)).to_have_count(2)
    expect(_items(page).first).to_contain_text("Resolved")

    page.goto(f"{served.url}/jobs/{job_id}")
    page.locator("#job-errors").click()
    expect(_items(page)).to_have_text(re.compile("The disk is full"))
    expect(page.locator("#errors-job")).to_have_value(job_id)
    _items(page).get_by_role("link", name="Photos").click()
    expect(page.locator("[data-job-page]")).to_be_visible()
    page.keyboard.type("ge")
    page.wait_for_url(f"{served.url}/errors")


def test_a_long_list_has_pages_and_plots(served: ServedApp, visitor: Visitor) -> None:
    served.record(*(a_fault(message=f"Fault {number:02d}") for number in range(_MANY)))
    page = visitor.open(f"{served.url}/errors")
    expect_live(page)
    expect(_items(page)).to_have_count(50)
    plot = page.locator("#plot-error-days")
    expect(plot.locator("canvas")).to_be_visible()
    expect(plot.locator("[role=img]")).to_have_attribute(
        "aria-label", re.compile(f"met {_MANY} times, {_MANY} high")
    )
    served.report(a_fault(message="Fault 00"))
    expect(plot).to_contain_text(f"met {_MANY + 1} times")
    page.locator("#errors-trend > summary").click()
    expect(page.locator("#figures tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Older errors").click()
    expect(_items(page)).to_have_count(_MANY - 50)
    expect(_items(page).last).to_contain_text("2 times")
    with page.expect_download() as download:
        page.locator("#errors-export-csv").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert len(rows) == _MANY


def test_everything_works_without_javascript(served: ServedApp, visitor: Visitor) -> None:
    served.record(*(a_fault(message=f"Fault {number}") for number in range(4)))
    served.record(a_fault(message="Other", severity=Severity.LOW, stack_trace="Traceback: here"))
    page = visitor.open(f"{served.url}/errors", script=False)
    page.locator("#errors-q").fill("fault")
    page.get_by_role("button", name="Find").click()
    expect(_items(page)).to_have_count(4)
    for text in ("Fault 0", "Fault 1"):
        _item(page, text).locator(".error-select").check()
    page.locator("#errors-many-resolve").click()
    expect(_items(page)).to_have_count(2)
    assert "q=fault" in page.url
    _resolve(page, "Fault 2").click()
    expect(_items(page)).to_have_count(1)
    page.goto(f"{served.url}/errors")
    _item(page, "Other").locator("summary").click()
    _item(page, "Other").get_by_role("link", name="Show the details").click()
    expect(page.locator(".error-trace")).to_have_text("Traceback: here")
    page.goto(f"{served.url}/errors")
    page.locator("#errors-all-button").click()
    page.locator("#errors-all-resolve").click()
    expect(page.locator("#errors-none")).to_be_visible()
    events = json.loads(served.http.get("/api/v1/errors/export?format=json").text)
    assert [event["resolved"] for event in events] == [True] * 5


def _every_look(served: ServedApp) -> Iterator[str]:
    html = "<img src=x onerror=window.ran=1><script>window.ran=1</script>"
    served.record(
        a_fault(message=_LONG, job_id="gone", job_name=_LONG, error_type=_LONG),
        a_fault(message=html, error_type=html, details={html: html, "n": [1]}, stack_trace=_LONG),
        a_fault(message="Resolved", severity=Severity.CRITICAL),
        a_fault(message="Medium", severity=Severity.MEDIUM),
        a_fault(message="Low", severity=Severity.LOW),
    )
    served.http.post("/api/v1/errors/3/resolve")
    yield "/errors?state=all"
    yield f"/errors?state=all&by=kind&kind={_LONG}"
    yield "/errors/2"


def test_every_look_fits_and_is_accessible(served: ServedApp, visitor: Visitor) -> None:
    page = visitor.open(f"{served.url}/errors")
    expect(page.locator("#errors-none")).to_contain_text("Nothing is wrong")
    found = {}
    for address in _every_look(served):
        page.goto(f"{served.url}{address}")
        expect_live(page)
        if address.endswith("state=all"):
            # By keys: a message may lie over it for a while.
            page.locator("#error-2-more > summary").press("Enter")
            expect(page.locator("#error-2-more .error-trace")).to_be_visible()
            page.locator("#error-2-select").press("Space")
            expect(page.locator("#error-2-select")).to_be_checked()
        found[address] = faults_of(page)
    assert {address: faults for address, faults in found.items() if faults} == {}


def test_a_page_that_can_only_poll_is_renewed_too(
    make_server: Callable[..., RunningServer], visitor: Visitor
) -> None:
    visitor.allow("WebSocket connection to")
    server = make_server()

    def before(page: Page) -> None:
        page.add_init_script(
            "{ const real = window.setTimeout; window.setTimeout ="
            " (work, delay = 0, ...rest) => real(work, delay / 50, ...rest); }"
        )
        page.route_web_socket(re.compile("/ws"), lambda socket: socket.close())

    page = visitor.open(f"{server.url}/errors", before=before)
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "polling")
    event_id = _damage(server, "broken")
    expect(page.locator(f"#error-{event_id}")).to_be_visible()
    expect(page.locator("#errors-count")).to_contain_text("1 unresolved")
    wait_out_double_click(page)
    page.locator(f"#error-{event_id}-resolve").click()
    expect(_items(page)).to_have_count(0)
