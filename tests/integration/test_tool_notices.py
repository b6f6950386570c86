"""Proves that what is known against a tool's version is said on every page, until it is dismissed
or the tool is another one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import RunningServer, wait_until

pytestmark = pytest.mark.integration
PAGES = ("/", "/jobs", "/jobs/new", "/runs")
OLD, SOUND = "3.4.1", "3.5.0"
WARNING = f"rsync {OLD} has weaknesses that are known"


def install_rsync(directory: Path, version: str) -> None:
    """Put an executable there that says it is that rsync."""
    tool = directory / "rsync"
    tool.unlink(missing_ok=True)
    tool.write_text(f"#!/bin/sh\necho 'rsync  version {version}  protocol version 32'\n")
    tool.chmod(0o755)


@pytest.fixture
def server(make_server: Callable[..., RunningServer], tmp_path: Path) -> RunningServer:
    """A server that finds an old rsync."""
    (tmp_path / "bin").mkdir()
    install_rsync(tmp_path / "bin", OLD)
    return make_server(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def engines_of(server: RunningServer) -> dict[str, Any]:
    """Return what /health tells of the engines, once they have told their versions."""

    def told() -> dict[str, Any] | None:
        part: dict[str, Any] = server.http.get("/health").json()["components"]["engines"]
        return part if part["available"] is not None else None

    found = wait_until(told, what="the engines' versions")
    assert found is not None
    return found


def test_it_is_said_on_every_page_until_it_is_dismissed(server: RunningServer) -> None:
    engines = engines_of(server)
    assert engines["available"]["rsync"] == OLD
    assert any(WARNING in notice for notice in engines["notices"])
    for path in PAGES:
        assert WARNING in server.http.get(path).text, path

    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        headers = {"Origin": server.url, "Referer": f"{server.url}/jobs?q=x"}
        answer = browser.post("/notices/dismiss", data={"key": f"rsync-{OLD}"}, headers=headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?q=x")
        assert all(word in answer.headers["set-cookie"] for word in ("HttpOnly", "SameSite=strict"))
        for path in PAGES:
            assert WARNING not in browser.get(path).text, path
    assert WARNING in server.http.get("/").text, "another browser"

    for key in ("", "x" * 61, "a\nb", "<b>", "ä"):
        answer = httpx.post(f"{server.url}/notices/dismiss", data={"key": key}, trust_env=False)
        assert answer.status_code in {303, 422}
        assert key not in answer.headers.get("set-cookie", "") or not key, key


def test_nothing_is_said_of_a_sound_version(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    install_rsync(tmp_path / "bin", SOUND)
    server = make_server(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert "weaknesses" not in server.http.get("/").text
    assert engines_of(server)["notices"] == []
