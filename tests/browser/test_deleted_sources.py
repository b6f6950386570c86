"""Proves that deleted sources are found and put back by clicking, on a page that fits a phone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, expect_live
from tests.integration.running import wait_for_status
from tests.integration.test_source_deletion import a_deleting_job, files_in
from tests.support import RunningServer, make_tree

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.usefixtures("rsync")]
COUNT = 14
HOSTILE = (b"<img src=x onerror=window.ran=1>", b"\x1b[31m\xff", b"W" * 240)


def test_deleted_sources_are_found_and_put_back(
    visitor: Visitor, server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=COUNT - len(HOSTILE) - 1)
    (source / "slow").write_bytes(os.urandom(400_000))
    for name in HOSTILE:
        Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_bytes(name)
    subprocess.run(["cp", "-a", source, room / "before"], check=True)
    options = {"bandwidth_limit": "400K"}
    job_id = a_deleting_job(server, source, room / "to", trash_days=30, options=options)
    run_id = server.start_job(job_id)
    page = visitor.open(f"{server.url}/runs/{run_id}")
    expect_live(page)

    # It comes by itself once the run is over.
    expect(page.get_by_role("heading", name="Deleted sources")).to_be_visible()
    expect(page.locator("#deletions-counts")).to_have_text(f"{COUNT} lie in the trash folder.")
    wait_for_status(server, job_id, "completed")
    assert len(files_in(source / ".longshore-trash")) == len(files_in(source)) == COUNT
    assert faults_of(page) == []

    page.get_by_role("searchbox", name="Find sources").fill("IMG SRC")
    expect(page.locator("#deletions-note")).to_have_text(f"1 of {COUNT} match")
    expect(page.locator(".deletion-row")).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Find sources")).to_be_focused()
    page.get_by_role("searchbox", name="Find sources").fill("")
    expect(page.locator(".deletion-row")).to_have_count(COUNT)

    page.get_by_role("button", name="Put everything back").focus()
    page.keyboard.press("Enter")

    expect(page.locator("#deletions-counts")).to_have_text(f"{COUNT} were put back.")
    expect(page.get_by_role("button", name="Put everything back")).to_have_count(0)
    argv = ["diff", "-r", "--no-dereference", str(source), str(room / "before")]
    assert subprocess.run(argv, capture_output=True, check=False).stdout == b""
