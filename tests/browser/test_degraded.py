"""An open page says what it has to do without, and is whole again by itself."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, expect_live, is_same_document, mark
from tests.integration.running import run_to_end
from tests.integration.test_degraded_pages import tables_away
from tests.support import RunningServer, make_tree

_PARTS = ("#recent-runs", "#errors", "#activity", "#job-list")
_AWAY = "cannot be read now"


def test_a_page_is_degraded_and_whole_again_without_being_asked_for_anew(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    make_tree(room / "source", files=2)
    job_id = server.create_job(room / "source", room / "copy", name="Photos")
    run_to_end(server, job_id)
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    mark(page)
    settings = visitor.open(f"{server.url}/settings")
    expect_live(settings)
    expect(settings.locator("#degraded-list")).to_have_count(0)
    with tables_away(server, "runs", "run_days", "error_events"):
        assert server.http.get("/").status_code == 200
        # Told to every page, and to this one with its parts.
        note = settings.locator("#degraded-list li").filter(has_text="The database does not answer")
        expect(note).to_have_count(1)
        expect(page.locator("#degraded-list")).to_contain_text("The database does not answer")
        for part in ("#recent-runs", "#errors", "#activity"):
            expect(page.locator(part)).to_contain_text(_AWAY)
        page.reload()
        expect_live(page)
        mark(page)
        for part in _PARTS:
            expect(page.locator(part)).to_contain_text(_AWAY)
        assert faults_of(page) == []
    for part in _PARTS:
        expect(page.locator(part)).not_to_contain_text(_AWAY)
    expect(page.locator("#recent-runs")).to_contain_text("Photos")
    expect(page.locator("#job-list .strip i")).to_have_count(1)
    expect(page.locator("#degraded-list")).to_have_count(0)
    expect(settings.locator("#degraded-list")).to_have_count(0)
    assert is_same_document(page)
