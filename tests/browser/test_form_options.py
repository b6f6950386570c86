"""The folded options, the locations and the deletion of sources in the job form, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor, job_id_of, wait_out_double_click
from tests.support import RunningServer


def test_options_are_set_and_stored(server: RunningServer, visitor: Visitor, room: Path) -> None:
    visitor.allow("status of 422")
    (room / "from").mkdir()
    page = visitor.open(f"{server.url}/jobs/new")
    page.locator("#field-name").fill("With options")
    page.locator("#field-source").fill(str(room / "from"))
    page.locator("#field-destination").fill(str(room / "to"))
    for section in ("rsync", "retries", "monitoring"):
        page.locator(f"#section-{section} > summary").click()
    page.locator("#field-hard_links").check()
    page.locator("#field-monitoring_success_within_seconds").fill("25")
    page.locator("#field-monitoring_success_within_seconds_unit").select_option("hours")
    page.locator("#field-retry_max_attempts").fill("many")
    page.locator("#section-retries > summary").click()

    page.locator("#job-form-submit").click()
    expect(page.locator("#field-retry_max_attempts")).to_be_visible()
    expect(page.locator("#retry_max_attempts-error")).to_be_visible()
    assert faults_of(page) == []

    page.locator("#field-retry_max_attempts").fill("3")
    wait_out_double_click(page)
    page.locator("#job-form-submit").click()
    job_id_of(page)
    (job,) = server.jobs()
    assert job["options"]["hard_links"] is True
    assert job["retry"]["max_attempts"] == 3
    assert job["monitoring"]["success_within_seconds"] == 25 * 3600


def test_the_panel_and_its_words_always_agree(
    server: RunningServer, visitor: Visitor, room: Path
) -> None:
    visitor.allow("status of 422")
    (room / "from").mkdir()
    page = visitor.open(f"{server.url}/jobs/new")
    words, options = page.locator("#deletion-words"), page.locator("#deletion-options")
    expect(words).to_have_text("The sources stay as they are.")
    expect(options).to_be_hidden()

    page.locator("#field-name").fill("Inbox")
    page.locator("#field-source").fill(str(room / "from"))
    page.locator("#field-destination").fill(str(room / "to"))
    page.locator("#field-source_deletion_enabled").check()
    expect(options).to_be_visible()
    expect(words).to_contain_text("All or nothing")
    expect(words).to_contain_text("choose the verification “checksum”")
    page.locator("#field-source_deletion_mode").select_option("per_file")
    page.locator("#field-source_deletion_trash_days").fill("7")
    expect(words).to_contain_text("after 7 days they are removed for good")
    expect(words).to_contain_text("Each file goes by its own proof")

    page.locator("#job-form-submit").click()
    expect(page.locator("#source_deletion_enabled-error")).to_contain_text("checksum")
    expect(options).to_be_visible()
    expect(words).to_contain_text("after 7 days they are removed for good")
    assert faults_of(page) == []

    page.locator("#field-verification-checksum").check()
    expect(words).not_to_contain_text("choose the verification")
    page.goto(f"{server.url}/jobs")
    page.go_back()
    # Whatever the browser remembers of the form, box, options and words say the same.
    is_on = page.locator("#field-source_deletion_enabled").is_checked()
    expect(options).to_be_visible(visible=is_on)
    expected = "Each file goes by its own proof" if is_on else "The sources stay as they are."
    expect(words).to_contain_text(expected)


def test_a_location_on_another_machine_is_chosen_tested_and_stored(
    make_server: Callable[..., RunningServer], visitor: Visitor, tmp_path: Path
) -> None:
    configuration = tmp_path / "rclone.conf"
    configuration.write_text(f"[cloud]\ntype = alias\nremote = {tmp_path}\n")
    server = make_server(LONGSHORE_RCLONE_CONFIG=str(configuration))
    visitor.allow("status of 422")
    (tmp_path / "from").mkdir()
    page = visitor.open(f"{server.url}/jobs/new")
    page.locator("#field-name").fill("Cloud")
    page.locator("#field-engine-rclone").check()
    page.locator("#field-source").fill(str(tmp_path / "from"))
    page.locator("#field-destination_kind").select_option("rclone")
    expect(page.locator("#field-destination")).to_be_hidden()
    expect(page.locator("#field-destination_host")).to_be_hidden()
    expect(page.locator("#rclone-remotes option")).to_have_attribute("value", "cloud")
    page.locator("#field-destination_remote").fill("clouds")
    page.locator("#test-destination").click()
    expect(page.locator("#tested-destination")).to_contain_text("no remote")
    page.locator("#field-destination_remote").fill("cloud")
    page.locator("#field-destination_path").fill("../up")
    wait_out_double_click(page)
    page.locator("#test-destination").click()
    expect(page.locator("#tested-destination")).to_contain_text("The remote answers.")
    page.locator("#job-form-submit").click()
    expect(page.locator("#destination-error")).to_contain_text("“..”")
    expect(page.locator("#field-destination_path")).to_have_value("../up")
    assert faults_of(page) == []

    page.locator("#field-destination_path").fill("photos")
    wait_out_double_click(page)
    page.locator("#job-form-submit").click()
    page.goto(f"{server.url}/jobs/{job_id_of(page)}/edit")
    (job,) = server.jobs()
    assert job["destination"] == "rclone://cloud/photos"
    expect(page.locator("#field-destination_kind")).to_have_value("rclone")
    expect(page.locator("#field-destination_path")).to_have_value("photos")
