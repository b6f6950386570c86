"""The viewer of a log: a window over a long file, finding in it, following a run under way."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looks import faults_of
from tests.browser.visitor import PHONE, Visitor, is_same_document, mark, value_of
from tests.support import RunningServer, make_tree, wait_until

LINES = 100_000
FAILED_EVERY = 10_000
KEPT_LINES = 2_000
AT_BOTTOM = """() => {
  const log = document.getElementById("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
}"""


def line(number: int) -> str:
    """Return a line of the long log."""
    if number % FAILED_EVERY == 500:
        return f'rsync: [sender] send_files failed to open "/srv/IMG_{number:06d}": No (13)'
    if number % FAILED_EVERY == 700:
        return f'file has vanished: "/srv/IMG_{number:06d}"'
    return f">f+++++++++ 12 34 holiday/IMG_{number:06d}.jpg"


@pytest.fixture
def long_log(server: RunningServer, rsync: str, room: Path) -> str:
    """The run of a job whose log has very many lines."""
    make_tree(room / "from", files=3)
    job_id = server.create_job(room / "from", room / "to", name="Long <b>log</b>")
    run_id = server.start_job(job_id)
    wait_until(lambda: server.state(job_id)["status"] == "completed", what="the end")
    content = "".join(line(number) + "\n" for number in range(LINES))
    (server.data_dir / "runs" / run_id / "engine.log").write_text(content)
    return run_id


def _line(page: Page, place: int) -> str:
    script = "(place) => [...document.querySelectorAll('.log-line')].at(place).textContent.trim()"
    return str(value_of(page, script, place))


def _seen(page: Page) -> str:
    """Return the line in the middle of what is seen of the log."""
    script = """() => {
      const box = document.getElementById("log").getBoundingClientRect();
      const seen = document.elementFromPoint(box.left + 40, box.top + box.height / 2);
      return seen?.closest(".log-line")?.textContent.trim() ?? "";
    }"""
    return str(value_of(page, script))


def _scroll_to(page: Page, expression: str) -> None:
    page.evaluate(
        f"() => {{ const log = document.getElementById('log'); log.scrollTop = {expression}; }}"
    )


def _wait_for_another(page: Page, place: int, before: str) -> None:
    page.wait_for_function(
        "([place, before]) => [...document.querySelectorAll('.log-line')].at(place)"
        ".textContent.trim() !== before",
        arg=[place, before],
    )


def test_it_opens_at_the_end_and_scrolls_to_what_is_before_without_keeping_it_all(
    server: RunningServer, visitor: Visitor, long_log: str
) -> None:
    page = visitor.open(f"{server.url}/runs/{long_log}/log")
    assert _line(page, -1) == line(LINES - 1)
    expect(page.locator("#log-end")).to_be_hidden()
    mark(page)
    for _ in range(9):
        before = _line(page, 0)
        _scroll_to(page, "100")
        seen = _seen(page)
        _wait_for_another(page, 0, before)
        assert _seen(page) == seen, "what is seen stays where it is"
    assert page.locator(".log-line").count() <= KEPT_LINES
    # The end has been dropped meanwhile, and comes again.
    expect(page.locator("#log-end")).to_be_visible()
    while (last := _line(page, -1)) != line(LINES - 1):
        _scroll_to(page, "log.scrollHeight")
        _wait_for_another(page, -1, last)
    numbers = value_of(
        page,
        "() => [...document.querySelectorAll('.log-line')]"
        ".map((one) => Number(/IMG_(\\d+)/.exec(one.textContent)[1]))",
    )
    assert numbers == list(range(numbers[0], LINES)), "no line is missing and none is there twice"
    page.locator("#log").focus()
    page.keyboard.press("Home")
    expect(page.locator(".log-line").first).to_have_text(line(0))
    assert is_same_document(page)


def test_hits_are_marked_and_gone_through_with_the_keyboard(
    server: RunningServer, visitor: Visitor, long_log: str
) -> None:
    page = visitor.open(f"{server.url}/runs/{long_log}")
    mark(page)
    field = page.locator("#log-q")
    field.press_sequentially("send_FILES failed")
    about, current = page.locator("#log-about"), page.locator("#log-hit")
    expect(about).to_have_text("Hit 1 of 10")
    expect(current).to_have_text(line(500))
    expect(current.locator("mark")).to_have_text("send_files failed")
    expect(current).to_be_in_viewport()
    field.press("Enter")
    expect(about).to_have_text("Hit 2 of 10")
    expect(current).to_have_text(line(10_500))
    page.locator("#log-next").click()
    expect(about).to_have_text("Hit 3 of 10")
    field.press("Shift+Enter")
    expect(about).to_have_text("Hit 2 of 10")
    page.locator("#log-previous").click()
    expect(about).to_have_text("Hit 1 of 10")
    page.locator("#log-previous").click()
    expect(about).to_have_text("Hit 10 of 10")
    field.fill("")
    expect(about).to_have_text("")
    assert _line(page, -1) == line(LINES - 1)
    field.fill("not in it")
    expect(about).to_have_text("Nothing found")
    assert field.evaluate("(field) => field === document.activeElement")
    assert is_same_document(page)


def test_lines_of_a_level_alone_are_shown_and_downloaded(
    server: RunningServer, visitor: Visitor, long_log: str
) -> None:
    page = visitor.open(f"{server.url}/runs/{long_log}/log")
    page.locator("#log-level").select_option("warning")
    expect(page.locator("#log-about")).to_have_text("20 lines")
    expect(page.locator(".log-line.is-error")).to_have_count(10)
    expect(page.locator(".log-line.is-warning")).to_have_count(10)
    page.locator("#log-q").fill("vanished")
    page.locator("#log-only").check()
    expect(page.locator("#log-about")).to_have_text("10 lines")
    expect(page.locator(".log-line")).to_have_count(10)
    expect(page.locator("#log-download")).to_have_text("Download what is found")
    with page.expect_download() as download:
        page.locator("#log-download").click()
    wanted = [line(number) for number in range(LINES) if number % FAILED_EVERY == 700]
    assert Path(download.value.path()).read_text().splitlines() == wanted
    page.locator("#log-only").uncheck()
    page.locator("#log-q").fill("")
    page.locator("#log-level").select_option("")
    expect(page.locator("#log-download")).to_have_text("Download")
    with page.expect_download() as download:
        page.locator("#log-download").click()
    original = server.data_dir / "runs" / long_log / "engine.log"
    assert Path(download.value.path()).read_bytes() == original.read_bytes()


def test_it_works_without_a_script(server: RunningServer, visitor: Visitor, long_log: str) -> None:
    page = visitor.open(f"{server.url}/runs/{long_log}", script=False)
    page.locator("#log-q").fill("failed to open")
    page.locator("#log-q").press("Enter")
    expect(page.locator("#log-about")).to_have_text("Hit 1 of 10")
    page.locator("#log-next").click()
    expect(page.locator("#log-about")).to_have_text("Hit 2 of 10")
    expect(page.locator("#log-hit")).to_have_text(line(10_500))
    page.locator("#log-start").click()
    expect(page.locator(".log-line").first).to_have_text(line(0))
    page.locator("#log-later").click()
    expect(page.locator(".log-line").first).to_have_text(line(400))
    page.locator("#log-earlier").click()
    expect(page.locator(".log-line").first).to_have_text(line(0))


def test_it_looks_right(server: RunningServer, visitor: Visitor, long_log: str) -> None:
    page = visitor.open(f"{server.url}/runs/{long_log}/log?q=failed", width=PHONE)
    expect(page.locator("#log-hit")).to_be_visible()
    assert not faults_of(page)


def test_the_log_of_a_run_under_way_is_followed_until_somebody_scrolls_up(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    make_tree(room / "from", files=2_000, largest=6_000)
    job_id = server.create_job(room / "from", room / "to", options={"bandwidth_limit": "500K"})
    run_id = server.start_job(job_id)
    # A page of its own, which the WebSocket does not tell when something was written.
    page = visitor.open(f"{server.url}/runs/{run_id}/log")
    follow = page.locator("#log-follow")
    expect(follow).to_be_checked()
    page.wait_for_function("() => document.querySelectorAll('.log-line').length > 100")
    page.wait_for_function(AT_BOTTOM)
    page.locator("#log").hover()
    page.mouse.wheel(0, -300)
    expect(follow).not_to_be_checked()
    follow.check()
    page.wait_for_function(AT_BOTTOM)
    server.http.post(f"/api/v1/jobs/{job_id}/stop")
    expect(page.locator("#log-follow-label")).to_be_hidden()
    log = (server.data_dir / "runs" / run_id / "engine.log").read_text().splitlines()
    assert _line(page, -1) == log[-1].strip()
