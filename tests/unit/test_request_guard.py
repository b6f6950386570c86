"""Proves who may ask: Host, Origin, Sec-Fetch-Site and cookies, for HTTP and WebSocket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from fastapi_app.security import CONTENT_SECURITY_POLICY, KnownHosts, RequestGuard, path_before

OWN = "localhost:5001"


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request, and accept every WebSocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})


async def ask(kind: str, method: str = "GET", **headers: str | None) -> list[Message]:
    """Return what the guard sends for a request with these headers."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("the guard reads nothing")

    raw = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
        if value is not None
    ]
    scope: dict[str, Any] = {"type": kind, "headers": raw, "path": "/"}
    if kind == "http":
        scope["method"] = method
    await RequestGuard(inner, hosts=KnownHosts(["Backup.Example"]))(scope, receive, send)
    return sent


async def is_let_in(kind: str, method: str = "GET", **headers: str | None) -> bool:
    """Whether a request reaches the application; fails on any answer but yes and no."""
    sent = await ask(kind, method, **headers)
    if kind == "websocket":
        assert [message["type"] for message in sent] in (["websocket.accept"], ["websocket.close"])
        return bool(sent[0]["type"] == "websocket.accept")
    assert sent[0]["status"] in {200, 400, 403}
    return bool(sent[0]["status"] == 200)


HOSTS = [
    ("localhost", True),
    ("localhost:5001", True),
    ("LOCALHOST:5001", True),
    ("127.0.0.1:5001", True),
    ("[::1]:5001", True),
    ("192.168.1.5", True),
    ("backup.example", True),
    ("BACKUP.example:443", True),
    ("evil.example", False),
    ("localhost.evil.example", False),
    ("127.0.0.1.evil.example", False),
    ("backup.example.evil.example", False),
    ("", False),
    (None, False),
    ("[::1", False),
    ("::1", False),
    ("]", False),
    ("localhost:port", False),
    ("/", False),
    ("a b", False),
]


@pytest.mark.parametrize(("host", "expected"), HOSTS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_hosts(kind: str, host: str | None, expected: bool) -> None:
    assert await is_let_in(kind, host=host) is expected


ORIGINS = [
    ("http://localhost:5001", True),
    ("https://localhost:5001", True),
    ("HTTP://LOCALHOST:5001", True),
    ("http://localhost:5002", False),
    ("http://localhost", False),
    ("http://evil.example", False),
    ("http://localhost:5001.evil.example", False),
    ("http://evil.example@localhost:5001", False),
    ("null", False),
    ("", False),
    ("file://", False),
    ("chrome-extension://localhost:5001", False),
    ("localhost:5001", False),
    ("http://[", False),
    ("http://[::1", False),
]


@pytest.mark.parametrize(("origin", "expected"), ORIGINS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "QUERY"])
async def test_origins_of_unsafe_requests(method: str, origin: str, expected: bool) -> None:
    assert await is_let_in("http", method, host=OWN, origin=origin) is expected


@pytest.mark.parametrize(("origin", "expected"), ORIGINS)
async def test_origins_of_websockets(origin: str, expected: bool) -> None:
    assert await is_let_in("websocket", host=OWN, origin=origin) is expected


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("backup.example", "https://backup.example"),
        ("backup.example", "https://backup.example:443"),
        ("backup.example:443", "https://backup.example"),
        ("backup.example:80", "http://backup.example"),
        ("[::1]:5001", "http://[::1]:5001"),
    ],
)
async def test_the_default_port_may_be_left_out(host: str, origin: str) -> None:
    assert await is_let_in("http", "POST", host=host, origin=origin)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_safe_request_may_come_from_anywhere(method: str) -> None:
    assert await is_let_in(
        "http", method, host=OWN, origin="http://evil.example", sec_fetch_site="cross-site"
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": ""}, False),
        ({"sec_fetch_site": "same-origin", "cookie": "a=b"}, True),
        ({"sec_fetch_site": "same-origin", "origin": "http://evil.example"}, False),
        ({"origin": "http://localhost:5001", "cookie": "a=b"}, True),
        ({}, True),
        ({"cookie": "a=b"}, False),
        ({"cookie": ""}, False),
        ({"referer": "http://evil.example/"}, True),
    ],
)
async def test_unsafe_requests(headers: dict[str, str], expected: bool) -> None:
    assert await is_let_in("http", "POST", host=OWN, **headers) is expected


async def test_a_refusal_is_a_problem_that_says_what_to_do() -> None:
    start, body = await ask("http", "GET", host="evil.example")
    assert start["status"] == 400
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    problem = json.loads(body["body"])
    assert (problem["title"], problem["status"]) == ("Bad Request", 400)
    assert "LONGSHORE_ALLOWED_HOSTS" in problem["detail"]
    (closed,) = await ask("websocket", host=OWN, origin="http://evil.example")
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


async def test_answers_carry_the_headers_that_confine_a_page() -> None:
    start, body = await ask("http", host=OWN)
    headers = dict(start["headers"])
    assert headers[b"content-security-policy"].decode() == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
    assert body["body"] == b"inside"


async def test_the_lifespan_passes() -> None:
    assert await ask("lifespan") == []


LATIN = st.text(st.characters(max_codepoint=255), max_size=30)


@given(
    host=LATIN, origin=LATIN | LATIN.map("http://".__add__), method=st.sampled_from(["GET", "PUT"])
)
async def test_any_header_is_a_yes_or_a_no(host: str, origin: str, method: str) -> None:
    await is_let_in("http", method, host=host)
    await is_let_in("http", method, host=OWN, origin=origin)
    await is_let_in("websocket", host=OWN, origin=origin)


@pytest.mark.parametrize(
    ("referer", "path"),
    [
        ("http://localhost:5001/jobs?q=a&status=", "/jobs?q=a&status="),
        ("https://LOCALHOST:5001/", "/"),
        ("http://localhost:5001/a%20b#part", "/a%20b"),
        ("http://localhost:5001", ""),
        (None, None),
        ("", None),
        ("/jobs", None),
        ("//localhost:5001/jobs", None),
        ("http://localhost:5002/jobs", None),
        ("http://localhost:5001.example.org/jobs", None),
        ("http://localhost:5001@example.org/jobs", None),
        ("javascript://localhost:5001/jobs", None),
        ("http://[/jobs", None),
    ],
)
def test_the_page_before_is_told_of_this_site_alone(referer: str | None, path: str | None) -> None:
    headers = {"host": OWN} | ({} if referer is None else {"referer": referer})
    assert path_before(Headers(headers)) == path
