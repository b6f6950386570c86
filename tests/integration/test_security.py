"""Proves who is served and who refused, and that nothing a person types is taken for a program.

Foreign hosts and origins, policies on every answer, escaped names, hostile paths and patterns.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.integration.pages import Page
from tests.integration.running import ended_server, run_to_end
from tests.integration.trees import differences_beneath
from tests.policy import fault_of_policy
from tests.support import RunningServer, make_tree

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
LOOSENED = '<meta name="referrer" content="same-origin">'
NAME = "<img src=x onerror=alert(1)> &amp; \"quotes\" 'single' {{ 7*7 }} 🗄️"


@pytest.fixture(scope="module")
def job_id(shared_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job with a hostile name and hostile files, which has run once."""
    top = tmp_path_factory.mktemp("<b>hostile</b>".replace("/", ""))
    source = make_tree(top / "from", files=2)
    (source / "<script>alert(1)<script>.txt").write_bytes(b"x")
    found = shared_server.create_job(
        source, top / "to", name=NAME, options={"exclude": ["<i>*", "{{ 1 }}"]}
    )
    run_to_end(shared_server, found)
    return found


def socket_to(server: RunningServer) -> socket.socket:
    """Return a connection to the server."""
    return socket.create_connection(("127.0.0.1", server.port))


def addresses(server: RunningServer, job_id: str) -> Iterator[str]:
    """Every page there is, and every kind of error page."""
    run_id = server.state(job_id)["run_id"]
    yield from ("/", "/jobs", "/jobs?q=%3Cb%3E", "/jobs/new", "/runs", f"/runs/{run_id}")
    yield "/settings"
    yield from (f"/jobs/{job_id}{end}" for end in ("", "/edit", "/card", "/delete"))
    yield from ("/folders?field=source&path=/", "/folders?field=destination&path=%3Cb%3E")
    yield from (f"/folders?field=source&path={os.path.dirname(__file__)}", "/folders?field=x")
    yield from ("/nothing", "/jobs/<b>none</b>", "/runs/none", "/static/none.js")


def test_every_answer_has_its_policies_and_no_page_breaks_them(
    shared_server: RunningServer, job_id: str
) -> None:
    for address in addresses(shared_server, job_id):
        for headers in ({}, {"HX-Request": "true"}):
            answer = shared_server.http.get(address, headers=headers)
            assert answer.status_code < 500, f"{address}: {answer.status_code}"
            policy = answer.headers["content-security-policy"]
            for rule in ("default-src 'self'", "script-src 'self'", "frame-ancestors 'none'"):
                assert rule in policy, address
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff", address
            assert answer.headers["referrer-policy"] == "no-referrer", address
            if answer.headers["content-type"].startswith("text/html"):
                assert Page(answer.text).forbidden == [], address
                has_head = "<head>" in answer.text
                assert (LOOSENED in answer.text) == has_head, address
                assert "<img src=x" not in answer.text, address
                assert "<b>none" not in answer.text, address
                assert "<script>alert" not in answer.text, address
                assert "{{" not in answer.text or "{{ 7*7 }}" in answer.text, address
    for address in ("/api/v1/jobs", "/api/v1/jobs/none", "/health", "/static/css/base.css"):
        answer = shared_server.http.get(address)
        assert answer.headers["x-content-type-options"] == "nosniff", address


@pytest.mark.parametrize(
    ("status", "method", "path", "more"),
    [
        (200, "GET", "/health", {}),
        (200, "GET", "/api/v1/openapi.json", {}),
        (200, "GET", "/static/css/base.css", {}),
        (200, "HEAD", "/static/js/live.js", {}),
        (200, "GET", "/api/v1/jobs", {}),
        (200, "GET", "/logs/download", {}),
        (200, "GET", "/banners", {}),
        (303, "POST", "/jobs-look", {"data": {"look": "cards"}}),
        (400, "GET", "/", {"headers": {"Host": "evil.example"}}),
        (400, "GET", "/static/js/live.js", {"headers": {"Host": "evil.example"}}),
        (403, "POST", "/jobs", {"headers": {"Origin": "https://evil.example"}}),
        (404, "GET", "/api/v1/jobs/none", {}),
        (404, "GET", "/static/none.css", {}),
        (404, "GET", "/nothing", {}),
        (405, "DELETE", "/static/css/base.css", {}),
        (405, "PATCH", "/jobs", {}),
        (422, "POST", "/jobs", {"data": {"name": ""}}),
        (422, "POST", "/jobs", {"data": {"name": ""}, "headers": {"HX-Request": "true"}}),
        (422, "POST", "/api/v1/jobs", {"json": {}}),
        (422, "GET", "/folders", {}),
        (428, "PUT", "/api/v1/settings", {"json": {}}),
    ],
)
def test_every_kind_of_answer_has_the_policy(
    shared_server: RunningServer, status: int, method: str, path: str, more: dict[str, Any]
) -> None:
    # A client of its own: one that bears a cookie is taken for a browser, and refused.
    with httpx.Client(base_url=shared_server.url, trust_env=False) as client:
        answer = client.request(method, path, **more)
        assert answer.status_code == status
        assert fault_of_policy(answer.headers) is None
        dated = parsedate_to_datetime(answer.headers["Date"])
        assert abs(dated - datetime.now(UTC)) < timedelta(seconds=60)
        if "ETag" in answer.headers:
            known = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
            assert known.status_code in {200, 304}
            assert fault_of_policy(known.headers) is None


