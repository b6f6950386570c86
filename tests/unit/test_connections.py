"""Proves how many connections there may be, and that open files bound them too."""

from __future__ import annotations

import resource

import pytest

from fastapi_app import limits
from fastapi_app.connections import Connections, as_many_as_files_allow


class Idle:
    """A connection that waits for a request."""

    def __init__(self) -> None:
        self.is_gone = False

    def let_go(self) -> None:
        """End at once."""
        self.is_gone = True


def test_the_one_that_has_waited_longest_goes_first() -> None:
    room = Connections(most=10)
    first, second, third = Idle(), Idle(), Idle()
    for one in (first, second, third, first):
        room.idles(one)
    room.works(third)
    assert room.make_room(9)
    assert not second.is_gone
    assert room.make_room(10)
    assert (first.is_gone, second.is_gone) == (False, True)
    assert room.make_room(10)
    assert first.is_gone
    assert not room.make_room(10)
    assert not third.is_gone
    assert room.turned_away == 3


@pytest.mark.parametrize(
    ("soft", "hard", "most", "asked"),
    [
        (1024, 1024, 768, None),
        (1024, 524_288, limits.MAX_CONNECTIONS, limits.WANTED_FILES),
        (1024, 2048, 2048 - limits.FILES_OF_OUR_OWN, 2048),
        (20_000, 20_000, limits.MAX_CONNECTIONS, None),
        (1024, resource.RLIM_INFINITY, limits.MAX_CONNECTIONS, limits.WANTED_FILES),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, limits.MAX_CONNECTIONS, None),
    ],
)
def test_connections_leave_files_for_everything_else(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int, asked: int | None
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: given.append(pair))
    assert as_many_as_files_allow() == most
    assert given == ([] if asked is None else [(asked, hard)])


def test_a_system_that_gives_no_more_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuses)
    assert as_many_as_files_allow() == 768
