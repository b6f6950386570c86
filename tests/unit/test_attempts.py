"""Proves that guesses are bounded, from one address and from all, and that waiting helps."""

from __future__ import annotations

from core.access import attempts as module
from core.access.attempts import FROM_ALL, FROM_ONE_ADDRESS, WINDOW_SECONDS, Attempts


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
    assert [attempts.admit(one) for one in addresses].count(0) == FROM_ALL
    assert len(attempts._of) <= module._MAX_ADDRESSES
    clock.now += WINDOW_SECONDS
    assert attempts.admit("10.0.0.1") == 0
