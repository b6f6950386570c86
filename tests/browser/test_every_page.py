"""Every page of the application: for axe, on a phone, at 200%, on paper and without motion.

The pages are those of its own routes, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Page, expect

from fastapi_app.application import create_app
from models.settings import Settings
from tests.browser.looks import Scheme, faults_of
from tests.browser.measures import (
    faults_on_paper,
    misfits,
    movements,
    set_size_of_text,
    set_width,
)
from tests.browser.visitor import DESK, PHONE, Visitor, expect_live
from tests.conftest import need
from tests.fakes.histories import keep, past_runs
from tests.integration.running import ended_server
from tests.integration.test_copy_faults import WeakServer
from tests.integration.test_retry_failed import lock_away
from tests.integration.test_source_deletion import a_deleting_job
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("rsync")]
_PAGES: dict[str, tuple[str, ...]] = {
    "dashboard": ("/",),
    "jobs_page": ("/jobs", "/jobs?q=completed", "/jobs?q=nothing-is-called-so"),
    "job_page": ("/jobs/{done}", "/jobs/{slow}", "/jobs/{wrong}"),
    "job_new": ("/jobs/new",),
    "job_edit": ("/jobs/{done}/edit",),
    "job_duplicate": ("/jobs/{done}/duplicate",),
    "job_delete_page": ("/jobs/{done}/delete", "/jobs/{slow}/delete"),
    "job_figures": ("/jobs/{done}/figures",),
    "job_older_runs": ("/jobs/{done}/older-runs",),
    "activity": ("/activity",),
    "runs_page": ("/runs",),
    "run_page": (
        "/runs/{completed}",
        "/runs/{failed}",
        "/runs/{paused}",
        "/runs/{running}",
        "/runs/{dry}",
        "/runs/{files}",
        "/runs/{deleted}",
    ),
    "run_figures": ("/runs/{completed}/figures",),
    "run_log": ("/runs/{completed}/log",),
    "errors_page": (
        "/errors",
        "/errors?state=all&by=kind",
        "/errors?state=resolved",
        "/errors?q=nothing-is-called-so",
    ),
    "errors_trend": ("/errors/trend",),
    "error_page": ("/errors/{error}",),
    "logs_page": ("/logs?level=all", "/logs?level=error"),
    "settings_page": ("/settings",),
    "notifications_page": ("/settings/notifications",),
    "notification_new": ("/settings/notifications/new",),
    "notification_edit": ("/settings/notifications/hook/edit",),
    "notification_delete_page": ("/settings/notifications/hook/delete",),
    "account_page": ("/account",),
    "access_page": ("/settings/access",),
    "audit_page": ("/audit", "/audit?q=nothing-is-called-so"),
    "error": ("/jobs/nobody",),
}
"""By route, where its pages are seen; an error is what any route may answer."""
_NO_PAGES = {
    "access_account_delete_page",
    "access_token_revoke_page",
    "banners",
    "bell",
    "errors_count",
    "folders",
    "health",
    "health_live",
    "health_ready",
    "health_schema",
    "job_card",
    "logs_download",
    "metrics",
    "remote_options",
    "run_log_download",
    "run_log_lines",
    "sign_in_page",
}
"""Parts of pages, what is downloaded, and what is there once somebody has an account
(test_access.py)."""
_LONG_NAME = "Averylongnamewithoutanyspace" * 4
_HTML_NAME = "<img src=x onerror=window.ran=1><script>window.ran=1</script> “Jörg” & 🏖️"
_NARROW = 320
_TWICE = DESK // 2
_A_THOUSAND_LINES = 1_000
_PAPER = 718
"""The width of an A4 page between its margins, in CSS pixels."""
_PARTS = 2
_LINES_ON_PAPER = 90
_ADD_STYLE = """(text) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  document.adoptedStyleSheets = [sheet];
}"""
_FAULTY = """
h1 { width: 3ch; overflow: hidden; white-space: nowrap; }
.main { min-width: 2000px; }
.section { margin-top: -40px; }
.footer button { display: block !important; }
@media print { .footer { display: block !important; } }
"""


@dataclass(frozen=True)
class Site:
    """A server with something on each of its pages, and the ids that their addresses hold."""

    server: RunningServer
    ids: dict[str, str]

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield how each page is called, and its address."""
        for patterns in _PAGES.values():
            for pattern in patterns:
                yield pattern, self.server.url + pattern.format(**self.ids)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all pages."""
    need("rsync", shutil.which("rsync"))
    room = tmp_path_factory.mktemp("every")
    with ended_server(WeakServer(room / "data")) as server:
        yield Site(server, _furnish(server, room))


def _furnish(server: RunningServer, room: Path) -> dict[str, str]:
    """Make jobs and runs in every state that pages show differently."""
    make_large_file(room / "from" / "film.bin", megabytes=6)
    make_tree(room / "many", files=60)
    gone = room / "gone" / ("folder-with-a-long-name-" * 6)
    gone.mkdir(parents=True)
    for number in range(12):
        locked = room / "locked" / f"locked {number:02d} {'long' * 30}"
        locked.parent.mkdir(exist_ok=True)
        locked.write_bytes(b"x")
        lock_away(locked)

    def create(name: str, source: str, **fields: object) -> str:
        return server.create_job(room / source, room / f"to {name[:9]}", name=name, **fields)

    ids = {
        "done": create(
            "Completed",
            "from",
            verification="checksum",
            tags=["weekly"],
            options={"bandwidth_limit": "2500K", "exclude": ["*.tmp", "cache/"]},
        ),
        "slow": create(_HTML_NAME, "from", options={"bandwidth_limit": "10K"}),
        "stopped": create("Paused", "from", options={"bandwidth_limit": "10K"}),
        "planned": create("Planned", "many", options={"delete_extraneous": True}),
        "partly": create("Partly", "locked"),
        "wrong": server.create_job(gone, room / "to nothing", name=_LONG_NAME),
        "deleting": a_deleting_job(server, make_tree(room / "old", files=12), room / "kept"),
        "new": create("Not run yet", "from"),
    }
    gone.rmdir()
    rule: dict[str, object] = {"name": "hook", "target": "hook", "tags": ["weekly"]}
    # What it tells waits for the other end of the day: nothing of it is sent.
    rule |= {"address": "json://127.0.0.1/x", "digest_seconds": 86_400}
    rule |= {"jobs": [ids["wrong"], ids["slow"]]}
    server.http.post("/api/v1/notifications/rules", json=rule).raise_for_status()
    keep(server.data_dir, past_runs(ids["done"], 48))
    make_tree(room / "to Planned", files=3, seed=2)
    started = {
        run: server.start_job(ids[job])
        for run, job in (
            ("completed", "done"),
            ("failed", "wrong"),
            ("paused", "stopped"),
            ("running", "slow"),
            ("files", "partly"),
            ("deleted", "deleting"),
        )
    }
    dry = server.http.post(f"/api/v1/jobs/{ids['planned']}/dry-run")
    started["dry"] = dry.json()["run_id"]
    wait_until(lambda: server.state(ids["stopped"])["progress"], what="progress")
    server.http.post(f"/api/v1/jobs/{ids['stopped']}/stop")
    for run, run_id in started.items():
        if run != "running":
            server.wait_for_end(run_id)
    wait_until(lambda: server.state(ids["slow"])["progress"], what="progress")
    log = server.data_dir / "runs" / started["completed"] / "engine.log"
    with log.open("a") as file:
        file.writelines(f"line {number} of many\n" for number in range(_A_THOUSAND_LINES))
    (server.data_dir / "jobs" / "broken.yaml").write_text("name: [\n", encoding="utf-8")
    wait_until(lambda: server.http.get("/api/v1/errors").json()["items"], what="the damaged job")
    return ids | started | {"error": server.http.get("/api/v1/errors").json()["items"][0]["id"]}


def _get_routes(data_dir: Path) -> set[str]:
    """Return the names of what the application answers to GET, but for its JSON API."""
    found: set[str] = set()
    waiting = list(create_app(Settings(data_dir=data_dir)).routes)
    while waiting:
        route = waiting.pop()
        if (router := getattr(route, "original_router", None)) is not None:
            waiting += router.routes
        if not isinstance(route, APIRoute) or route.path.startswith("/api/"):
            continue
        if "GET" in (route.methods or ()):
            found.add(route.name)
    return found


def test_no_page_is_forgotten(tmp_path: Path) -> None:
    routes = _get_routes(tmp_path)
    assert {"dashboard", "run_page", "settings_page"} <= routes
    assert routes - _NO_PAGES == set(_PAGES) - {"error"}, "a page that no test here looks at"


def _in_every_size(page: Page) -> list[str]:
    faults = []
    for width in (DESK, _TWICE, PHONE, _NARROW):
        set_width(page, width)
        faults += [f"{width} px: {fault}" for fault in misfits(page)]
    set_width(page, DESK)
    set_size_of_text(page, 32)
    faults += [f"large text: {fault}" for fault in misfits(page)]
    set_size_of_text(page, 16)
    return faults


def _for_axe(page: Page) -> list[str]:
    # Colours hang on the scheme, the layout on the width: each of them once.
    return faults_of(page, ((PHONE, "dark"), (DESK, "light")))


def _on_paper(page: Page) -> list[str]:
    faults = []
    set_width(page, _PAPER)
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        faults += [f"{scheme}: {fault}" for fault in faults_on_paper(page)]
    return faults


@pytest.mark.long
@pytest.mark.parametrize("part", range(_PARTS))
def test_every_page_is_as_it_should_be(site: Site, visitor: Visitor, part: int) -> None:
    visitor.allow("status of 404")
    page = visitor.open(site.server.url)
    found = {}
    for name, address in list(site.pages())[part::_PARTS]:
        page.goto(address)
        if name not in _PAGES["error"]:
            expect_live(page)
        looks = (_for_axe, _in_every_size, _on_paper, movements)
        if faults := [fault for look in looks for fault in look(page)]:
            found[name] = faults
    assert found == {}


def test_a_long_log_is_printed_over_several_pages(site: Site, visitor: Visitor) -> None:
    page = visitor.open(f"{site.server.url}/runs/{site.ids['completed']}/log")
    expect(page.locator(".log-line").last).to_have_text(f"line {_A_THOUSAND_LINES - 1} of many")
    lines = page.locator(".log-line").count()
    printed = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > lines / _LINES_ON_PAPER


def test_a_number_says_exactly_what_it_is(site: Site, visitor: Visitor) -> None:
    page = visitor.open(f"{site.server.url}/runs/{site.ids['completed']}")
    size = page.locator(".facts > div").filter(has_text="Size").locator("dd")
    expect(size.locator("[title]")).to_have_text("6.0 MiB")
    expect(size.locator("[title]")).to_have_attribute("title", f"{6 * 2**20:,} bytes")
    expect(size).to_have_text(f"6.0 MiB ({6 * 2**20:,} bytes)")
    page.goto(f"{site.server.url}/runs/{site.ids['running']}")
    expect(page.locator("[data-live=bytes]")).to_contain_text("of 6.0 MiB")
    # What is patched as a text has no exact value, which would stay behind.
    expect(page.locator(".run-live [title]")).to_have_count(0)


def test_a_fault_of_a_page_would_be_found(site: Site, visitor: Visitor) -> None:
    page = visitor.open(f"{site.server.url}/runs")
    assert misfits(page) == []
    page.evaluate(_ADD_STYLE, _FAULTY)
    found = "\n".join(misfits(page))
    for fault in ("cut off: h1.", "overlap: ", "px wide"):
        assert fault in found
    page.emulate_media(reduced_motion="no-preference")
    assert "moves: turn" in movements(page)
    set_width(page, _PAPER)
    assert "on paper: button" in "\n".join(faults_on_paper(page))
