"""The page of a run: its throughput as it is drawn and goes on, its phases on a line of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from models.progress import RunOutcome
from models.run import Phase
from tests.browser.looks import faults_of
from tests.browser.plotting import has_colour, pixels_of, wait_for_ink
from tests.browser.proxy import proxy_to
from tests.browser.visitor import Visitor, expect_live, expect_status, is_same_document, mark
from tests.fakes.histories import keep, past_run
from tests.integration.running import ended_server, run_to_end
from tests.support import RunningServer, make_large_file, wait_until

_PLOT = "plot-throughput"
_SLOW = {"bandwidth_limit": "2M"}
_MOST_POINTS = 300


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server for runs that have ended."""
    with ended_server(RunningServer(tmp_path_factory.mktemp("runs") / "data")) as server:
        yield server


@pytest.fixture(scope="module")
def ended_run(quiet_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of some seconds that has ended."""
    room = tmp_path_factory.mktemp("room")
    source = make_large_file(room / "from" / "film.bin", megabytes=6).parent
    job_id = quiet_server.create_job(source, room / "to", options=_SLOW, verification="checksum")
    return str(run_to_end(quiet_server, job_id)["id"])


@pytest.fixture
def slow_job(server: RunningServer, rsync: str, room: Path) -> str:
    """A job that goes on for some seconds."""
    source = make_large_file(room / "from" / "film.bin", megabytes=24).parent
    return server.create_job(source, room / "to", options=_SLOW)


def _points(page: Page) -> int:
    return int(page.locator(f"#{_PLOT}").get_attribute("data-points") or 0)


def _width(page: Page, bar: int) -> float:
    return float(page.locator(".phase-span").nth(bar).get_attribute("width") or 0)


@pytest.mark.long
def test_the_throughput_of_a_run_that_goes_on_grows_and_ends_as_it_was(
    server: RunningServer, slow_job: str, visitor: Visitor
) -> None:
    run_id = server.start_job(slow_job)
    page = visitor.open(f"{server.url}/runs/{run_id}")
    expect_live(page)
    mark(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wait_until(lambda: _points(page) >= 2, what="two points")
    before, picture = _points(page), pixels_of(page, _PLOT)
    wait_until(lambda: _points(page) >= before + 3, what="three more points")
    # For what changed while the page was on its way; then the WebSocket tells.
    assert len([url for url in asked if url.endswith("/throughput")]) < 3
    assert pixels_of(page, _PLOT) != picture
    assert has_colour(page, _PLOT, "accent")
    # The one bar that is under way takes the line, while the first one shrinks.
    wait_until(lambda: _width(page, 1) > 990, what="the growth of the second bar")
    expect_status(page.locator(f"#run-{run_id}"), "completed")
    items = server.http.get(f"/api/v1/runs/{run_id}/throughput").json()["items"]
    expect(page.locator(f"#{_PLOT}")).to_have_attribute("data-points", str(len(items)))
    expect(page.locator(f"#{_PLOT}-readout")).to_contain_text("peak ")
    assert is_same_document(page)


def test_the_time_of_a_phase_that_goes_on_is_told_by_the_second(
    server: RunningServer, slow_job: str, visitor: Visitor
) -> None:
    run_id = server.start_job(slow_job)
    page = visitor.open(f"{server.url}/runs/{run_id}")
    expect(page.locator(".phase")).to_have_count(2)
    time = page.locator(".phase-time").nth(1)
    for _ in range(3):
        before = time.inner_text()
        expect(time).not_to_have_text(before)
    expect(page.locator(".phase-bar").first).not_to_have_attribute("data-open", "")


def test_points_stay_within_their_bound(
    quiet_server: RunningServer, ended_run: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/runs/{ended_run}")
    wait_until(lambda: _points(page) >= 2, what="the points of the journal")
    tell = """([runId, count, rate]) => {
      const began = Number(document.getElementById(`run-${runId}`).dataset.started);
      for (let second = 100; second < 100 + count; second += 1) {
        const values = { run_id: runId, sent: second * rate, at: began + second };
        document.dispatchEvent(
          new CustomEvent("longshore-patched", { detail: { runId, values } }));
      }
    }"""
    page.evaluate(tell, [ended_run, 5_000, 1024 * 1024])
    assert 50 <= _points(page) <= _MOST_POINTS
    expect(page.locator(f"#{_PLOT}-readout")).to_have_text("peak 1.0 MiB/s")
    wait_for_ink(page, _PLOT)


def test_the_page_of_an_ended_run_fits_and_is_accessible(
    quiet_server: RunningServer, ended_run: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/runs/{ended_run}")
    wait_for_ink(page, _PLOT)
    light = pixels_of(page, _PLOT)
    page.locator("#throughput-table > summary").click()
    expect(page.locator("#figures tbody tr").first).to_be_visible()
    assert faults_of(page) == []
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: has_colour(page, _PLOT, "accent"), what="the dark colours")
    assert pixels_of(page, _PLOT) != light
    page.goto(f"{quiet_server.url}/runs/{ended_run}/figures")
    assert faults_of(page) == []


def test_phases_are_told_in_words_and_drawn_to_scale(
    quiet_server: RunningServer, visitor: Visitor
) -> None:
    def at(seconds: int) -> str:
        return f"2026-11-20T10:{seconds // 60:02d}:{seconds % 60:02d}.000Z"

    run = past_run(1, job_id="gone", started=datetime(2026, 11, 20, 10, tzinfo=UTC), seconds=400)
    phases = (
        Phase("preflight", at(0), at(100), "completed", None, 100.0),
        Phase("transfer", at(100), at(300), "warning", "3 files could not be read.", 200.0),
        Phase("verify", at(300), at(400), "completed", None, 100.0),
    )
    times = (at(100), at(150), at(250))
    run = replace(run, outcome=RunOutcome.WARNING, phases=phases, attempt_times=times, attempts=3)
    keep(quiet_server.data_dir, [run])
    page = visitor.open(f"{quiet_server.url}/runs/{run.id}")
    spans = page.locator(".phase-span")
    boxes = [spans.nth(place).bounding_box() for place in range(3)]
    line = page.locator(".phase-track").first.bounding_box()
    assert line is not None
    shares = [round(box["width"] / line["width"], 2) for box in boxes if box]
    assert shares == [0.25, 0.5, 0.25]
    marks = [page.locator(".phase-attempt").nth(place).get_attribute("x1") for place in range(3)]
    assert marks == ["250.0", "375.0", "625.0"]
    told = " ".join(page.locator(".phase").nth(1).inner_text().split())
    assert told == (
        "Copying : Completed with warnings 3 min 20 s (200.0 s) , began after 1 min 40 s;"
        " 3 attempts, which began after 1 min 40 s, 2 min 30 s, 4 min 10 s"
        " 3 files could not be read."
    )
    # Its journal is gone, and with it what was sent in each second.
    expect(page.locator("#throughput")).to_be_hidden()
    assert faults_of(page) == []


def test_without_a_script_a_link_leads_to_the_figures(
    quiet_server: RunningServer, ended_run: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{quiet_server.url}/runs/{ended_run}", script=False)
    expect(page.locator(".phase-span").first).to_be_visible()
    expect(page.locator(f"#{_PLOT}-area")).to_be_hidden()
    page.locator("#throughput-table > summary").click()
    page.get_by_role("link", name="Show the figures").click()
    expect(page.locator("#figures tbody tr").first).to_contain_text("MiB/s")


def test_the_throughput_is_drawn_under_a_sub_path(
    make_server: Callable[..., RunningServer], visitor: Visitor, rsync: str, room: Path
) -> None:
    server = make_server(LONGSHORE_ROOT_PATH="/backup")
    source = make_large_file(room / "from" / "film.bin", megabytes=6).parent
    run_id = server.start_job(server.create_job(source, room / "to", options=_SLOW))
    with proxy_to(server.port, "/backup") as proxy:
        page = visitor.open(f"{proxy.url}/runs/{run_id}")
        wait_until(lambda: _points(page) >= 2, what="two points")
        page.locator("#throughput-table > summary").click()
        expect(page.locator("#figures tbody tr").first).to_be_visible()
        assert proxy.strays == []
        page.close()
