"""What opens on a page and what is empty fits and is accessible; names are text; keys are enough.

Every page as it is when it was loaded: test_every_page.py.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looks import faults_of
from tests.browser.visitor import DESK, PHONE, Visitor, card, expect_live, expect_status
from tests.conftest import need
from tests.integration.running import ended_server
from tests.support import RunningServer, make_large_file, wait_until

_HTML_NAME = "<img src=x onerror=window.ran=1><script>window.ran=1</script> “Jörg” & 🏖️"


@dataclass(frozen=True)
class Site:
    """A server with a job whose name is HTML, and the pages that show it."""

    server: RunningServer
    html_job: str
    pages: Mapping[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for the pages that are only looked at."""
    need("rsync", shutil.which("rsync"))
    room = tmp_path_factory.mktemp("site")
    with ended_server(RunningServer(room / "data")) as server:
        yield _furnish(server, room)


def _furnish(server: RunningServer, room: Path) -> Site:
    """Make a job with a hostile name that is under way for the whole time."""
    make_large_file(room / "from" / "film.bin", megabytes=4)
    html_job = server.create_job(
        room / "from",
        room / "to",
        name=_HTML_NAME,
        options={"bandwidth_limit": "10K"},
        tags=["<b>"],
    )
    html_run = server.start_job(html_job)
    wait_until(lambda: server.state(html_job)["progress"], what="progress")
    return Site(
        server,
        html_job,
        {
            "dashboard": "/",
            "jobs": "/jobs",
            "job": f"/jobs/{html_job}",
            "running": f"/runs/{html_run}",
            "runs": "/runs",
            "delete refused": f"/jobs/{html_job}/delete",
        },
    )


def test_what_opens_on_a_page_fits_and_is_accessible(site: Site, visitor: Visitor) -> None:
    visitor.allow("status of 422")
    faults = {}
    page = visitor.open(f"{site.server.url}/jobs")
    page.locator(f"#job-{site.html_job}-more").click()
    faults["open menu"] = faults_of(page)
    page.goto(f"{site.server.url}/jobs/new")
    page.locator("#browse-source").click()
    expect(page.locator("#browser-source .browser-entry").first).to_be_visible()
    faults["folder browser"] = faults_of(page)
    page.locator("#field-bandwidth_limit").fill("fast")
    page.locator("#job-form-submit").click()
    expect(page.locator("#error-summary")).to_be_visible()
    faults["refused form"] = faults_of(page)
    assert {name: found for name, found in faults.items() if found} == {}


def test_the_empty_pages_fit_and_are_accessible(server: RunningServer, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/")
    faults = {}
    for path in ("/", "/jobs", "/runs"):
        page.goto(server.url + path)
        expect_live(page)
        faults[path] = faults_of(page)
    assert {path: found for path, found in faults.items() if found} == {}


def test_a_fault_of_a_page_would_be_found(server: RunningServer, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/")
    page.evaluate(
        """() => {
          const wide = document.createElement("input");
          wide.style.minWidth = "1400px";
          document.querySelector("main").append(wide);
        }"""
    )
    faults = faults_of(page)
    assert len([fault for fault in faults if "px wide" in fault]) == 2, faults
    assert len([fault for fault in faults if "label:" in fault]) == 2, faults


def test_a_name_is_text_on_every_page(site: Site, visitor: Visitor) -> None:
    page = visitor.open(f"{site.server.url}/")
    for name, path in site.pages.items():
        page.goto(site.server.url + path)
        expect_live(page)
        assert _HTML_NAME in page.locator("body").inner_text(), name
        assert page.evaluate("() => document.querySelector('main img, main script')") is None, name
    # By the live update too, which does not come with the page.
    page.goto(f"{site.server.url}/")
    expect_live(page)
    job_id = site.server.create_job(
        Path("/usr/share"), site.server.data_dir.parent / "to html", name=f"Pushed {_HTML_NAME}"
    )
    expect(card(page, job_id).locator(".job-name")).to_have_text(f"Pushed {_HTML_NAME}")
    assert page.evaluate("() => window.ran") is None
    site.server.http.delete(f"/api/v1/jobs/{job_id}")


def _tab_to(page: Page, element_id: str) -> None:
    """Press Tab until an element has the focus, which must then be visible."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.id") == element_id:
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {element_id} is not seen"
            return
    raise AssertionError(f"{element_id} cannot be reached with Tab")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_job_is_created_and_started_with_the_keyboard_alone(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path, width: int
) -> None:
    make_large_file(room / "from" / "file.bin", megabytes=1)
    page = visitor.open(f"{server.url}/jobs/new", width=width)
    for field, text in (
        ("name", "By keyboard"),
        ("source", str(room / "from")),
        ("destination", str(room / "to")),
    ):
        _tab_to(page, f"field-{field}")
        page.keyboard.type(text)
    _tab_to(page, "job-form-submit")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/jobs/by-keyboard-"))
    (job,) = server.jobs()
    expect_live(page)
    _tab_to(page, f"job-{job['id']}-button")
    page.keyboard.press("Enter")
    expect_status(card(page, job["id"]), "completed")
    _tab_to(page, f"job-{job['id']}-more")
    page.keyboard.press("Enter")
    _tab_to(page, f"job-{job['id']}-last-run")
    page.keyboard.press("Escape")
    expect(page.locator(f"#job-{job['id']}-menu")).not_to_have_attribute("open", "")
    assert page.evaluate("() => document.activeElement.id") == f"job-{job['id']}-more"
