"""A person clicks through everything: every page, every control, every form, and nothing complains.

What has to be visited is asked of the application, and what has to be clicked is whatever the pages
offer: something new that nobody clicks here fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fastapi_app.application import create_app
from models.settings import Settings
from tests.browser.controls import Account, routes_of
from tests.browser.lived_in import LivedIn, lived_in
from tests.browser.touring_access import tour_of_access
from tests.browser.touring_audit import tour_of_the_audit_log
from tests.browser.touring_errors import tour_of_errors
from tests.browser.touring_jobs import tour_of_a_job, tour_of_jobs, tour_of_the_form
from tests.browser.touring_notifications import tour_of_notifications
from tests.browser.touring_runs import tour_of_runs
from tests.browser.visitor import (
    Visitor,
    expect_live,
    fast_timers,
    job_id_of,
    wait_out_double_click,
)
from tests.support import RunningServer

# What the browser itself logs of an answer that is the point of a click.
_REFUSED = r"status of 4(01|04|12|22) .*"
_LEFT_ALONE = {
    "a -> GET /(activity|errors/trend|jobs/{job_id}/(figures|older-runs)|runs/{run_id}/figures)": (
        "stands where a table will be in a moment, and is for pages without a script"
    ),
}
_FOR_MACHINES = ["GET /api/v1/openapi.json", "GET /metrics"]
"""What no page leads to."""


@pytest.mark.long
@pytest.mark.timeout(900)  # It does a great deal, and on a busy machine a page takes a second.
def test_everything_is_clicked_and_nothing_complains(
    visitor: Visitor, rsync: str, room: Path, make_server: Callable[..., RunningServer]
) -> None:
    visitor.allow(_REFUSED)
    account = Account(routes_of(create_app(Settings(data_dir=room / "none"))))
    with lived_in(room) as site:
        page = visitor.open(f"{site.url}/", before=account.follow)
        page.on("dialog", lambda dialog: dialog.accept())
        for tour in TOURS:
            tour(page, site)
        _polling(visitor, site, account)
        _with_no_job(page, make_server())
        tour_of_access(page, make_server("guarded"))
        ids = {"job_id": site.jobs["completed"], "run_id": site.runs["completed"]}
        assert account.unvisited(site.server, **ids, field="source") == []
    assert account.unused(_LEFT_ALONE) == {}
    assert account.unasked() == _FOR_MACHINES
    assert account.wrong_policies == set()


def _frame(page: Page, site: LivedIn) -> None:
    """What every page has around it."""
    expect_live(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for name in ("Jobs", "Runs", "Logs", "Settings", "Dashboard"):
        page.locator(".rail").get_by_role("link", name=name, exact=True).click()
        expect(page.locator("h1")).to_have_text(name)
        expect_live(page)
    page.locator(".rail [data-go=e]").click()
    page.wait_for_url(f"{site.url}/errors")
    page.locator(".rail .brand").click()
    page.locator("#bell-button").click()
    page.locator("#bell-list a").first.click()
    page.wait_for_url(re.compile("/runs/"))
    page.locator("[data-keys-open]").click()
    page.locator("#keys-on").uncheck()
    page.locator("#keys-on").check()
    page.locator("#keys-close").click()
    for keys, place in (("gj", "/jobs"), ("n", "/jobs/new")):
        page.keyboard.type(keys)
        page.wait_for_url(f"{site.url}{place}")
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    page.locator(".rail").get_by_role("link", name="Dashboard").click()


def _dashboard(page: Page, site: LivedIn) -> None:
    """What was met, what runs, what ended last, and the days."""
    expect_live(page)
    page.locator(".page-notice button").click()
    expect(page.locator(".page-notice")).to_have_count(0)
    page.locator("#banners .banner-about a").first.click()
    page.wait_for_url(re.compile("/errors/"))
    page.go_back()
    page.locator("#banners button").first.click()
    expect(page.locator("#banners button")).to_have_count(0)
    page.locator("#activity-table > summary").click()
    expect(page.locator("#figures")).to_be_visible()
    page.locator("#summary a").first.click()
    page.wait_for_url(re.compile("status="))
    page.go_back()
    for link in ("#recent-runs a.status-link", "#recent-runs .run-job a", "#job-list .job-name a"):
        page.locator(link).first.click()
        expect(page.locator("#recent-runs")).to_have_count(0)
        page.go_back()
    page.get_by_role("link", name="All runs").click()
    page.goto(f"{site.url}/activity")
    page.locator(".crumbs a").click()
    expect_live(page)


def _logs(page: Page, site: LivedIn) -> None:
    """Lines of all logs."""
    page.goto(f"{site.url}/logs")
    expect_live(page)
    page.locator("#logs-level").select_option("all")
    with page.expect_download():
        page.locator("#logs-download").click()
    page.locator("#logs-job").fill("Completed")
    expect(page.locator(".log-group").first).to_contain_text("Completed")
    page.locator("#logs-q").fill("nothing says so")
    expect(page.locator(".log-group")).to_have_count(0)
    page.get_by_role("link", name="Show every line").click()
    page.goto(f"{site.url}/logs?level=all")
    page.get_by_role("link", name="Older runs").click()
    page.go_back()
    for link in (".log-group h2 a", ".log-group .status-link", ".log-group-all"):
        page.locator(link).first.click()
        expect(page.locator("#logs-found")).to_have_count(0)
        page.go_back()


def _settings(page: Page, site: LivedIn) -> None:
    """Each setting is typed, refused, saved and reset."""
    page.goto(f"{site.url}/settings")
    page.locator("#to-access").click()
    page.locator("#to-account").click()
    page.locator(".crumbs a").click()
    page.wait_for_url(f"{site.url}/settings")
    expect_live(page)
    page.locator("#field-resume_interrupted").check()
    for field in page.locator("#settings-form input[type=text]").all():
        before = field.input_value()
        field.fill("1")
        field.fill(before)
    page.locator("#field-kept_run_days").fill("never")
    page.locator("#settings-save").click()
    expect(page.locator("#error-summary")).to_be_focused()
    page.locator("#error-summary a").click()
    page.locator("#field-kept_run_days").fill("400")
    wait_out_double_click(page)
    page.locator("#settings-save").click()
    expect(page.locator("#settings-status")).to_contain_text("Saved.")
    count = page.locator("[id^=reset-]").count()
    for left in reversed(range(count)):
        wait_out_double_click(page)
        page.locator("[id^=reset-]").first.click()
        expect(page.locator("[id^=reset-]")).to_have_count(left)


def _nowhere(page: Page, site: LivedIn) -> None:
    """An address that leads to nothing."""
    page.goto(f"{site.url}/jobs/nobody")
    page.get_by_role("link", name="Try again").click()
    page.get_by_role("link", name="To the dashboard").click()
    expect_live(page)


def _with_no_job(page: Page, server: RunningServer) -> None:
    """What is offered where there is nothing yet."""
    page.goto(f"{server.url}/runs")
    page.get_by_role("link", name="Go to the jobs").click()
    page.get_by_role("link", name="Create a job").click()
    page.go_back()
    page.locator("#sample-button").click()
    job_id_of(page)


def _polling(visitor: Visitor, site: LivedIn, account: Account) -> None:
    """A page that cannot be live asks for its parts, until somebody connects it again."""
    may_connect = False

    def before(page: Page) -> None:
        account.follow(page)
        page.add_init_script(fast_timers(50))
        page.route_web_socket(
            re.compile("/ws"),
            lambda socket: socket.connect_to_server() if may_connect else socket.close(),
        )

    page = visitor.open(f"{site.url}/jobs", before=before)
    with page.expect_response("**/card"):
        expect(page.locator("#live-indicator")).to_have_attribute("data-state", "polling")
    may_connect = True
    page.locator("#live-reconnect").click()
    expect_live(page)


TOURS = (
    _frame,
    _dashboard,
    tour_of_jobs,
    tour_of_a_job,
    tour_of_the_form,
    tour_of_runs,
    tour_of_errors,
    _logs,
    _settings,
    tour_of_notifications,
    tour_of_the_audit_log,
    _nowhere,
)
