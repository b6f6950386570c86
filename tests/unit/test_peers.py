"""Proves where a request is said to come from: the peer, unless a trusted proxy says it."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from fastapi_app.peers import TrustedProxies

NOBODY: tuple[str, ...] = ()
PROXIES = ("127.0.0.1", "10.0.0.0/8", "::1")


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "address"),
    [
        (NOBODY, "127.0.0.1", "192.0.2.7", "127.0.0.1"),
        (PROXIES, "127.0.0.1", "192.0.2.7", "192.0.2.7"),
        # What a stranger wrote stands before what the proxy wrote.
        (PROXIES, "127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),
        (PROXIES, "127.0.0.1", "198.51.100.1, 192.0.2.7, 10.0.0.3", "192.0.2.7"),
        (PROXIES, "192.0.2.9", "198.51.100.1", "192.0.2.9"),
        (PROXIES, "127.0.0.1", "", "127.0.0.1"),
        (PROXIES, "127.0.0.1", "nonsense", "127.0.0.1"),
        (PROXIES, "::1", "2001:db8::7", "2001:db8::7"),
        (PROXIES, "::ffff:10.1.2.3", "192.0.2.7", "192.0.2.7"),
        (PROXIES, "127.0.0.1", "10.0.0.3", "10.0.0.3"),
        (PROXIES, "127.0.0.1", "192.0.2.7," * 500 + "10.0.0.3", "192.0.2.7"),
    ],
)
def test_where_a_request_comes_from(
    trusted: tuple[str, ...], peer: str, forwarded: str, address: str
) -> None:
    scope: dict[str, Any] = {"type": "http", "client": (peer, 1234)}
    headers = Headers({"x-forwarded-for": forwarded} if forwarded else {})
    assert TrustedProxies(trusted).address_of(scope, headers) == address


def test_who_is_no_peer_is_nobody() -> None:
    assert TrustedProxies(PROXIES).address_of({"type": "http"}, Headers({})) == ""
    assert not TrustedProxies(PROXIES).is_peer({"type": "http"})
