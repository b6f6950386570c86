"""What stands on the axes of plots: units as people write them, times in the person's zone, days
in UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page

from tests.browser.plotting import wait_for_ink
from tests.browser.visitor import Visitor
from tests.fakes.histories import keep, past_run
from tests.integration.running import ended_server
from tests.support import RunningServer

pytestmark = pytest.mark.long

_AHEAD = "Pacific/Kiritimati"
_BEHIND = "Pacific/Pago_Pago"
_RUNS = 12
_LAST = datetime.now(UTC).replace(hour=11, minute=0, second=0, microsecond=0) - timedelta(days=1)
_RECORD = """
window.written = [];
{
  const fillText = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.written.push([this.canvas.closest(".plot-area")?.id, text]);
    return fillText.call(this, text, ...rest);
  };
}
"""


@pytest.fixture(scope="module")
def server_and_job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, str]]:
    """A server whose job ran on each of the last days, at eleven in UTC."""
    room = tmp_path_factory.mktemp("axes")
    with ended_server(RunningServer(room / "data")) as server:
        job_id = server.create_job("/usr/share", room / "to")
        days = [_LAST - timedelta(days=_RUNS - 1 - number) for number in range(_RUNS)]
        keep(
            server.data_dir,
            [
                past_run(number, job_id=job_id, started=day, seconds=200 + number, sent=3 * 2**30)
                for number, day in enumerate(days)
            ],
        )
        yield server, job_id


def _in(zone: str) -> Callable[[Page], object]:
    def before(page: Page) -> None:
        session = page.context.new_cdp_session(page)
        session.send("Emulation.setTimezoneOverride", {"timezoneId": zone})
        page.add_init_script(_RECORD)

    return before


def _written(page: Page, plot: str) -> list[str]:
    """Return what is written in a plot, each text once."""
    wait_for_ink(page, plot)
    texts = page.evaluate("() => window.written")
    return list(dict.fromkeys(text for area, text in texts if area == f"{plot}-area"))


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b}"


def test_runs_stand_at_the_day_that_it_was_for_the_person(
    server_and_job: tuple[RunningServer, str], visitor: Visitor
) -> None:
    server, job_id = server_and_job
    page = visitor.open(f"{server.url}/jobs/{job_id}", before=_in(_AHEAD))
    assert _written(page, "plot-duration") == ["0", "2 min"]
    assert _written(page, "plot-sent") == ["0", "2 GiB"]
    there = [_LAST.astimezone(ZoneInfo(_AHEAD)) - timedelta(days=3 * ago) for ago in (3, 2, 1, 0)]
    assert there[-1].date() != _LAST.date(), "it is the next day there"
    rate = _written(page, "plot-rate")
    assert rate == [*map(_day, there), "0", "8 MiB/s", "16 MiB/s"]


def test_days_are_those_of_utc(server_and_job: tuple[RunningServer, str], visitor: Visitor) -> None:
    server, _ = server_and_job
    before = datetime.now(UTC)
    page = visitor.open(server.url, before=_in(_BEHIND))
    texts = _written(page, "plot-day-runs")
    assert texts[-2:] == ["0", "1"]
    # Unless the day ended meanwhile.
    assert texts[-3] in {_day(before), _day(datetime.now(UTC))}
