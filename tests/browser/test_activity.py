"""The last days on the dashboard: runs and bytes, drawn and renewed, in colour and in a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.looks import faults_of
from tests.browser.plotting import has_colour, pixels_of, wait_for_ink
from tests.browser.proxy import proxy_to
from tests.browser.visitor import Visitor, expect_live, is_same_document, mark
from tests.fakes.histories import keep, past_run, past_runs
from tests.integration.running import ended_server, run_to_end
from tests.support import RunningServer, make_tree, wait_until

_PLOTS = ("plot-day-runs", "plot-day-bytes")
# What went well is drawn in a fainter colour.
_OUTCOMES = ("warning", "failed", "paused", "interrupted")
_PAST = 40
_DAYS = 30


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a history of twenty days."""
    room = tmp_path_factory.mktemp("days")
    with ended_server(RunningServer(room / "data")) as server:
        _furnish(server, room)
        yield server


def _furnish(server: RunningServer, room: Path) -> str:
    job_id = server.create_job(make_tree(room / "from", files=3), room / "to")
    keep(server.data_dir, past_runs(job_id, _PAST))
    return job_id


def test_days_are_drawn_in_the_colours_of_their_outcomes_in_both_schemes(
    quiet_server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(quiet_server.url)
    light = {}
    for plot in _PLOTS:
        assert wait_for_ink(page, plot) > 2000
        light[plot] = pixels_of(page, plot)
    for outcome in _OUTCOMES:
        assert has_colour(page, "plot-day-runs", outcome), outcome
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: has_colour(page, "plot-day-bytes", "failed"), what="the dark colours")
    assert all(pixels_of(page, plot) != light[plot] for plot in _PLOTS)


def test_what_is_pointed_at_is_told_with_its_outcomes(
    quiet_server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(quiet_server.url)
    wait_for_ink(page, "plot-day-runs")
    readout = page.locator("#plot-day-runs-readout")
    expect(readout).to_have_text(f"{_PAST} runs")
    over = page.locator("#plot-day-runs-area .u-over")
    width = over.evaluate("(element) => element.clientWidth")
    over.hover(position={"x": width * 25.5 / _DAYS, "y": 20})
    expect(readout).to_contain_text(" · 2 completed")
    over.hover(position={"x": 2, "y": 20})
    expect(readout).to_contain_text(" · nothing")


def test_the_dashboard_fits_and_is_accessible_with_the_figures_open(
    quiet_server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(quiet_server.url)
    wait_for_ink(page, "plot-day-runs")
    page.locator("#activity-table > summary").click()
    expect(page.locator("#figures tbody tr")).to_have_count(_DAYS)
    assert faults_of(page) == []
    page.goto(f"{quiet_server.url}/activity")
    assert faults_of(page) == []


def test_a_run_that_ends_is_counted_and_what_is_open_stays_open(
    server: RunningServer, room: Path, visitor: Visitor, rsync: str
) -> None:
    job_id = _furnish(server, room)
    page = visitor.open(server.url)
    expect_live(page)
    mark(page)
    wait_for_ink(page, "plot-day-runs")
    page.locator("#activity-table > summary").click()
    today = page.locator("#figures tbody tr").first
    expect(today.locator("td").first).to_be_visible()
    counted = int(today.locator("td").first.inner_text())
    before = pixels_of(page, "plot-day-runs")
    run_to_end(server, job_id)
    expect(page.locator("#plot-day-runs-readout")).to_have_text(f"{_PAST + 1} runs")
    expect(today.locator("td").first).to_have_text(str(counted + 1))
    wait_until(lambda: pixels_of(page, "plot-day-runs") != before, what="another picture")
    expect(page.locator("#activity-table")).to_have_attribute("open", "")
    assert is_same_document(page)


def test_what_draws_plots_is_loaded_where_there_are_some_and_nowhere_else(
    quiet_server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(quiet_server.url)
    expect(page.locator("script[src*=uPlot]")).to_have_count(1)
    job = page.locator(".job-name a").first.get_attribute("href")
    long_ago = datetime.now(UTC) - timedelta(days=2 * _DAYS)
    short = past_run(1, job_id="gone", started=long_ago, seconds=1)
    keep(quiet_server.data_dir, [short])
    for path in (
        f"/runs/{short.id}",
        "/jobs",
        "/runs",
        "/jobs/new",
        f"{job}/edit",
        f"{job}/figures",
        "/activity",
    ):
        page.goto(quiet_server.url + path)
        expect(page.locator("script[src*=uPlot], link[href*=uPlot]")).to_have_count(0)


def test_the_first_run_of_all_is_plotted(
    server: RunningServer, room: Path, visitor: Visitor, rsync: str
) -> None:
    job_id = server.create_job(make_tree(room / "from", files=3), room / "to")
    page = visitor.open(server.url)
    expect_live(page)
    expect(page.locator("#activity")).to_contain_text("from the first one on")
    run_to_end(server, job_id)
    wait_for_ink(page, "plot-day-bytes")


def test_without_a_script_a_link_leads_to_the_days(
    quiet_server: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(quiet_server.url, script=False)
    expect(page.locator("#plot-day-runs-area")).to_be_hidden()
    page.locator("#activity-table > summary").click()
    page.get_by_role("link", name="Show the figures").click()
    expect(page.locator("#figures tbody tr")).to_have_count(_DAYS)


def test_the_days_are_drawn_under_a_sub_path(
    make_server: Callable[..., RunningServer], visitor: Visitor, room: Path
) -> None:
    server = make_server(LONGSHORE_ROOT_PATH="/backup")
    _furnish(server, room)
    with proxy_to(server.port, "/backup") as proxy:
        page = visitor.open(f"{proxy.url}/")
        wait_for_ink(page, "plot-day-runs")
        page.locator("#activity-table > summary").click()
        expect(page.locator("#figures tbody tr")).to_have_count(_DAYS)
        assert proxy.strays == []
        page.close()
