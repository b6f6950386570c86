"""Proves that the settings are looked at, changed and saved by people: by keyboard, on a phone,
without JavaScript, and while the connection is lost."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.looks import faults_of
from tests.browser.visitor import (
    PHONE,
    Visitor,
    expect_live,
    is_same_document,
    mark,
    value_of,
    wait_out_double_click,
)
from tests.support import RunningServer, wait_until

MakeServer = Callable[..., RunningServer]
_REFUSED = r"status of 422|status of 412"
_UNREACHABLE = (
    r"WebSocket connection to|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|"
    r"htmx:error: Failed to fetch"
)


def _field(page: Page, name: str) -> Locator:
    return page.locator(f"#field-{name}")


def _status(page: Page) -> Locator:
    return page.locator("#settings-status")


def _focused(page: Page) -> str:
    return str(value_of(page, "() => document.activeElement.id"))


def _saved(server: RunningServer, name: str) -> object:
    return server.http.get("/api/v1/settings").json()["values"][name]


def test_the_page_fits_and_is_accessible_in_every_state(
    make_server: MakeServer, visitor: Visitor
) -> None:
    visitor.allow(_REFUSED)
    server = make_server(LONGSHORE_KEPT_RUN_DAYS="30")
    written = server.data_dir / "settings.yaml"
    written.write_text("resume_interrupted: true\nmax_log_megabytes: 5\nnewer: 1\n")
    wait_until(lambda: _saved(server, "resume_interrupted"), what="the edit")
    page = visitor.open(f"{server.url}/settings")
    expect_live(page)
    faults = {"at rest": faults_of(page)}
    expect(page.locator("#reset-max_log_megabytes")).to_be_visible()
    expect(page.locator("#setting-kept_run_days")).to_contain_text("LONGSHORE_KEPT_RUN_DAYS")

    _field(page, "max_concurrent_runs").fill("x" * 300)
    _field(page, "allowed_hosts").fill("a" * 300)
    page.locator("#settings-save").click()
    expect(page.locator("#error-summary")).to_be_focused()
    faults["refused"] = faults_of(page)

    written.write_text("max_concurrent_runs: 0\n")
    wait_until(lambda: server.http.get("/api/v1/settings").json()["damage"], what="the edit")
    wait_out_double_click(page)
    page.locator("#settings-save").click()
    expect(page.locator("#form-conflict")).to_be_focused()
    expect(page.locator("#settings-damage")).to_contain_text("line 1")
    faults["conflict"] = faults_of(page)
    assert {state: found for state, found in faults.items() if found} == {}


def test_enter_saves_and_resets_nothing(server: RunningServer, visitor: Visitor) -> None:
    page = visitor.open(f"{server.url}/settings")
    mark(page)
    field = _field(page, "max_concurrent_runs")
    field.fill("8")
    page.keyboard.press("Enter")
    expect(_status(page)).to_have_text("Saved. Runs at once: 8 runs.")
    expect(page.locator("#reset-max_concurrent_runs")).to_be_visible()
    assert _focused(page) == "field-max_concurrent_runs"

    wait_out_double_click(page)
    _field(page, "kept_run_days").fill("30")
    page.keyboard.press("Enter")
    expect(_status(page)).to_have_text("Saved. Runs kept for: 30 days, within the hour.")
    assert (_saved(server, "max_concurrent_runs"), _saved(server, "kept_run_days")) == (8, 30)
    assert is_same_document(page)


def test_it_is_saved_by_keyboard_alone_and_the_focus_stays(
    server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(f"{server.url}/", width=PHONE)
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url(f"{server.url}/settings")
    _tab_to(page, "field-max_concurrent_runs")
    assert _field(page, "max_concurrent_runs").get_attribute("inputmode") == "numeric"
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("12")
    _tab_to(page, "field-resume_interrupted")
    page.keyboard.press("Space")
    _tab_to(page, "settings-save")
    page.keyboard.press("Enter")
    expect(_status(page)).to_have_text("Saved. Runs at once: 12 runs; Resume interrupted jobs: on.")
    assert _focused(page) == "settings-save"
    assert _saved(server, "resume_interrupted") is True
    expect(_field(page, "resume_interrupted")).to_be_checked()
    assert faults_of(page) == []


def test_one_is_reset_and_what_is_typed_beside_it_stays(
    server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(f"{server.url}/settings")
    _field(page, "max_concurrent_runs").fill("8")
    _field(page, "resume_interrupted").check()
    page.locator("#settings-save").click()
    expect(page.locator("#reset-resume_interrupted")).to_be_visible()

    _field(page, "kept_run_days").fill("unsent")
    page.locator("#reset-resume_interrupted").click()
    expect(_status(page)).to_have_text("Saved. Resume interrupted jobs: off.")
    expect(_field(page, "resume_interrupted")).not_to_be_checked()
    expect(_field(page, "resume_interrupted")).to_be_focused()
    expect(_field(page, "kept_run_days")).to_have_value("unsent")
    page.locator("#reset-max_concurrent_runs").click()
    expect(_field(page, "max_concurrent_runs")).to_have_value("4")
    expect(_field(page, "max_concurrent_runs")).to_be_focused()
    expect(page.get_by_role("button", name="Reset")).to_have_count(0)
    assert (_saved(server, "max_concurrent_runs"), _saved(server, "kept_run_days")) == (4, 90)


def test_text_that_is_not_saved_survives_a_reconnection(
    server: RunningServer, visitor: Visitor
) -> None:
    visitor.allow(_UNREACHABLE)
    page = visitor.open(f"{server.url}/settings")
    expect_live(page)
    mark(page)
    _field(page, "resume_interrupted").check()
    hosts = _field(page, "allowed_hosts")
    hosts.fill("nas.example, back")
    page.evaluate("() => document.activeElement.setSelectionRange(3, 7, 'backward')")
    server.kill()
    indicator = page.locator("#live-indicator")
    expect(indicator).to_have_attribute("data-state", "reconnecting")
    server.start()
    expect_live(page, seconds=20)

    expect(hosts).to_be_focused()
    expect(hosts).to_have_value("nas.example, back")
    expect(_field(page, "resume_interrupted")).to_be_checked()
    place = "() => [document.activeElement.selectionStart, document.activeElement.selectionEnd]"
    assert value_of(page, place) == [3, 7]
    page.keyboard.press("End")
    page.keyboard.type("up.example")
    page.keyboard.press("Enter")
    expect(_status(page)).to_contain_text("nas.example, backup.example")
    assert is_same_document(page)
    assert _saved(server, "resume_interrupted") is True


def test_without_javascript_it_is_saved_and_reset(server: RunningServer, visitor: Visitor) -> None:
    visitor.allow(_REFUSED)
    page = visitor.open(f"{server.url}/settings", script=False)
    _field(page, "max_concurrent_runs").fill("none")
    _field(page, "kept_run_days").fill("30")
    page.locator("#settings-save").click()
    expect(page.locator("#max_concurrent_runs-error")).to_be_visible()
    _field(page, "max_concurrent_runs").fill("9")
    page.keyboard.press("Enter")
    expect(_status(page)).to_have_text("Saved.")
    assert (_saved(server, "max_concurrent_runs"), _saved(server, "kept_run_days")) == (9, 30)

    _field(page, "allowed_hosts").fill("unsent")
    page.locator("#reset-kept_run_days").click()
    expect(_status(page)).to_have_text("Saved. Runs kept for: 90 days, within the hour.")
    expect(_field(page, "allowed_hosts")).to_have_value("unsent")
    assert (_saved(server, "max_concurrent_runs"), _saved(server, "kept_run_days")) == (9, 90)


def test_two_tabs_do_not_overwrite_one_another(server: RunningServer, visitor: Visitor) -> None:
    visitor.allow(_REFUSED)
    first = visitor.open(f"{server.url}/settings")
    second = visitor.another_tab(first.context, f"{server.url}/settings")
    _field(first, "max_concurrent_runs").fill("6")
    first.locator("#settings-save").click()
    expect(_status(first)).to_contain_text("Saved.")

    _field(second, "max_concurrent_runs").fill("7")
    second.locator("#settings-save").click()
    expect(second.locator("#form-conflict")).to_be_focused()
    expect(second.locator("#form-conflict td")).to_have_text(["6", "7"])
    assert _saved(server, "max_concurrent_runs") == 6
    wait_out_double_click(second)
    second.locator("#settings-save").click()
    expect(_status(second)).to_have_text("Saved. Runs at once: 7 runs.")
    expect(second.locator("#form-conflict")).to_have_count(0)
    assert _saved(server, "max_concurrent_runs") == 7


def _tab_to(page: Page, element_id: str) -> None:
    """Press Tab until an element has the focus, which must then be visible."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if _focused(page) == element_id:
            style = value_of(page, "() => getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", f"the focus on {element_id} is not seen"
            return
    raise AssertionError(f"{element_id} cannot be reached with Tab")
