"""The Jobs page: finding, two looks, and what is done to several jobs at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looks import faults_of
from tests.browser.visitor import (
    Visitor,
    card,
    expect_live,
    expect_status,
    is_same_document,
    mark,
    wait_out_double_click,
)
from tests.support import RunningServer, make_tree

NAMES = ("Alpha", "Beta", "Gamma", "Delta <i>")


@pytest.fixture
def jobs(server: RunningServer, rsync: str, room: Path) -> dict[str, str]:
    """Jobs by name, two of them tagged."""
    make_tree(room / "from", files=3)
    tags = {"Alpha": ["home"], "Beta": ["home", "nas"]}
    return {
        name: server.create_job(
            room / "from", room / f"to-{number}", name=name, tags=tags.get(name, [])
        )
        for number, name in enumerate(NAMES)
    }


def _shown(page: Page) -> list[str]:
    return page.locator("#job-list .job-name").all_inner_texts()


def test_jobs_are_found_by_tag_and_put_in_another_order(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    server.wait_for_end(server.start_job(jobs["Gamma"]))
    page = visitor.open(f"{server.url}/jobs")
    expect_live(page)
    mark(page)
    assert _shown(page) == ["Alpha", "Beta", "Delta <i>", "Gamma"]
    page.locator("#jobs-tag").select_option("home")
    expect(page.locator("#results-heading")).to_have_text("2 jobs")
    assert _shown(page) == ["Alpha", "Beta"]
    assert page.url.endswith("tag=home&sort=name")
    page.locator("#jobs-tag").select_option("")
    page.locator("#jobs-sort").select_option("changed")
    expect(page.locator("#job-list .job-name").first).to_have_text("Gamma")
    page.locator("#jobs-engine").select_option("rclone")
    expect(page.locator("#job-results")).to_contain_text("No job matches")
    assert is_same_document(page)


def test_the_look_is_remembered_in_this_browser(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    page = visitor.open(f"{server.url}/jobs?tag=home")
    high = page.locator("#job-list").bounding_box()
    page.locator("#look-table").click()
    expect(page.locator("#look-table")).to_have_attribute("aria-pressed", "true")
    assert page.url.endswith("/jobs?tag=home"), "it is the same list"
    low = page.locator("#job-list").bounding_box()
    assert high is not None
    assert low is not None
    assert low["height"] < high["height"]
    again = visitor.another_tab(page.context, f"{server.url}/jobs")
    expect(again.locator("#job-list")).to_have_class(re.compile("is-table"))
    assert not faults_of(again)


def test_several_are_started_tagged_and_deleted(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    page = visitor.open(f"{server.url}/jobs")
    expect_live(page)
    mark(page)
    bar, count = page.locator("#many-form"), page.locator("#many-count")
    expect(bar).to_be_hidden()
    for name in ("Alpha", "Gamma"):
        page.locator(f"#job-{jobs[name]}-select").check()
    expect(count).to_have_text("2 selected")
    page.locator("#many-start").click()
    expect(page.locator("#many-result")).to_contain_text("2 jobs started or queued")
    for name in ("Alpha", "Gamma"):
        expect_status(card(page, jobs[name]), "completed")
        expect(page.locator(f"#job-{jobs[name]}-select")).not_to_be_checked()
    page.locator("#select-all").check()
    expect(count).to_have_text("4 selected")
    wait_out_double_click(page)
    page.locator("#many-stop").click()
    expect(page.locator("#many-result")).to_contain_text("4 jobs were left as they are")
    expect(count).to_have_text("4 selected")
    page.locator("#many-none").click()
    expect(bar).to_be_hidden()
    first = page.locator(f"#job-{jobs['Alpha']}-select")
    first.check()
    page.locator(f"#job-{jobs['Delta <i>']}-select").click(modifiers=["Shift"])
    expect(count).to_have_text("3 selected")
    page.locator("#many-tag").fill("cellar")
    page.locator("#many-add").click()
    expect(page.locator("#many-result")).to_contain_text("3 jobs tagged")
    tagged = server.http.get("/api/v1/jobs?tag=cellar").json()["items"]
    assert [job["name"] for job in tagged] == ["Alpha", "Beta", "Delta <i>"]
    assert tagged[1]["tags"] == ["home", "nas", "cellar"]
    assert is_same_document(page)

    for name in ("Alpha", "Delta <i>"):
        page.locator(f"#job-{jobs[name]}-select").check()
    page.locator("#many-delete").click()
    expect(page.locator(".delete-list")).to_contain_text("Delta <i>")
    visitor.allow("422")
    page.locator("#field-sure").fill("delete all of it")
    page.locator("#delete-button").click()
    expect(page.locator("#field-sure-error")).to_be_visible()
    assert not faults_of(page)
    assert len(server.jobs()) == 4
    page.locator("#field-sure").fill("delete 2 jobs")
    wait_out_double_click(page)
    page.locator("#delete-button").click()
    expect(page.locator(".many-outcome")).to_contain_text("2 jobs deleted")
    assert [job["name"] for job in server.jobs()] == ["Beta", "Gamma"]


def test_what_is_ticked_survives_the_change_of_its_card_and_of_the_list(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    page = visitor.open(f"{server.url}/jobs")
    expect_live(page)
    box = page.locator(f"#job-{jobs['Beta']}-select")
    box.check()
    server.wait_for_end(server.start_job(jobs["Beta"]))
    expect_status(card(page, jobs["Beta"]), "completed")
    expect(box).to_be_checked()
    page.locator("#jobs-q").fill("gamma")
    expect(page.locator("#results-heading")).to_have_text("1 job")
    expect(page.locator("#many-count")).to_have_text("1 selected")
    page.locator(f"#job-{jobs['Gamma']}-select").check()
    page.locator("#many-tag").fill("both")
    page.locator("#many-add").click()
    expect(page.locator("#many-result")).to_contain_text("2 jobs tagged")
    page.locator("#jobs-q").fill("")
    expect(page.locator("#results-heading")).to_have_text("4 jobs")
    expect(box).not_to_be_checked()
    assert not faults_of(page)


def test_all_of_it_works_without_a_script(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    page = visitor.open(f"{server.url}/jobs", script=False)
    for name in ("Alpha", "Beta"):
        page.locator(f"#job-{jobs[name]}-select").check()
    page.locator("#many-tag").fill("nas")
    page.locator("#many-remove").click()
    expect(page.locator(".many-outcome")).to_contain_text("2 jobs without the tag")
    assert server.http.get("/api/v1/jobs?tag=nas").json()["total"] == 0
    page.locator(f"#job-{jobs['Gamma']}-select").check()
    page.locator("#many-delete").click()
    page.locator("#field-sure").fill("delete 1 job")
    page.locator("#delete-button").click()
    expect(page.locator(".many-outcome")).to_contain_text("1 job deleted")
    visitor.allow("422")
    page.locator("#many-start").click()
    expect(page.locator(".many-outcome")).to_contain_text("No job is ticked")


def test_a_duplicate_says_all_that_the_job_says(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    page = visitor.open(f"{server.url}/jobs")
    page.locator(f"#job-{jobs['Beta']}-more").click()
    page.locator(f"#job-{jobs['Beta']}-duplicate").click()
    expect(page.locator("#field-name")).to_have_value("Beta (copy)")
    page.locator("#job-form-submit").click()
    page.wait_for_url(re.compile(r"/jobs/beta-copy-"))
    copies = {job["name"]: job for job in server.jobs() if job["name"].startswith("Beta")}
    differing = {"id", "name", "created_at", "updated_at", "state"}
    told = [
        {key: value for key, value in job.items() if key not in differing}
        for job in copies.values()
    ]
    assert len(told) == 2
    assert told[0] == told[1]


def test_a_job_with_a_history_is_deleted_by_its_name(
    server: RunningServer, visitor: Visitor, jobs: dict[str, str]
) -> None:
    server.wait_for_end(server.start_job(jobs["Delta <i>"]))
    page = visitor.open(f"{server.url}/jobs/{jobs['Delta <i>']}/delete")
    visitor.allow("422")
    page.locator("#field-name").fill("delta")
    page.locator("#delete-button").click()
    expect(page.locator("#field-name-error")).to_be_visible()
    assert len(server.jobs()) == 4
    assert not faults_of(page)
    page.locator("#field-name").fill("Delta <i>")
    wait_out_double_click(page)
    page.locator("#delete-button").click()
    page.wait_for_url(f"{server.url}/jobs")
    assert len(server.jobs()) == 3
    # One that has never run has nothing to lose.
    page.goto(f"{server.url}/jobs/{jobs['Alpha']}/delete")
    page.locator("#delete-button").click()
    page.wait_for_url(f"{server.url}/jobs")
    assert len(server.jobs()) == 2
