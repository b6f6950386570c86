"""Proves the order of runs: at most so many, fair by age, none beside another on the same place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.run_queue import Place, RunQueue, Wait, overlap


def queue_of(limit: int, *destinations: str) -> RunQueue:
    """Return a queue in which one run after another has arrived: run-0, run-1, …"""
    queue = RunQueue(limit)
    for number, destination in enumerate(destinations):
        queue.arrive(Place(f"run-{number}", f"job-{number}", destination))
    return queue


def start_all(queue: RunQueue) -> list[str]:
    """Start what may start; returns which runs, in their order."""
    started = []
    while (place := queue.next_ready()) is not None:
        queue.enter(place.run_id)
        started.append(place.run_id)
    return started


def test_the_oldest_start_as_long_as_there_is_room() -> None:
    queue = queue_of(2, "/a", "/b", "/c", "/d")
    assert start_all(queue) == ["run-0", "run-1"]
    assert queue.wait_of("run-2") == Wait(None)
    queue.leave("run-1")
    assert start_all(queue) == ["run-2"]
    assert [place.run_id for place in queue.waiting] == ["run-3"]


def test_a_run_waits_for_another_one_on_the_same_place() -> None:
    queue = queue_of(4, "/a", "/a/b", "/c")
    assert start_all(queue) == ["run-0", "run-2"]
    assert queue.wait_of("run-1") == Wait("job-0")
    queue.leave("run-0")
    assert start_all(queue) == ["run-1"]


def test_who_waits_for_a_place_is_not_overtaken_on_it() -> None:
    queue = queue_of(4, "/a/x", "/a", "/a/y")
    assert start_all(queue) == ["run-0"]
    assert queue.wait_of("run-2") == Wait("job-1")
    queue.leave("run-0")
    assert start_all(queue) == ["run-1"]


def test_a_run_that_could_not_be_started_keeps_its_turn() -> None:
    queue = queue_of(1, "/a", "/b")
    queue.enter("run-0")
    queue.go_back("run-0")
    assert queue.has_waiting
    assert start_all(queue) == ["run-0"]


def test_a_withdrawn_run_holds_nobody_up() -> None:
    queue = queue_of(4, "/a", "/a", "/a/b")
    start_all(queue)
    queue.leave("run-1")
    queue.leave("run-0")
    assert start_all(queue) == ["run-2"]
    queue.leave("run-2")
    queue.leave("run-2")
    assert not queue.has_waiting


def test_what_overlaps() -> None:
    assert overlap("/a", "/a/")
    assert overlap("/", "/a")
    assert overlap("/a/b/c", "/a")
    assert not overlap("/a", "/ab")
    assert not overlap("/a/b", "/a/c")
    assert overlap("rsync://nas/m", "rsync://nas/m/photos")


PLACES = st.sampled_from(["/a", "/a/b", "/a/b/c", "/b", "/b/c", "/c", "/"])


@given(st.lists(PLACES, max_size=12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_two_at_once_on_one_place_and_everybody_gets_a_turn(
    destinations: list[str], limit: int, choice: object
) -> None:
    queue = queue_of(limit, *destinations)
    under_way: set[str] = set()
    started: list[str] = []
    while len(started) < len(destinations) or under_way:
        begun = start_all(queue)
        under_way |= set(begun)
        started += begun
        assert len(under_way) <= limit
        assert under_way, "nothing runs, and something waits"
        places = [destinations[int(run_id[4:])] for run_id in sorted(under_way)]
        for number, one in enumerate(places):
            assert not any(overlap(one, other) for other in places[number + 1 :])
        ended = choice.choice(sorted(under_way))  # type: ignore[attr-defined]
        under_way.remove(ended)
        queue.leave(ended)
    assert sorted(started) == sorted(f"run-{n}" for n in range(len(destinations)))
