"""How often somebody may try to sign in: from one address, and from all together.

It bounds what is checked and locks nobody out: who is signed in already is never asked again, and
of what all have together strangers cannot use up the last part, which is kept for this machine and
for the addresses from which somebody has signed in lately.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_SECONDS = 60.0
FROM_ONE_ADDRESS = 10
FROM_ALL = 100
FROM_STRANGERS = 80
"""Of these: what is left is for who is known."""
_MAX_ADDRESSES = 10_000
_MAX_KNOWN = 1_000
_KNOWN_SECONDS = 30 * 86_400.0
_IPV6_NETWORK = 64
"""Whoever has one address of version 6 has as many as a network of these bits (RFC 6177)."""


class Attempts:
    """Attempts of the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of_all: deque[float] = deque()
        self._of_strangers: deque[float] = deque()
        self._known: OrderedDict[str, float] = OrderedDict()
        """From where somebody has signed in, and when; the oldest first."""
        self._of: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, address: str) -> float:
        """Count an attempt and return 0.0, or return in how many seconds there may be another."""
        now = self._clock()
        key = network_of(address)
        its = self._of.setdefault(key, deque())
        self._of.move_to_end(key)
        bounds = [(its, FROM_ONE_ADDRESS), (self._of_all, FROM_ALL)]
        if not self.is_known(address):
            bounds.append((self._of_strangers, FROM_STRANGERS))
        for times, _ in bounds:
            while times and now - times[0] >= WINDOW_SECONDS:
                times.popleft()
        waits = [WINDOW_SECONDS - (now - times[0]) for times, most in bounds if len(times) >= most]
        if not waits:
            for times, _ in bounds:
                times.append(now)
        while len(self._of) > _MAX_ADDRESSES:
            self._of.popitem(last=False)
        return max(waits, default=0.0)

    def remember(self, address: str) -> None:
        """Somebody has signed in from there."""
        key = network_of(address)
        self._known[key] = self._clock()
        self._known.move_to_end(key)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def is_known(self, address: str) -> bool:
        """Whether it is this machine's, or somebody has signed in from there lately."""
        key = network_of(address)
        since = self._known.get(key)
        is_lately = since is not None and self._clock() - since < _KNOWN_SECONDS
        return is_lately or _is_loopback(address)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def network_of(address: str) -> str:
    """Return an address, or the network that whoever has it has most likely as a whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
