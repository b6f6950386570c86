"""Proves that no spelling of a path in a URL leads out of its folder: logs, runs, static files, the
folder browser, downloads, pages and the API, for an administrator, with and without the sub-path.

Every part of a path and every value of a query is taken from the application itself. The spellings
go over a raw socket; the server writes down which files it opens, and around it lie canaries. The
same spellings do get out of a handler that joins paths, which is the control.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from fastapi_app.application import create_app
from fastapi_app.assets import STATIC
from models.settings import Settings
from tests.integration.raw_requests import Wire
from tests.integration.running import ended_server
from tests.integration.watched_site import CANARY, FILES, SUB_PATH, Site
from tests.traversal import url_spellings

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
IN_FRONT = re.compile(r"/static/[^?]*\{|/runs/[^?]*\{|\?path=|^DELETE /api/v1/jobs|^GET /\{")
"""Where files lie behind: these get a hundred spellings each time, the others some."""
STEPS = (1, 19) if IS_FULL else (40, 211)
"""Every how manieth spelling the ones and the others get, each beginning at another."""
_NO_REQUEST = b"Invalid HTTP request received."
"""What the server itself says of such a line: no route has seen it."""
HOLE = "{}"
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
KINDS = ("application/json", "application/x-www-form-urlencoded")


class Target(NamedTuple):
    """A method, and a path or query in which one part is spelled; the sub-path comes before it."""

    method: str
    path: str

    def spelled(self, spelling: bytes, *, before: str) -> bytes:
        """Return what stands in the request line."""
        head, _, tail = f"{before}{self.path}".partition(HOLE)
        return head.encode() + spelling + tail.encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for the module."""
    made = Site(tmp_path_factory.mktemp("traversal") / "place")
    with ended_server(made.server):
        made.fill()
        yield made


def targets(data_dir: Path, values: dict[str, str]) -> list[Target]:
    """Return every part of a path and every value of a query that the application takes."""
    found: list[Target] = []
    waiting: list[Any] = list(create_app(Settings(data_dir=data_dir)).routes)
    while waiting:
        route = waiting.pop()
        if (router := getattr(route, "original_router", None)) is not None:
            waiting += router.routes
            continue
        names = _PARAMETER.findall(route.path)
        paths = [_filled(route.path, values | {name: HOLE}) for name in names]
        whole = _filled(route.path, values)
        paths += [f"{whole}?{name}={HOLE}" for name in _queries(getattr(route, "dependant", None))]
        for method in getattr(route, "methods", None) or {"GET"}:
            found += [Target(method, path) for path in paths]
    return sorted(found)


def _filled(path: str, values: dict[str, str]) -> str:
    return _PARAMETER.sub(lambda one: values.get(one[1], "none"), path)


def _queries(dependant: Any) -> list[str]:
    if dependant is None:
        return []
    deeper = [name for one in dependant.dependencies for name in _queries(one)]
    return [one.alias for one in dependant.query_params] + deeper


def more_targets(site: Site) -> list[Target]:
    """Return places in paths that no route has a name for."""
    places = (
        "/{}",
        "//{}",
        "/{}/static/css/base.css",
        f"/static/{site.version}/{{}}",
        f"/static/{site.version}/css/{{}}",
        f"/jobs/{site.job}/{{}}",
        f"/runs/{site.run}/log/{{}}",
        f"/api/v1/runs/{site.run}/log/{{}}",
        f"/api/v1/runs/{{}}/{site.run}/log",
        "/folders?field=source&path={}",
    )
    return [
        *(Target("GET", place) for place in places),
        Target("DELETE", f"/api/v1/jobs/{site.job}/{{}}"),
    ]


def test_there_are_more_than_a_hundred_spellings_and_every_route_is_met(
    site: Site, tmp_path: Path
) -> None:
    assert len(spellings_for(site)) >= 1_000
    found = targets(tmp_path, {})
    for path in (
        "/static/{}", "/runs/{}", "/runs/{}/log", "/runs/{}/log/lines", "/runs/{}/log/download",
        "/api/v1/runs/{}/log", "/api/v1/runs/{}/preview", "/api/v1/jobs/{}", "/jobs/{}/card",
        "/folders?path={}", "/api/v1/errors/export?format={}",
    ):  # fmt: skip
        assert Target("GET", path) in found, path
    assert Target("DELETE", "/api/v1/jobs/{}") in found
    assert len(found) > 150


