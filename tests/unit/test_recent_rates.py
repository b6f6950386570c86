"""The line of a card: a sample every two seconds, of the last minute, scaled to its highest."""

from __future__ import annotations

from fastapi_app.recent_rates import EVERY_SECONDS, HEIGHT, SAMPLES, WIDTH, RecentRates


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


def test_the_newest_rate_is_at_the_end_and_the_highest_at_the_top() -> None:
    clock = Clock()
    rates = RecentRates(clock)
    for rate in (0.0, 50.0, 100.0):
        rates.note("a", "run-1", rate)
        clock.now += EVERY_SECONDS
    assert rates.points("a") == f"{WIDTH - 6},{HEIGHT} {WIDTH - 3},{HEIGHT // 2} {WIDTH},0"


def test_it_is_sampled_and_bounded() -> None:
    clock = Clock()
    rates = RecentRates(clock)
    for number in range(10 * SAMPLES):
        rates.note("a", "run-1", float(number))
        clock.now += EVERY_SECONDS / 2
    points = rates.points("a").split()
    assert len(points) == SAMPLES
    assert points[0].startswith("0,")
    assert points[-1].startswith(f"{WIDTH},")


def test_another_run_begins_anew_and_a_job_at_rest_is_forgotten() -> None:
    clock = Clock()
    rates = RecentRates(clock)
    rates.note("a", "run-1", 10.0)
    clock.now += EVERY_SECONDS
    rates.note("a", "run-2", 0.0)
    assert rates.points("a") == f"{WIDTH},{HEIGHT}"
    rates.note("a", "run-2", None)
    assert rates.points("a") == ""
    assert rates.points("nobody") == ""
