"""Stopping at about half and resuming by click; the page of a run; the sample job."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visitor import (
    Visitor,
    card,
    collect_texts,
    collected_texts,
    expect_live,
    expect_status,
    is_same_document,
    job_id_of,
    mark,
)
from tests.support import RunningServer, make_large_file, rsync_differences

_MEGABYTES = 24
_HALF = 45


def test_stopped_at_about_half_and_resumed(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    size = make_large_file(source / "film.bin", megabytes=_MEGABYTES).stat().st_size
    limits = {"bandwidth_limit": "8M"}
    job_id = server.create_job(source, destination, options=limits, verification="checksum")
    page = visitor.open(f"{server.url}/")
    expect_live(page)
    mark(page)
    this, button = card(page, job_id), page.locator(f"#job-{job_id}-button")
    expect(button).to_contain_text("Start")
    button.click()
    expect_status(this, "running")
    page.wait_for_function(
        "([id, least]) => document.querySelector(`#job-${id} progress`)?.value >= least",
        arg=[job_id, _HALF],
    )
    button.click()
    expect_status(this, "paused")
    expect(this.locator(".status")).to_have_text("Paused")
    expect(button).to_contain_text("Resume")
    stopped_at = this.locator("[data-live=percent_text]").inner_text()
    assert _HALF <= int(stopped_at.rstrip("%")) < 100
    first = server.state(job_id)["run_id"]
    assert rsync_differences(source, destination) != ""

    collect_texts(page, f"#job-{job_id} .job-state .status")
    button.click()
    expect_status(this, "completed", seconds=30)
    assert is_same_document(page)
    assert collected_texts(page)[-2:] == ["Running", "Completed"]
    assert rsync_differences(source, destination) == ""
    second = server.state(job_id)["run_id"]
    assert second != first
    assert server.run(second)["progress"]["bytes_sent"] < 0.6 * size

    page.locator(f"#job-{job_id}-more").click()
    page.locator(f"#job-{job_id}-last-run").click()
    page.wait_for_url(f"{server.url}/runs/{second}")
    head = page.locator(f"#run-{second}")
    expect_status(head, "completed")
    expect(head).to_have_attribute("data-active", "false")
    expect(head.locator(".phase-word")).to_have_text(
        [re.compile(word) for word in ("Checking", "Copying", "Writing to disk", "Verifying")]
    )
    expect(page.locator("#log")).to_contain_text("film.bin")
    expect(page.locator("#log-empty")).to_be_hidden()
    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect(page.locator(f"#row-{second} .status")).to_have_text("Completed")
    expect(page.locator(f"#row-{first} .status")).to_have_text("Paused")


def test_a_run_is_watched_and_stopped_on_its_own_page(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    make_large_file(room / "from" / "film.bin", megabytes=8)
    job_id = server.create_job(room / "from", room / "to", options={"bandwidth_limit": "1M"})
    run_id = server.start_job(job_id)
    page = visitor.open(f"{server.url}/runs/{run_id}")
    expect_live(page)
    mark(page)
    head = page.locator(f"#run-{run_id}")
    expect_status(head, "running")
    expect(head.locator("[data-live=percent_text]")).to_have_text(re.compile(r"^[2-9]\d%$"))
    page.locator(f"#run-{run_id}-button").click()
    expect_status(head, "paused")
    expect(page.locator(f"#run-{run_id}-button")).to_have_count(0)
    assert is_same_document(page)
    assert server.state(job_id)["status"] == "paused"


def test_the_sample_job_of_the_empty_state_completes(
    server: RunningServer, visitor: Visitor, rsync: str
) -> None:
    page = visitor.open(f"{server.url}/")
    expect(page.locator("[data-empty-state]")).to_be_visible()
    page.locator("#sample-button").click()
    job_id = job_id_of(page)
    expect_status(card(page, job_id), "completed", seconds=40)
    copied = server.data_dir / "sample-copy"
    assert (copied / "static" / "js" / "live.js").is_file()
