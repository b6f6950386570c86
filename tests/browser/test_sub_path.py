"""Everything under a sub-path, behind a proxy that takes the prefix off, with clicks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.proxy import proxy_to
from tests.browser.visitor import Visitor, card, expect_live, expect_status, job_id_of
from tests.support import RunningServer, make_large_file


def test_everything_works_under_a_sub_path(
    make_server: Callable[..., RunningServer], visitor: Visitor, rsync: str, room: Path
) -> None:
    server = make_server(LONGSHORE_ROOT_PATH="/backup")
    make_large_file(room / "from" / "film.bin", megabytes=2)
    with proxy_to(server.port, "/backup") as proxy:
        page = visitor.open(f"{proxy.url}/")
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
        expect_live(page)
        expect_status(page.locator(".run-head"), "completed")
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
        page.locator("#delete-button").click()
        page.wait_for_url(re.compile(r"/backup/jobs$"))
        expect(page.locator("[data-empty-state]")).to_be_visible()
        assert proxy.strays == []
        page.close()
    assert server.jobs() == []