def spellings_for(site: Site) -> tuple[bytes, ...]:
    """Return the spellings for what lies around a server."""
    descriptor = os.open(site.outside, os.O_RDONLY)
    try:
        return url_spellings(site.root, site.outside, known=site.run, descriptor=descriptor)
    finally:
        os.close(descriptor)


def joined(top: Path, spelling: bytes) -> Path:
    """Return where a careless program would look, which decodes whatever it finds."""
    text = unquote(unquote(os.fsdecode(spelling), errors="surrogateescape"))
    return Path(f"{top}/{text.replace(chr(92), '/')}")


def is_way_out(site: Site, spelling: bytes) -> bool:
    """Whether such a program would come upon a file that it has no business with."""
    for top in (site.data_dir / "runs", STATIC):
        path = joined(top, spelling)
        try:
            if path.is_file() or (path / FILES[0]).is_file():
                return True
        except (OSError, ValueError):
            continue
    return False


def body_of(site: Site, target: Target) -> tuple[bytes, str]:
    """Return a body that the route takes, so that what is asked for is looked for."""
    if target.method in {"GET", "HEAD"}:
        return b"", ""
    definition = {
        "name": "A job",
        "engine": "rsync",
        "source": f"{site.root}/photos",
        "destination": f"{site.root}/copy",
    }
    if target.path.startswith("/api/"):
        return json.dumps(definition).encode(), KINDS[0]
    return b"sure=yes&name=A+job&confirm=A+job", KINDS[1]


@pytest.mark.timeout(600)
def test_no_spelling_leads_out_of_its_folder(site: Site, tmp_path: Path) -> None:
    values = {"job_id": site.job, "run_id": site.run, "path": "css/base.css"}
    everything = [*targets(tmp_path, values), *more_targets(site)]
    spellings, canaries = spellings_for(site), site.canaries()
    ways_out = [spelling for spelling in spellings if is_way_out(site, spelling)]
    assert len(ways_out) > 100
    head = (f"Authorization: Bearer {site.token}", 'If-Match: "1"')
    wires = Wire(site.server.port, *head), Wire(site.server.port, *head, "HX-Request: true")
    before, opened_before = site.around(), site.opened()
    seen = dict.fromkeys(everything, 0)
    for number, target in enumerate(everything):
        is_in_front = IN_FRONT.search(f"{target.method} {target.path}") is not None
        step = STEPS[not is_in_front]
        some = [*(ways_out if is_in_front else ()), *spellings[number % step :: step]]
        body, kind = body_of(site, target)
        for turn, spelling in enumerate(some):
            line = target.spelled(spelling, before=("", SUB_PATH)[turn % 2])
            answer = wires[turn // 2 % 2].ask(target.method, line, body, kind)
            assert answer.status < 500, line
            seen[target] += answer.status > 0 and answer.content != _NO_REQUEST
            assert [canary for canary in canaries if canary in answer.content] == [], line
            assert re.match(r"/(?!/)|$|http://127\.0\.0\.1:", answer.location), line
    for wire in wires:
        wire.close()
    assert [target for target, number in seen.items() if not number] == []
    assert sum(number >= 100 for number in seen.values()) > 15
    after = site.around()
    assert {path for path in before | after if before.get(path) != after.get(path)} == set()
    assert site.foreign(site.opened() - opened_before) == set()
    assert site.server.run(site.run)["outcome"] == "completed"


class Careless(BaseHTTPRequestHandler):
    """What must not be written: a path that is joined and opened."""

    top = Path()

    def do_GET(self) -> None:
        """Answer with whatever lies there."""
        try:
            content = joined(self.top, self.path[1:].encode("latin-1")).read_bytes()
        except (OSError, ValueError):
            content = b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_given: object) -> None:
        """Say nothing."""


def test_the_same_spellings_do_get_out_of_a_handler_that_joins_paths(site: Site) -> None:
    careless = type("Here", (Careless,), {"top": site.data_dir / "runs"})
    with ThreadingHTTPServer(("127.0.0.1", 0), careless) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        wire = Wire(server.server_address[1])
        out = {
            spelling
            for spelling in spellings_for(site)
            if CANARY in wire.ask("GET", b"/" + spelling).content
        }
        server.shutdown()
        thread.join()
    assert len(out) > 50
