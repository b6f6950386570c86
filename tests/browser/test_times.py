"""Times stand on pages by the clock of the person's zone, with UTC on hover, and never flicker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.visitor import Visitor, card, expect_live, expect_status
from tests.fakes.histories import keep, past_run
from tests.integration.running import ended_server
from tests.support import RunningServer, make_large_file, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("rsync")]
_NEW_YORK, _BERLIN, _KATHMANDU = "America/New_York", "Europe/Berlin", "Asia/Kathmandu"
_FAR = "Pacific/Kiritimati"
_WINTER = datetime(2025, 11, 23, 10, tzinfo=UTC)
_SUMMER_ENDS = datetime(2025, 10, 26, 1, tzinfo=UTC)
"""When clocks in Berlin go back from three to two."""
_LOOK_AT_EACH_FRAME = """
window.seenInUtc = new Set();
{
  const look = () => {
    for (const time of document.querySelectorAll("time[data-exact]")) {
      if (time.textContent.includes("UTC")) window.seenInUtc.add(time.outerHTML);
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


_SEEN = """(element) => {
  const seen = element.cloneNode(true);
  seen.querySelectorAll(".visually-hidden").forEach((hidden) => hidden.remove());
  return seen.textContent;
}"""


@dataclass(frozen=True)
class Site:
    """A server with two jobs: one that ran at known times, and a slow one to start."""

    server: RunningServer
    past_job: str
    slow_job: str
    runs: tuple[str, ...]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all of these tests."""
    room = tmp_path_factory.mktemp("times")
    make_large_file(room / "from" / "film.bin", megabytes=2)
    with ended_server(RunningServer(room / "data")) as server:
        past_job = server.create_job(room / "from", room / "to")
        slow_job = server.create_job(
            room / "from", room / "slow", name="Slow", options={"bandwidth_limit": "50K"}
        )
        seconds = timedelta(seconds=1)
        started = (_SUMMER_ENDS - seconds, _SUMMER_ENDS + seconds, _WINTER)
        runs = [
            past_run(number, job_id=past_job, started=at, seconds=90)
            for number, at in enumerate(started)
        ]
        keep(server.data_dir, runs)
        yield Site(server, past_job, slow_job, tuple(run.id for run in runs))


def _fact(page: Page, name: str) -> Locator:
    """Return the time of a fact of a page."""
    return page.locator(".facts > div").filter(has_text=name).locator("time")


def _there(moment: datetime, zone: str) -> str:
    there = moment.astimezone(ZoneInfo(zone))
    return f"{there:%Y-%m-%d %H:%M:%S} {there.isoformat()[-6:]}"


@pytest.mark.parametrize(
    ("zone", "started"),
    [
        (_NEW_YORK, "2025-11-23 05:00:00 -05:00"),
        (_KATHMANDU, "2025-11-23 15:45:00 +05:45"),
        (_BERLIN, "2025-11-23 11:00:00 +01:00"),
        ("UTC", "2025-11-23 10:00:00 UTC"),
    ],
)
def test_a_time_is_that_of_the_zone_and_utc_on_hover(
    site: Site, visitor: Visitor, zone: str, started: str
) -> None:
    page = visitor.open(f"{site.server.url}/runs/{site.runs[2]}", zone=zone)
    time = _fact(page, "Started")
    expect(time).to_have_text(started)
    expect(time).to_have_attribute("title", "2025-11-23 10:00:00 UTC")
    ago = page.locator(".run-when time[data-ago]")
    both = "" if zone == "UTC" else f"{started} ("
    utc = "2025-11-23 10:00:00 UTC"
    expect(ago).to_have_attribute("title", f"{both}{utc}{')' if both else ''}")
    expect(page.locator(".run-when .moment-exact")).to_have_text(started)
    # What is hidden leaves no gap.
    assert "d ago," in page.locator(".run-when").evaluate(_SEEN)
    bar = page.locator(".phase-bar > title").first
    assert (bar.text_content() or "").startswith(f"Checking, {both}{utc}"), bar.text_content()


def test_an_hour_that_comes_twice_is_told_apart(site: Site, visitor: Visitor) -> None:
    page = visitor.open(f"{site.server.url}/jobs/{site.past_job}/figures", zone=_BERLIN)
    expect(page.locator("#figures tbody time")).to_have_text(
        ["2025-11-23 11:00:00 +01:00", "2025-10-26 02:00:01 +01:00", "2025-10-26 02:59:59 +02:00"]
    )


def test_what_stands_in_titles_is_by_the_zone_too(site: Site, visitor: Visitor) -> None:
    page = visitor.open(f"{site.server.url}/jobs/{site.past_job}", zone=_NEW_YORK)
    bar = page.locator(".outcome").last
    title = "Completed, 2025-11-23 05:00:00 -05:00 (2025-11-23 10:00:00 UTC), 1 min 30 s"
    expect(bar).to_have_attribute("title", title)
    expect(bar.locator(".visually-hidden")).to_have_text(title)
    document = site.server.http.get(f"/api/v1/jobs/{site.past_job}").json()
    created = datetime.fromisoformat(document["created_at"])
    expect(_fact(page, "Created")).to_have_text(_there(created, _NEW_YORK))


def test_without_a_script_times_are_in_utc(site: Site, visitor: Visitor) -> None:
    url = f"{site.server.url}/runs/{site.runs[2]}"
    page = visitor.open(url, zone=_NEW_YORK, script=False)
    expect(_fact(page, "Started")).to_have_text("2025-11-23 10:00:00 UTC")
    expect(page.locator(".run-when")).to_contain_text("d ago 2025-11-23 10:00:00 UTC")


def _start_slow(site: Site) -> str:
    run_id = site.server.start_job(site.slow_job)
    wait_until(lambda: site.server.state(site.slow_job)["progress"], what="progress")
    return run_id


def _in_utc(page: Page) -> list[str]:
    """Return what was ever painted of exact times in UTC."""
    found: list[str] = page.evaluate("() => [...window.seenInUtc]")
    return found


def _record(page: Page) -> None:
    page.add_init_script(_LOOK_AT_EACH_FRAME)


def test_no_frame_ever_shows_another_zone(site: Site, visitor: Visitor) -> None:
    run_id = _start_slow(site)
    pages = {
        path: visitor.open(site.server.url + path, zone=_FAR, before=_record)
        for path in (f"/runs/{run_id}", f"/jobs/{site.slow_job}", "/")
    }
    for page in pages.values():
        expect_live(page)
    run_page = pages[f"/runs/{run_id}"]
    expect(_fact(run_page, "Started")).to_contain_text("+14:00")
    # A push: the end of the run replaces its head, and the card of its job.
    site.server.http.post(f"/api/v1/jobs/{site.slow_job}/stop")
    expect_status(run_page.locator(f"#run-{run_id}"), "paused")
    expect(_fact(run_page, "Ended")).to_contain_text("+14:00")
    # A part that the page fetches anew, and one that it fetches when it is opened.
    job_page = pages[f"/jobs/{site.slow_job}"]
    expect(job_page.locator(f"#row-{run_id} .status")).to_have_text("Paused")
    exact = job_page.locator(f"#row-{run_id} .moment-exact")
    expect(exact).to_contain_text("+14:00")
    job_page.locator("#job-figures-table > summary").click()
    expect(job_page.locator("#figures time").first).to_contain_text("+14:00")
    expect_status(card(pages["/"], site.slow_job), "paused")
    found = {path: _in_utc(page) for path, page in pages.items()}
    assert not any(found.values()), found


def test_polling_keeps_the_zone(site: Site, visitor: Visitor) -> None:
    run_id = _start_slow(site)

    def before(page: Page) -> None:
        page.route_web_socket("**/ws**", lambda socket: socket.close())
        page.clock.install()

    page = visitor.open(f"{site.server.url}/runs/{run_id}", zone=_FAR, before=before)
    indicator = page.locator("#live-indicator")

    def has_given_up() -> bool:
        page.clock.run_for(10_000)
        return indicator.get_attribute("data-state") == "polling"

    wait_until(has_given_up, what="polling")
    site.server.http.post(f"/api/v1/jobs/{site.slow_job}/stop")
    site.server.wait_for_end(run_id)
    page.clock.run_for(6_000)
    expect_status(page.locator(f"#run-{run_id}"), "paused")
    expect(_fact(page, "Ended")).to_contain_text("+14:00")
