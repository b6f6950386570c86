"""Static files: under an address with their version for good, under any other for now."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from fastapi_app.assets import ALL_SHEETS, SHEETS, STATIC, Assets
from fastapi_app.rendering import TEMPLATES

_FOR_GOOD = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def assets() -> Assets:
    """The files that are shipped."""
    return Assets()


@pytest.fixture
async def client(assets: Assets) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever asks for them."""
    app = Starlette(routes=[Route("/static/{path:path}", assets.serve, name="static")])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as found:
        yield found


async def test_what_has_its_version_is_kept_for_good(
    client: httpx.AsyncClient, assets: Assets
) -> None:
    answer = await client.get(f"/static/{assets.path_of('js/live.js')}")
    assert answer.content == (STATIC / "js" / "live.js").read_bytes()
    assert answer.headers["cache-control"] == _FOR_GOOD
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("before", ["", "00000000/"])
async def test_what_has_none_or_another_is_asked_for_each_time(
    client: httpx.AsyncClient, before: str
) -> None:
    answer = await client.get(f"/static/{before}favicon.svg")
    assert answer.content == (STATIC / "favicon.svg").read_bytes()
    assert answer.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": answer.headers["etag"]}
    again = await client.get(f"/static/{before}favicon.svg", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


async def test_it_is_compressed_for_who_takes_that(client: httpx.AsyncClient) -> None:
    plain = await client.get("/static/js/live.js", headers={"Accept-Encoding": "identity"})
    short = await client.get("/static/js/live.js", headers={"Accept-Encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert short.headers["content-encoding"] == "gzip"
    assert int(short.headers["content-length"]) < len(plain.content) / 2
    assert short.content == plain.content
    assert short.headers["etag"] != plain.headers["etag"]
    assert short.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["", "css", "js/", "none.js", "../assets.py", "00000000", "%00"])
async def test_nothing_else_is_there(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/static/{path}")).status_code == 404


async def test_all_sheets_are_one_in_their_order(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/static/{ALL_SHEETS}")
    sheets = [(STATIC / "css" / f"{name}.css").read_text(encoding="utf-8") for name in SHEETS]
    assert answer.text == "\n".join(sheets)


def test_no_sheet_is_forgotten() -> None:
    templates = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES.rglob("*.html"))
    linked = set(re.findall(r"css/([a-z_]+)\.css", templates))
    there = {path.stem for path in (STATIC / "css").glob("*.css")}
    assert there == set(SHEETS) | linked - {"all"}
    assert not set(SHEETS) & linked


def test_a_sheet_reads_the_same_from_one_address_as_from_another() -> None:
    for path in (STATIC / "css").glob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(|@import|@charset|@namespace", text), path.name


def test_another_content_has_another_version(tmp_path: Path, assets: Assets) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    assert Assets(tmp_path / "static").version == assets.version
    with (tmp_path / "static" / "js" / "units.js").open("ab") as file:
        file.write(b"\n")
    assert Assets(tmp_path / "static").version != assets.version
