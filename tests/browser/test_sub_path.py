"""Everything under a sub-path, behind a real nginx that is set up as the documentation says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import HttpCredentials, Page, expect

from tests.browser.nginx import PASSWORD, USER, Nginx, nginx_to
from tests.browser.plotting import wait_for_ink
from tests.browser.visitor import (
    Visitor,
    card,
    expect_live,
    expect_status,
    is_same_document,
    job_id_of,
    mark,
)
from tests.integration.running import run_to_end
from tests.support import RunningServer, make_large_file, make_tree

_CREDENTIALS: HttpCredentials = {"username": USER, "password": PASSWORD}
# Who comes without the password is asked for it, and the browser logs that as an error.
_ASKED = "status of 401"


@pytest.fixture
def server(make_server: Callable[..., RunningServer]) -> RunningServer:
    """A server that is told of its sub-path."""
    return make_server(LONGSHORE_ROOT_PATH="/backup", LONGSHORE_OPEN_BEHIND_PROXY="true")


@pytest.fixture
def nginx(server: RunningServer, visitor: Visitor, tmp_path: Path) -> Iterator[Nginx]:
    """An nginx in front of it, which must have had nothing to complain of."""
    visitor.allow(_ASKED)
    with nginx_to(server.port, tmp_path / "nginx", under="/backup") as found:
        yield found
        assert found.strays == []
        visitor.close()
    assert found.complaints == []


def test_a_job_from_its_form_to_its_end(
    server: RunningServer, nginx: Nginx, visitor: Visitor, rsync: str, room: Path
) -> None:
    make_large_file(room / "from" / "film.bin", megabytes=2)
    page = visitor.open(f"{nginx.url}/", credentials=_CREDENTIALS)
    expect_live(page)
    page.get_by_role("link", name="Create a job").click()
    page.locator("#field-name").fill("Beneath")
    page.locator("#field-source").fill(str(room))
    page.locator("#browse-source").click()
    page.locator("#browser-source").get_by_role("button", name="from", exact=True).click()
    expect(page.locator("#browser-source .browser-path")).to_have_text(str(room / "from"))
    page.locator("[data-browser-use]").click()
    page.locator("#field-destination").fill(str(room / "to"))
    page.locator("#field-bandwidth_limit").fill("1M")
    page.locator("#job-form-submit").click()
    job_id = job_id_of(page)
    expect_live(page)
    page.locator(f"#job-{job_id}-button").click()
    expect_status(card(page, job_id), "running")
    page.locator(f"#job-{job_id}-button .spinner").wait_for(state="hidden")
    page.locator(f"#job-{job_id} .status-link").click()
    page.wait_for_url(re.compile(r"/backup/runs/"))
    mark(page)
    expect_live(page)
    expect_status(page.locator(".run-head"), "completed")
    assert is_same_document(page), "its end came through the WebSocket"
    expect(page.locator("#log")).to_contain_text("film.bin")
    for name in ("Runs", "Jobs", "Dashboard"):
        page.get_by_role("link", name=name, exact=True).first.click()
        expect(page.locator("h1")).to_have_text(name)
        expect_live(page)
    page.locator(f"#job-{job_id}-more").click()
    page.locator(f"#job-{job_id}-edit").click()
    page.locator("#field-name").fill("Beneath, renamed")
    page.locator("#job-form-submit").click()
    assert job_id_of(page) == job_id
    expect(page.locator("h1")).to_have_text("Beneath, renamed")
    page.locator(f"#job-{job_id}-more").click()
    page.locator(f"#job-{job_id}-delete").click()
    page.locator("#field-name").fill("Beneath, renamed")
    page.locator("#delete-button").click()
    page.wait_for_url(re.compile(r"/backup/jobs$"))
    expect(page.locator("[data-empty-state]")).to_be_visible()
    assert server.jobs() == []


def test_logs_settings_bell_plots_and_several_jobs(
    server: RunningServer, nginx: Nginx, visitor: Visitor, rsync: str, room: Path
) -> None:
    source = make_tree(room / "from", files=600)
    jobs = [server.create_job(source, room / f"to {n}", name=f"Job {n}") for n in range(2)]
    gone = make_tree(room / "gone", files=1)
    failing = server.create_job(gone, room / "to nothing", name="Gone")
    run_id = run_to_end(server, jobs[0])["id"]
    gone.rename(room / "elsewhere")
    page = visitor.open(f"{nginx.url}/", credentials=_CREDENTIALS)
    _bell(page, server, failing)
    _plots(page, nginx, jobs[0])
    _logs(page, nginx, run_id)
    _settings(page, server, nginx)
    _several(page, nginx, jobs)


def _bell(page: Page, server: RunningServer, job_id: str) -> None:
    expect_live(page)
    wait_for_ink(page, "plot-day-runs")
    run_id = run_to_end(server, job_id)["id"]
    message = page.locator("#toasts [data-happening]")
    expect(message).to_contain_text("Gone failed")
    page.locator("#bell-button").click()
    page.locator("#bell-list").get_by_role("link", name="Gone failed").click()
    page.wait_for_url(f"**/backup/runs/{run_id}")
    expect_status(page.locator(".run-head"), "failed")


def _plots(page: Page, nginx: Nginx, job_id: str) -> None:
    page.goto(f"{nginx.url}/jobs/{job_id}")
    wait_for_ink(page, "plot-duration")
    page.locator("#job-figures-table > summary").click()
    expect(page.locator("#figures tbody tr")).to_have_count(1)
    page.locator(".outcome").click()
    page.wait_for_url("**/backup/runs/*")


def _logs(page: Page, nginx: Nginx, run_id: str) -> None:
    page.goto(f"{nginx.url}/logs")
    page.locator("#logs-level").select_option("all")
    page.locator(f"#log-of-{run_id} .log-group-all").click()
    page.wait_for_url(f"**/backup/runs/{run_id}/log*")
    page.locator("#log-start").click()
    expect(page.locator("#log-later")).to_be_visible()
    page.locator("#log-later").click()
    expect(page.locator("#log")).to_contain_text("file-00599.dat")
    page.locator("#log-q").fill("file-00007")
    expect(page.locator("#log-about")).to_have_text("Hit 1 of 1")
    with page.expect_download() as download:
        page.locator("#log-download").click()
    assert "file-00007.dat" in Path(download.value.path()).read_text(encoding="utf-8")


def _settings(page: Page, server: RunningServer, nginx: Nginx) -> None:
    page.goto(f"{nginx.url}/settings")
    page.locator("#field-max_concurrent_runs").fill("7")
    page.locator("#settings-save").click()
    expect(page.locator("#settings-status")).to_have_text("Saved. Runs at once: 7 runs.")
    saved = server.http.get("/api/v1/settings").json()["values"]
    assert saved["max_concurrent_runs"] == 7


def _several(page: Page, nginx: Nginx, jobs: list[str]) -> None:
    page.goto(f"{nginx.url}/jobs")
    expect_live(page)
    for job_id in jobs:
        page.locator(f"#job-{job_id}-select").check()
    page.locator("#many-start").click()
    expect(page.locator("#many-result")).to_contain_text("2 jobs started or queued.")
    for job_id in jobs:
        expect_status(card(page, job_id), "completed")
        page.locator(f"#job-{job_id}-select").check()
    page.locator("#many-delete").click()
    page.get_by_role("link", name="Keep them").click()
    page.wait_for_url("**/backup/jobs")


def test_the_address_without_its_last_slash_leads_there(
    server: RunningServer, nginx: Nginx, visitor: Visitor
) -> None:
    page = visitor.open(f"{nginx.url}/", credentials=_CREDENTIALS)
    answer = page.request.get(nginx.url, max_redirects=0)
    assert (answer.status, answer.headers["location"]) == (308, f"{nginx.url}/")


def test_without_javascript_every_redirect_stays_beneath(
    server: RunningServer, nginx: Nginx, visitor: Visitor, rsync: str, room: Path
) -> None:
    job_id = server.create_job(make_tree(room / "from", files=1), room / "to", name="Plain")
    page = visitor.open(f"{nginx.url}/jobs", credentials=_CREDENTIALS, script=False)
    page.locator("#look-table").click()
    expect(page.locator("#look-table")).to_have_attribute("aria-pressed", "true")
    page.locator(f"#job-{job_id}-button").click()
    page.wait_for_url(f"**/backup/jobs/{job_id}")
    page.goto(f"{nginx.url}/settings")
    page.locator("#field-kept_run_days").fill("30")
    page.locator("#settings-save").click()
    page.wait_for_url("**/backup/settings?saved=1")


def test_a_whole_host_behind_a_password(
    make_server: Callable[..., RunningServer], visitor: Visitor, tmp_path: Path
) -> None:
    visitor.allow(_ASKED)
    server = make_server("whole", LONGSHORE_OPEN_BEHIND_PROXY="true")
    with nginx_to(server.port, tmp_path / "whole host") as nginx:
        page = visitor.open(nginx.url, credentials=_CREDENTIALS)
        expect_live(page)
        page.locator("#sample-button").click()
        job_id = job_id_of(page)
        expect_status(card(page, job_id), "completed")
        answer = page.request.get(f"{nginx.url}/jobs", headers={"Authorization": "Basic bm9ib2R5"})
        assert answer.status == 401
        visitor.close()
