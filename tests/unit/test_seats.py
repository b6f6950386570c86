"""Proves how many browsers may have a WebSocket: in all, of an address, of a session."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from fastapi_app import limits
from fastapi_app.websocket.seats import Seats, share_of_address, share_of_session


def taken(stack: ExitStack, seats: Seats, *keys: str) -> bool:
    """Take a seat for an address and sessions; whether there was one."""
    address, *sessions = keys
    shares = (*share_of_address(address), *map(share_of_session, sessions))
    return stack.enter_context(seats.taken(*shares))


def test_seats_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS", 2)
    seats = Seats()
    with ExitStack() as stack:
        assert [taken(stack, seats, "127.0.0.1") for _ in range(3)] == [True, True, False]
        assert seats.count == 2
    assert seats.count == 0
    with ExitStack() as stack:
        assert taken(stack, seats, "127.0.0.1")


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"),
    ],
)
def test_seats_of_an_address(
    monkeypatch: pytest.MonkeyPatch, one: str, same: str, other: str
) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS_OF_ADDRESS", 2)
    seats = Seats()
    with ExitStack() as stack:
        assert taken(stack, seats, one)
        assert taken(stack, seats, same)
        assert not taken(stack, seats, one)
        assert taken(stack, seats, other)
        assert seats.count == 3
    assert seats._of == {}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1", ""])
def test_everybody_may_come_by_a_proxy_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS_OF_ADDRESS", 1)
    with ExitStack() as stack:
        seats = Seats()
        assert all(taken(stack, seats, address) for _ in range(3))


def test_seats_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS_OF_SESSION", 1)
    seats = Seats()
    with ExitStack() as stack:
        assert taken(stack, seats, "192.0.2.1", "mine")
        assert not taken(stack, seats, "192.0.2.1", "mine")
        assert taken(stack, seats, "192.0.2.1", "yours")
    assert (seats.count, seats._of) == (0, {})
