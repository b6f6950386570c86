"""Pages are compressed for who takes that, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fastapi_app.compression import Compression, accepts_gzip

_WORDS = random.Random(1).choices(["photos", "completed", "running", "nas"], k=40_000)
_SMALL, _MIDDLE, _LARGE = "Nothing", " ".join(_WORDS[:1_000]), " ".join(_WORDS)


async def _page(request: Request) -> Response:
    return HTMLResponse(
        {"small": _SMALL, "middle": _MIDDLE}.get(request.path_params["what"], _LARGE)
    )


async def _json(_: Request) -> Response:
    return JSONResponse({"words": _LARGE}, headers={"ETag": '"1"'})


async def _stream(_: Request) -> Response:
    return StreamingResponse(iter([_LARGE, _LARGE]), media_type="text/html")


async def _encoded(_: Request) -> Response:
    return Response(b"\x01\x02", headers={"Content-Encoding": "br"}, media_type="text/html")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Whoever asks for them."""
    routes = [
        Route("/json", _json),
        Route("/stream", _stream),
        Route("/encoded", _encoded),
        Route("/{what}", _page),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Compression)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as found:
        yield found


@pytest.mark.parametrize(("path", "text"), [("/middle", _MIDDLE), ("/large", _LARGE)])
async def test_a_page_is_compressed_and_says_the_same(
    client: httpx.AsyncClient, path: str, text: str
) -> None:
    answer = await client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(text) / 3
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.text == text


@pytest.mark.parametrize(("path", "text"), [("/middle", _MIDDLE), ("/large", _LARGE)])
async def test_who_does_not_take_that_gets_it_plain(
    client: httpx.AsyncClient, path: str, text: str
) -> None:
    answer = await client.get(path, headers={"Accept-Encoding": "gzip;q=0, br"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.text == text


@pytest.mark.parametrize("path", ["/small", "/json", "/stream"])
async def test_what_is_short_or_no_page_stays_plain(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers


async def test_what_is_encoded_already_stays_so(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/encoded") as answer:
        assert answer.headers["content-encoding"] == "br"
        assert [part async for part in answer.aiter_raw()] == [b"\x01\x02"]


@pytest.mark.parametrize(
    ("header", "accepts"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("br, gzip; q=0.00", False),
        ("gzipped", False),
        (",;,gzip;", True),
    ],
)
def test_what_a_client_takes(header: str, accepts: bool) -> None:
    assert accepts_gzip(Headers({"accept-encoding": header})) is accepts
