"""A job's history on its page: plots that are drawn and renewed, and what opens beneath them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Page, Request, expect

from fastapi_app import formatting
from fastapi_app.status_views import STATUS_WORDS
from tests.browser.looks import faults_of
from tests.browser.plotting import has_colour, pixels_of, wait_for_ink
from tests.browser.proxy import proxy_to
from tests.browser.visitor import Visitor, expect_live, is_same_document, mark
from tests.fakes.histories import keep, past_runs
from tests.integration.running import ended_server, run_to_end
from tests.support import RunningServer, make_tree, wait_until

_PAST = 45
_LISTED = 10
_PLOTS = ("plot-duration", "plot-sent", "plot-rate")
_OUTCOMES = ("completed", "warning", "failed", "paused", "interrupted")


@pytest.fixture
def job_id(server: RunningServer, room: Path) -> str:
    """A job with a history, whose next run is short."""
    return _job_with_history(server, room)


def _job_with_history(server: RunningServer, room: Path) -> str:
    source = make_tree(room / "from", files=3)
    job_id = server.create_job(source, room / "to", name="Photos")
    keep(server.data_dir, past_runs(job_id, _PAST))
    return job_id


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server for what is only looked at."""
    with ended_server(RunningServer(tmp_path_factory.mktemp("plots") / "data")) as server:
        yield server


