"""A dry run by click: from the job's page and from a card, watched, searched, without script."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import (
    PHONE,
    Visitor,
    card,
    expect_live,
    expect_status,
    is_same_document,
    mark,
)
from tests.support import RunningServer, make_tree


def furnish(room: Path) -> tuple[Path, Path]:
    """Make a source, and a destination where things are missing, other, and too many."""
    source, destination = make_tree(room / "from", files=130), room / "to"
    (source / "photo of the harbour.jpg").write_bytes(b"new" * 5000)
    destination.mkdir()
    (destination / "photo of the harbour.jpg").write_bytes(b"old")
    (destination / "letters").mkdir()
    (destination / "letters" / "only here.odt").write_bytes(b"letter" * 500)
    facts = source.stat()
    os.utime(destination, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return source, destination


def dry_run_by_click(page: Page, button: str) -> str:
    """Click, arrive at the dry run's page, and wait for its list; returns the run's id."""
    page.locator(button).click()
    page.wait_for_url(re.compile(r"/runs/[^/]+$"))
    run_id = page.url.rpartition("/")[2]
    expect(page.locator("#preview-found")).to_be_visible()
    return run_id


def test_from_the_job_to_the_list_and_back(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    source, destination = furnish(room)
    job_id = server.create_job(source, destination, options={"delete_extraneous": True})
    page = visitor.open(f"{server.url}/jobs/{job_id}")
    expect_live(page)
    run_id = dry_run_by_click(page, f"#job-{job_id}-dry-run-top")

    head = page.locator(f"#run-{run_id}")
    expect_status(head, "dry-run")
    expect(head.locator(".status").first).to_have_text("Dry run done")
    expect(head.locator(".phase-word")).to_have_text([re.compile("Checking"), re.compile("Compar")])
    expect(page.locator("#preview-warning")).to_contain_text("2 entries (2.9 KiB, 1 folder)")
    expect(page.locator("#preview-warning")).to_contain_text(str(destination))
    expect(page.locator("#preview-tab-create .preview-count")).to_have_text("136")
    expect(page.locator("#preview-tab-update .preview-count")).to_have_text("1")
    assert not (destination / "folder 000").exists()
    expect(page.locator(".preview-row")).to_have_count(100)

    mark(page)
    page.locator("#preview-tab-delete").click()
    rows = page.locator(".preview-row")
    expect(rows.locator(".path")).to_have_text(["letters/only here.odt", "letters/"])
    expect(page.locator("#preview-tab-delete")).to_have_attribute("aria-current", "true")
    expect(page).to_have_url(re.compile("preview_change=delete"))
    page.locator("#preview-q").fill("HARBOUR")
    expect(page.locator("#preview-none")).to_be_visible()
    page.locator("#preview-tab-all").click()
    expect(rows.locator(".path")).to_have_text(["photo of the harbour.jpg"])
    expect(page.locator("#preview-note")).to_contain_text("1 of")
    expect(page.locator("#preview-q")).to_have_value("HARBOUR")
    assert is_same_document(page)
    page.locator("#preview-q").fill("")
    expect(rows).to_have_count(100)
    page.locator("#preview-next").click()
    expect(page.locator("#preview-first")).to_be_visible()
    expect(rows).to_have_count(39)

    page.goto(f"{server.url}/jobs/{job_id}")
    summary = page.locator("#job-dry-run")
    expect(summary).to_contain_text("Dry run done")
    expect(summary).to_contain_text("136 created")
    expect(summary).to_contain_text("2 deleted (2.9 KiB, 1 folder)")
    expect(page.locator(f"#row-{run_id} .status")).to_have_text("Dry run done")
    expect_status(card(page, job_id), "pending")
    expect(card(page, job_id).locator(".strip-empty")).to_be_visible()
    summary.locator("a").first.click()
    page.wait_for_url(f"{server.url}/runs/{run_id}")


def test_the_card_says_dry_run_while_it_goes_on_and_is_as_it_was_afterwards(
    visitor: Visitor,
    rsync: str,
    room: Path,
    tmp_path: Path,
    make_server: Callable[..., RunningServer],
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    waits = slow / "wait"
    waits.touch()
    tool = slow / "rsync"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *--dry-run*) ;; *) exec {rsync} "$@" ;; esac\n'
        f'{rsync} "$@"\ncode=$?\n'
        f"while [ -e {waits} ]; do sleep 0.05; done\nexit $code\n"
    )
    tool.chmod(0o755)
    server = make_server(PATH=f"{slow}:{os.environ['PATH']}")
    source, destination = furnish(room)
    job_id = server.create_job(source, destination)
    cards = visitor.open(f"{server.url}/jobs")
    expect_live(cards)
    page = visitor.open(f"{server.url}/jobs")
    expect_live(page)
    page.locator(f"#job-{job_id}-more").click()
    page.locator(f"#job-{job_id}-dry-run-menu").click()
    page.wait_for_url(re.compile(r"/runs/[^/]+$"))
    run_id = page.url.rpartition("/")[2]
    mark(page)
    this = card(cards, job_id)
    expect(this.locator(".job-state .status")).to_have_text("Dry run")
    expect(this.locator("[data-live=phase]")).to_have_text("Comparing")
    expect(page.locator("#preview")).to_contain_text("Nothing is written")
    waits.unlink()
    expect(page.locator("#preview-found")).to_be_visible()
    expect_status(page.locator(f"#run-{run_id}"), "dry-run")
    assert is_same_document(page), "the end came by itself"
    expect_status(this, "pending")
    expect(this.locator(".job-state .status")).to_have_text("Not run yet")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [PHONE, 1280])
def test_it_fits_every_width(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path, width: int, dark: bool
) -> None:
    source, destination = furnish(room)
    (source / ("long-" * 45)).write_bytes(b"long")
    job_id = server.create_job(source, destination, options={"delete_extraneous": True})
    run_id = server.http.post(f"/api/v1/jobs/{job_id}/dry-run").json()["run_id"]
    server.wait_for_end(run_id)
    for path in (f"/runs/{run_id}", f"/jobs/{job_id}"):
        page = visitor.open(f"{server.url}{path}", width=width, dark=dark)
        expect_live(page)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(f"() => {overflow}") == 0
        pictures = os.environ.get("LONGSHORE_PICTURES")
        if pictures:
            name = f"{path.split('/')[1]}-{width}-{'dark' if dark else 'light'}.png"
            page.screenshot(path=f"{pictures}/{name}", full_page=width == 1280)


def test_without_script(server: RunningServer, visitor: Visitor, rsync: str, room: Path) -> None:
    source, destination = furnish(room)
    job_id = server.create_job(source, destination, options={"delete_extraneous": True})
    page = visitor.open(f"{server.url}/jobs/{job_id}", script=False)
    page.locator(f"#job-{job_id}-dry-run-top").click()
    page.wait_for_url(re.compile(r"/runs/[^/]+$"))
    server.wait_for_end(page.url.rpartition("/")[2])
    page.reload()
    page.locator("#preview-tab-update").click()
    expect(page.locator(".preview-row .path")).to_have_text(["photo of the harbour.jpg"])
    page.locator("#preview-q").fill("nothing like it")
    page.locator("#preview-filter button").click()
    expect(page.locator("#preview-none")).to_be_visible()
    assert "preview_change=update" in page.url
