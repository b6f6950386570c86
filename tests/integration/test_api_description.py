"""Proves that the API is what its own description says: schemathesis makes requests of it, right
ones and wrong ones, and looks at each answer with all of its checks.

Its way of signing in is the cookie of an administrator's session, with the Origin of a browser;
without one every call must be turned away as the description says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fastapi_app.access import COOKIE
from models.access import Role
from tests.integration.access_server import guarded_server, signed_in
from tests.support import RunningServer, wait_until

IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600 if IS_FULL else 900)]
_EXAMPLES = 100 if IS_FULL else 3
_BEYOND_A_SCHEMA = ["2xx", "401", "403", "404", "409", "412", "422", "428"]
"""What a body of the right form may come to where its meaning is judged as well (do these folders
exist, which version is that): the description lists these answers."""
_JUDGED = [
    "/api/v1/jobs",
    "/api/v1/jobs/{job_id}",
    "/api/v1/settings",
    "/api/v1/notifications/rules",
    "/api/v1/notifications/rules/{rule_name}",
]
_TURNED_AWAY = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428"]


@dataclass(frozen=True)
class Site:
    """A server with jobs and runs, and what a request may name."""

    server: RunningServer
    room: Path
    jobs: list[str]
    runs: list[str]
    session: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose jobs stay within one folder, whatever is made of them."""
    room = tmp_path_factory.mktemp("room")
    for name in ("source", "destination"):
        (room / name).mkdir()
    (room / "source" / "bill.txt").write_text("of lading")
    data_dir = tmp_path_factory.mktemp("described") / "data"
    with guarded_server(data_dir, LONGSHORE_ALLOWED_ROOTS=str(room)) as server:
        jobs = [_job(server, room, name) for name in ("Photos", "Music", "Letters")]
        runs = [_started(server, jobs[0], "start"), _started(server, jobs[1], "dry-run")]
        with closing(signed_in(server, Role.ADMIN)) as browser:
            yield Site(server, room, jobs, runs, browser.cookies[COOKIE])


@pytest.mark.slow
def test_the_api_is_what_it_says(site: Site, tmp_path: Path) -> None:
    """No 500, no answer that is not described, nothing right refused, nothing wrong taken."""
    assert _tried(site, tmp_path, session=site.session) > 1_500


@pytest.mark.slow
def test_strangers_are_turned_away_by_all_of_it(site: Site, tmp_path: Path) -> None:
    """Without a session, whatever is sent: 401 or 403, as described, and nothing has changed."""
    before = _kept(site)
    assert _tried(site, tmp_path, session=None) > 1_500
    assert _kept(site) == before


def test_every_call_that_changes_something_asks_who_it_is(site: Site) -> None:
    """And says so; what is open to everybody is the health alone, which tells no names."""
    document = site.server.http.get("/api/v1/openapi.json").json()
    open_to_all = [
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not operation["security"]
    ]
    assert sorted(open_to_all) == [
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /health/schema",
    ]


def test_a_method_that_a_path_does_not_have_is_told_which_ones_it_has(site: Site) -> None:
    """All of them, though each is a route of its own (RFC 9110, 15.5.6)."""
    allowed = {
        path: site.server.http.request("PATCH", path, headers={"Origin": site.server.url}).headers[
            "allow"
        ]
        for path in (f"/api/v1/jobs/{site.jobs[0]}", "/api/v1/jobs", "/api/v1/errors/resolve")
    }
    assert list(allowed.values()) == ["DELETE, GET, PUT", "GET, POST", "POST"]


def _tried(site: Site, tmp_path: Path, *, session: str | None) -> int:
    """Let schemathesis try every operation; returns how many requests it made."""
    config, described = tmp_path / "schemathesis.toml", tmp_path / "openapi.json"
    config.write_text(_configuration(site, session))
    described.write_text(site.server.http.get("/api/v1/openapi.json").text)
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
    command += ["run", str(described), "--url", site.server.url, "--checks", "all"]
    command += ["-H", f"Origin: {site.server.url}", "-n", str(_EXAMPLES), "--no-shrink"]
    if session is None and not IS_FULL:
        # What else is sent to somebody who is turned away before it is looked at is all the same.
        command += ["--phases", "coverage"]
    command += ["--continue-on-failure", "--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=1_500, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    told: dict[str, Any] = json.loads(report.read_text())
    assert told["complete"]
    assert told["operations"]["tested"] == told["operations"]["total"] > 40
    assert not told["failures"]
    assert not told["errors"]
    return int(told["test_cases"]["generated"])


def _configuration(site: Site, session: str | None) -> str:
    """What values may also be, so that requests come to something, and which answers are right."""
    folders = [f"{site.room}/source/", f"{site.room}/destination/"]
    values = {
        "path.job_id": site.jobs,
        "path.run_id": site.runs,
        "path.rule_name": ["harbour"],
        "path.event_id": ["1", "2"],
        "body.engine": ["rsync", "rclone"],
        "body.source": folders,
        "body.destination": folders,
        "body.target": ["harbour"],
        "header.if-match": ["1", "2", "none"],
    }
    lines = ["[checks.negative_data_rejection]", f"expected-statuses = {json.dumps(_TURNED_AWAY)}"]
    lines += ["[parameters]"]
    lines += [f'"{name}" = {{ dictionary = "{name}", probability = 0.7 }}' for name in values]
    for name, known in values.items():
        lines += [f'[dictionaries."{name}"]', f"values = {json.dumps(known)}"]
    if session is not None:
        lines += ["[auth.openapi.session]", f'api_key = "{session}"']
    lines += ["[[operations]]", f"include-path = {json.dumps(_JUDGED)}"]
    lines += ['include-method = ["POST", "PUT"]']
    lines += [f"checks.positive_data_acceptance.expected-statuses = {json.dumps(_BEYOND_A_SCHEMA)}"]
    return "\n".join(lines)


def _job(server: RunningServer, room: Path, name: str) -> str:
    definition = {
        "name": name,
        "engine": "rsync",
        "source": f"{room}/source/",
        "destination": f"{room}/destination/",
    }
    answer = server.http.post("/api/v1/jobs", json=definition)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _started(server: RunningServer, job_id: str, how: str) -> str:
    run_id = str(server.http.post(f"/api/v1/jobs/{job_id}/{how}").json()["run_id"])
    wait_until(
        lambda: server.http.get(f"/api/v1/runs/{run_id}").json()["outcome"],
        what="the end of a run",
    )
    return run_id


def _kept(site: Site) -> list[Any]:
    """What a call could have changed."""
    paths = ("jobs", "runs", "settings", "notifications/rules", "errors", "audit")
    return [site.server.http.get(f"/api/v1/{path}").json() for path in paths]