@pytest.fixture(scope="module")
def quiet_job(quiet_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job with a history that nobody starts."""
    return _job_with_history(quiet_server, tmp_path_factory.mktemp("room"))


def _fetched(page: Page, end: str) -> list[Request]:
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if request.url.endswith(end) else None)
    return found


def test_every_outcome_is_drawn_in_its_colour_in_both_schemes(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}")
    for plot in _PLOTS:
        assert wait_for_ink(page, plot) > 1000
    light = pixels_of(page, "plot-duration")
    for outcome in _OUTCOMES:
        assert has_colour(page, "plot-duration", outcome), outcome
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: has_colour(page, "plot-duration", "completed"), what="the dark colours")
    for outcome in _OUTCOMES:
        assert has_colour(page, "plot-duration", outcome), outcome
    assert pixels_of(page, "plot-duration") != light


def test_a_plot_is_as_wide_as_there_is_room(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}")
    wait_for_ink(page, "plot-sent")
    width = "({parentElement, firstElementChild}) => [parentElement, firstElementChild]"
    width += ".map((element) => element.clientWidth)"
    area = page.locator("#plot-sent-area")
    for wide in (1280, 1000, 390):
        page.set_viewport_size({"width": wide, "height": 900})
        wait_until(lambda: len(set(area.evaluate(width))) == 1, what=f"the width of {wide}")


@pytest.mark.long
def test_the_page_fits_and_is_accessible_with_everything_open(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}")
    wait_for_ink(page, "plot-rate")
    page.locator("#job-figures-table > summary").click()
    expect(page.locator("#figures tbody tr")).to_have_count(_PAST)
    page.locator("#job-older-runs > summary").click()
    expect(page.locator("#older-runs tbody tr")).to_have_count(_PAST - _LISTED)
    assert faults_of(page) == []
    sizes = (
        "() => [...document.querySelectorAll('.outcome')].map((bar) => bar.getBoundingClientRect())"
    )
    page.set_viewport_size({"width": 390, "height": 900})
    assert all(size["width"] >= 24 and size["height"] >= 24 for size in page.evaluate(sizes))
    for path in ("figures", "older-runs"):
        page.goto(f"{quiet_server.url}/jobs/{quiet_job}/{path}")
        assert faults_of(page) == [], path


def test_what_is_pointed_at_is_told_beside_the_title(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}")
    wait_for_ink(page, "plot-sent")
    readout = page.locator("#plot-sent-readout")
    summary = readout.inner_text()
    assert summary.startswith("median ")
    page.locator("#plot-sent-area .u-over").hover()
    middle = quiet_server.http.get(f"/api/v1/jobs/{quiet_job}/runs?limit=200").json()["items"]
    expect(readout).to_contain_text(formatting.size(middle[_PAST // 2]["bytes_sent"]))
    page.mouse.move(1, 1)
    expect(readout).to_have_text(summary)


def test_each_bar_of_the_strip_leads_to_its_run(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}")
    bars = page.locator(".outcomes .outcome")
    expect(bars).to_have_count(30)
    words = {str(bars.nth(place).get_attribute("title")).split(",")[0] for place in range(10)}
    assert words == {STATUS_WORDS[outcome] for outcome in _OUTCOMES}
    wanted = (bars.nth(7).get_attribute("id") or "").removeprefix("outcome-")
    bars.nth(7).click()
    page.wait_for_url(f"**/runs/{wanted}")


def test_details_are_loaded_when_they_are_opened_and_once(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}")
    expect_live(page)
    fetched = _fetched(page, "/figures")
    summary, rows = page.locator("#job-figures-table > summary"), page.locator("#figures tbody tr")
    assert (rows.count(), fetched) == (0, [])
    for _ in range(3):
        summary.focus()
        page.keyboard.press("Enter")
        expect(rows).to_have_count(_PAST)
        expect(rows.first).to_be_visible()
        page.keyboard.press("Enter")
        expect(rows.first).to_be_hidden()
    assert len(fetched) == 1


def test_a_run_that_ends_is_plotted_and_what_is_open_stays_open(
    server: RunningServer, job_id: str, visitor: Visitor, rsync: str
) -> None:
    page = visitor.open(f"{server.url}/jobs/{job_id}")
    expect_live(page)
    mark(page)
    wait_for_ink(page, "plot-duration")
    page.locator("#job-figures-table > summary").click()
    page.locator("#job-older-runs > summary").click()
    expect(page.locator("#figures tbody tr")).to_have_count(_PAST)
    expect(page.locator("#older-runs tbody tr")).to_have_count(_PAST - _LISTED)
    before = pixels_of(page, "plot-duration")
    run = run_to_end(server, job_id)
    expect(page.locator(f"#outcome-{run['id']}")).to_be_visible()
    expect(page.locator("#figures tbody tr")).to_have_count(_PAST + 1)
    expect(page.locator(f"#figures-{run['id']}")).to_be_visible()
    expect(page.locator("#older-runs tbody tr")).to_have_count(_PAST + 1 - _LISTED)
    expect(page.locator(f"#job-runs #row-{run['id']}")).to_be_visible()
    wait_until(lambda: pixels_of(page, "plot-duration") != before, what="another picture")
    assert page.locator("#plot-duration-area canvas").count() == 1
    assert page.locator("details.on-open[open]").count() == 2
    assert is_same_document(page)


def test_a_job_without_runs_says_what_will_be_here_and_plots_its_first_run(
    server: RunningServer, room: Path, visitor: Visitor, rsync: str
) -> None:
    job_id = server.create_job(make_tree(room / "from", files=3), room / "to")
    page = visitor.open(f"{server.url}/jobs/{job_id}")
    expect_live(page)
    expect(page.locator("#job-history")).to_contain_text("from the first one on")
    run_to_end(server, job_id)
    wait_for_ink(page, "plot-duration")
    expect(page.locator("#job-older-runs")).to_have_count(0)


def test_without_a_script_links_lead_to_the_tables(
    quiet_server: RunningServer, quiet_job: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/jobs/{quiet_job}", script=False)
    expect(page.locator("#plot-duration-area")).to_be_hidden()
    page.locator("#job-figures-table > summary").click()
    page.get_by_role("link", name="Show the figures").click()
    expect(page.locator("#figures tbody tr")).to_have_count(_PAST)
    page.go_back()
    page.locator("#job-older-runs > summary").click()
    page.get_by_role("link", name="Show the older runs").click()
    expect(page.locator("#older-runs tbody tr")).to_have_count(_PAST - _LISTED)


def test_the_history_works_under_a_sub_path(
    make_server: Callable[..., RunningServer], visitor: Visitor, room: Path
) -> None:
    server = make_server(LONGSHORE_ROOT_PATH="/backup")
    job_id = _job_with_history(server, room)
    with proxy_to(server.port, "/backup") as proxy:
        page = visitor.open(f"{proxy.url}/jobs/{job_id}")
        wait_for_ink(page, "plot-duration")
        page.locator("#job-figures-table > summary").click()
        expect(page.locator("#figures tbody tr")).to_have_count(_PAST)
        page.locator("#job-older-runs > summary").click()
        expect(page.locator("#older-runs tbody tr")).to_have_count(_PAST - _LISTED)
        page.locator(".outcome").last.click()
        page.wait_for_url("**/backup/runs/*")
        assert proxy.strays == []
        page.close()


def test_plots_write_numbers_as_the_pages_do(server: RunningServer, visitor: Visitor) -> None:
    chance = Random(1)
    numbers = [0, 1, 9.95, 9.96, 10, 59.9, 60, 3599, 3600, 86_399, 86_400, 1023, 1023.5, 1024]
    numbers += [1280, 1023.95 * 1024, 2**20 - 1, 2**50, 2**62, 0.25, 0.5, 1.5, 2.5]
    numbers += [chance.randrange(10 ** chance.randrange(1, 16)) / 4 for _ in range(500)]
    page = visitor.open(server.url)
    written = page.evaluate(
        """async ([address, numbers]) => {
          const { units } = await import(address);
          const write = (unit) => numbers.map((number) => units[unit].write(number));
          return { size: write("bytes"), rate: write("rate"), duration: write("duration") };
        }""",
        [f"{server.url}/static/js/units.js", numbers],
    )
    for name in ("size", "rate", "duration"):
        write = getattr(formatting, name)
        assert written[name] == [write(number) for number in numbers], name
