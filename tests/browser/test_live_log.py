"""The log on the page of a run while the tool floods it: the newest lines, and then the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visitor import Visitor, expect_live, expect_status
from tests.fakes.flood import FloodingRsync
from tests.support import RunningServer, make_tree, wait_until

SIZE = 60_000_000
SHOWN_CHARACTERS = 262_144


def test_the_newest_lines_of_a_flood_are_shown_and_those_after_it_follow(
    make_server: Callable[..., RunningServer], visitor: Visitor, rsync: str, tmp_path: Path
) -> None:
    flooding = FloodingRsync(tmp_path / "tool", rsync, size=SIZE)
    flooding.hold()
    server = make_server(**flooding.environment)
    make_tree(tmp_path / "from", files=5)
    job_id = server.create_job(tmp_path / "from", tmp_path / "to")
    run_id = server.start_job(job_id)

    page = visitor.open(f"{server.url}/runs/{run_id}")
    expect_live(page)
    log = page.locator("#log")
    wait_until(lambda: flooding.has_flooded, seconds=120, what="the end of the flood")
    expect(log).to_contain_text("the last of", timeout=40_000)

    flooding.go_on()
    expect_status(page.locator(f"#run-{run_id}"), "warning", seconds=60)
    expect(log).to_contain_text(">f+++++++++", timeout=40_000)
    expect(log).to_contain_text("file-00004.dat")
    text = log.inner_text()
    assert text.count("the last of") == 1
    assert text.count("file-00004.dat") == 1
    assert len(text) < 2 * SHOWN_CHARACTERS

    visitor.open(f"{server.url}/runs/{run_id}")
    expect(page.locator("#log")).to_contain_text("file-00004.dat")
