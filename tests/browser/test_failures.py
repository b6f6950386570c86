"""Proves that failed files are found and tried again by clicking, on a page that fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor
from tests.integration.running import ended_server, run_to_end
from tests.integration.test_copy_faults import WeakServer
from tests.integration.test_retry_failed import lock_away, mend
from tests.support import RunningServer, make_tree

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.usefixtures("rsync")]
COUNT = 12


@pytest.fixture(scope="module")
def weak_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whom permission bits stop."""
    with ended_server(WeakServer(tmp_path_factory.mktemp("weak") / "data")) as server:
        yield server


def test_failed_files_are_found_and_tried_again(
    visitor: Visitor, weak_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    locked = [source / f"locked {number:02d} {'long' * 30}" for number in range(COUNT)]
    for path in locked:
        path.write_bytes(b"x")
        lock_away(path)
    job_id = weak_server.create_job(source, room / "to")
    run = run_to_end(weak_server, job_id)
    page = visitor.open(f"{weak_server.url}/runs/{run['id']}")
    expect(page.get_by_role("heading", name=f"{COUNT} files failed")).to_be_visible()
    assert faults_of(page) == []

    page.get_by_role("searchbox", name="Find failed files").fill("LOCKED 07")
    expect(page.locator("#failed-files li")).to_have_count(1)
    expect(page.locator("#failures-note")).to_have_text(f"1 of {COUNT} match")
    expect(page.locator("#failures-q")).to_be_focused()
    # A change elsewhere fetches the list anew: as it was asked for.
    with page.expect_response(lambda answer: "failed_q=LOCKED" in answer.url):
        page.evaluate("document.body.dispatchEvent(new CustomEvent('longshore-changed'))")
    expect(page.locator("#failed-files li")).to_have_count(1)
    expect(page.locator("#failures-q")).to_be_focused()
    for path in locked:
        mend(path)
    page.get_by_role("button", name=f"Retry only these {COUNT} files").click()

    page.wait_for_url(lambda url: "/runs/" in url and run["id"] not in url)
    expect(page.locator(".run-head .status").first).to_have_text("Completed", timeout=40_000)
    expect(page.locator(".run-again")).to_contain_text(f"{COUNT} files of run {run['id']} again")
    page.get_by_role("link", name="Show that run").click()
    page.wait_for_url(f"**/runs/{run['id']}")
    for path in locked:
        assert (room / "to" / path.name).read_bytes() == b"x"