def test_names_are_shown_as_they_were_typed(shared_server: RunningServer, job_id: str) -> None:
    for address in ("/", "/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/delete", "/runs"):
        assert NAME in Page(shared_server.http.get(address).text).text, address
    edit = Page(shared_server.http.get(f"/jobs/{job_id}/edit").text).form_to(job_id)
    assert edit.values["name"] == NAME
    assert edit.values["exclude"] == "<i>*\n{{ 1 }}"
    assert shared_server.http.get(f"/api/v1/jobs/{job_id}").json()["name"] == NAME


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("192.0.2.7", 200),
    ],
)
def test_a_foreign_host_is_refused(shared_server: RunningServer, host: str, status: int) -> None:
    for address in ("/", "/health", "/api/v1/jobs"):
        answer = shared_server.http.get(address, headers={"Host": host})
        assert answer.status_code == status, f"{address} for {host!r}"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "is_served"),
    [
        ({}, True),
        ({"Origin": "{own}"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://127.0.0.1:1"}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "{own}.evil.example"}, False),
        ({"Origin": "file://"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Cookie": "a=b"}, False),
        ({"Cookie": "a=b", "Origin": "{own}"}, True),
        ({"Cookie": "a=b", "Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "call", ["POST /api/v1/jobs", "POST /jobs", "DELETE /api/v1/jobs/none", "POST /jobs/none/start"]
)
def test_a_foreign_origin_is_refused_before_anything_happens(
    shared_server: RunningServer, headers: dict[str, str], is_served: bool, call: str
) -> None:
    method, _, path = call.partition(" ")
    given = {name: value.format(own=shared_server.url) for name, value in headers.items()}

    answer = shared_server.http.request(method, path, headers=given)

    if is_served:
        assert answer.status_code in {404, 422}, answer.text
    else:
        assert (answer.status_code, answer.json()["status"]) == (403, 403)
    assert shared_server.http.get("/", headers=given).status_code == 200


@pytest.mark.parametrize(
    ("headers", "is_served"),
    [
        ({}, True),
        ({"Origin": "{own}"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Host": "evil.example"}, False),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, False),
    ],
    ids=repr,
)
def test_a_foreign_websocket_is_refused_before_it_is_accepted(
    shared_server: RunningServer, headers: dict[str, str], is_served: bool
) -> None:
    given = {name: value.format(own=shared_server.url) for name, value in headers.items()}
    address = shared_server.url.replace("http", "ws") + "/ws"
    if is_served:
        with connect(address, additional_headers=given, proxy=None) as client:
            assert '"hello"' in str(client.recv(timeout=5))
        return
    host = given.pop("Host", None)
    if host is not None:
        # The client writes Host from the address: this one leads to the same server.
        address = address.replace("127.0.0.1", host)
    with pytest.raises(InvalidStatus) as refused:
        connect(
            address,
            additional_headers=given,
            proxy=None,
            sock=None if host is None else socket_to(shared_server),
        )
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_no_value_of_a_job_is_taken_for_an_option_or_a_command(room: Path, engine: str) -> None:
    command = "$(touch canary);`touch canary`|touch canary&"
    source = make_tree(room / f"-e {command}", files=3)
    for name in ("--rsh=touch canary", "-e", "--delete", command, "--remove-source-files"):
        (source / name).write_bytes(b"kept")
    destination = room / f"--rsh=touch canary {command}"
    patterns = ["--rsh=touch canary2", "-e touch canary", "$(touch canary)", "--files-from=/etc"]
    server = RunningServer(room / "data")
    server.environment |= {"RSYNC_RSH": "touch canary", "RCLONE_PASSWORD_COMMAND": "touch canary"}
    with ended_server(server):
        job_id = server.create_job(
            source,
            destination,
            engine=engine,
            name=f"-e {command}",
            options={"exclude": patterns, "include": ["--include=*"]},
            verification="checksum",
        )
        run = run_to_end(server, job_id)

    assert run["outcome"] == "completed", run
    assert differences_beneath(source, destination) == ""
    assert len(list(destination.rglob("*"))) == len(list(source.rglob("*"))) == 9
    places = (Path.cwd(), room, room / "data", source, destination, Path("/"), Path.home())
    assert [place for place in places if (place / "canary").exists()] == []
