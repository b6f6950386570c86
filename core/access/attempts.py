"""How often somebody may try to sign in: from one address, and from all together.

It bounds what is checked and locks nobody out: who is signed in already is never asked again.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_SECONDS = 60.0
FROM_ONE_ADDRESS = 10
FROM_ALL = 100
_MAX_ADDRESSES = 10_000
_IPV6_NETWORK = 64
"""Whoever has one address of version 6 has as many as a network of these bits (RFC 6177)."""


class Attempts:
    """Attempts of the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of_all: deque[float] = deque()
        self._of: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, address: str) -> float:
        """Count an attempt and return 0.0, or return in how many seconds there may be another."""
        now = self._clock()
        key = network_of(address)
        its = self._of.setdefault(key, deque())
        self._of.move_to_end(key)
        for times in (its, self._of_all):
            while times and now - times[0] >= WINDOW_SECONDS:
                times.popleft()
        waits = [
            WINDOW_SECONDS - (now - times[0])
            for times, most in ((its, FROM_ONE_ADDRESS), (self._of_all, FROM_ALL))
            if len(times) >= most
        ]
        if not waits:
            its.append(now)
            self._of_all.append(now)
        while len(self._of) > _MAX_ADDRESSES:
            self._of.popitem(last=False)
        return max(waits, default=0.0)


def network_of(address: str) -> str:
    """Return an address, or the network that whoever has it has most likely as a whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
