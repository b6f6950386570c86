"""Proves that guesses are bounded, from one address and from all, and that waiting helps."""

from __future__ import annotations

import asyncio
import threading

import pytest

from core.access import attempts as module
from core.access.attempts import (
    FROM_ALL,
    FROM_ONE_ADDRESS,
    FROM_STRANGERS,
    WINDOW_SECONDS,
    Attempts,
)
from core.access.passwords import AT_ONCE, MAX_WAITING, Passwords
from models.errors import SignInBusy
from tests.support import wait_until


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_one_address_has_ten_a_minute_and_its_own_bound_alone() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    admitted = 0
    for _ in range(1000):
        clock.now += 0.01
        admitted += attempts.admit("192.0.2.1") == 0
    assert admitted == FROM_ONE_ADDRESS
    assert 0 < attempts.admit("192.0.2.1") <= WINDOW_SECONDS
    assert attempts.admit("192.0.2.2") == 0
    clock.now += attempts.admit("192.0.2.1")
    assert attempts.admit("192.0.2.1") == 0


def test_who_has_a_whole_network_has_no_more() -> None:
    attempts = Attempts(Clock())
    found = [attempts.admit(f"2001:db8::{number:x}") for number in range(50)]
    assert found.count(0) == FROM_ONE_ADDRESS
    assert attempts.admit("2001:db8:0:1::1") == 0
    # The same address of version 4, written as one of version 6.
    mapped = Attempts(Clock())
    found = [mapped.admit(one) for one in ("192.0.2.1", "::ffff:192.0.2.1") for _ in range(10)]
    assert found.count(0) == FROM_ONE_ADDRESS


def test_all_together_have_a_bound_and_are_not_remembered_for_ever() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    addresses = [f"10.{number // 256}.{number % 256}.1" for number in range(20_000)]
    assert [attempts.admit(one) for one in addresses].count(0) == FROM_STRANGERS
    for number in range(20):
        attempts.remember(f"192.0.2.{number}")
    known = [attempts.admit(f"192.0.2.{number}") for number in range(20) for _ in range(10)]
    assert known.count(0) == FROM_ALL - FROM_STRANGERS
    assert len(attempts._of) <= module._MAX_ADDRESSES
    clock.now += WINDOW_SECONDS
    assert attempts.admit("10.0.0.1") == 0


@pytest.mark.parametrize("owner", ["127.0.0.1", "::1", "192.0.2.1", "2001:db8:0:1::7"])
def test_strangers_of_many_addresses_leave_some_for_who_was_here_and_for_this_machine(
    owner: str,
) -> None:
    clock = Clock()
    attempts = Attempts(clock)
    attempts.remember("192.0.2.1")
    attempts.remember("2001:db8:0:1::1")
    strangers = [attempts.admit(f"10.{number // 256}.{number % 256}.1") for number in range(1_000)]
    assert strangers.count(0) == FROM_STRANGERS < FROM_ALL
    assert attempts.admit("198.51.100.1") > 0
    # No more than anybody has from one address.
    own = [attempts.admit(owner) for _ in range(50)]
    assert own.count(0) == FROM_ONE_ADDRESS <= FROM_ALL - FROM_STRANGERS


def test_who_was_here_is_remembered_for_a_while_and_so_many_alone() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(module._MAX_KNOWN + 500):
        attempts.remember(f"10.{number // 256}.{number % 256}.1")
    assert len(attempts._known) == module._MAX_KNOWN
    assert not attempts.is_known("10.0.0.1")
    assert attempts.is_known("10.1.255.1")
    clock.now += module._KNOWN_SECONDS
    assert not attempts.is_known("10.1.255.1")
    assert attempts.is_known("127.0.0.1")


async def test_who_was_here_has_a_place_where_strangers_wait_for_their_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords, held = Passwords(), threading.Event()
    begun: list[str] = []

    def verify(_hashed: str, password: str) -> bool:
        begun.append(password)
        held.wait(10)
        return False

    monkeypatch.setattr(passwords, "_verify", verify)
    asked = [
        asyncio.create_task(passwords.matches("hash", f"stranger {number}", is_known=False))
        for number in range(MAX_WAITING)
    ]
    try:
        await asyncio.sleep(0)  # Each has asked by now.
        await asyncio.to_thread(wait_until, lambda: len(begun) == AT_ONCE)
        refused = [task for task in asked if task.done()]
        assert refused
        assert all(isinstance(task.exception(), SignInBusy) for task in refused)
        owner = asyncio.create_task(passwords.matches("hash", "the owner", is_known=True))
        await asyncio.sleep(0)
        assert not owner.done()
        assert len(begun) == AT_ONCE
    finally:
        held.set()
    assert await owner is False
    await asyncio.gather(*asked, return_exceptions=True)
