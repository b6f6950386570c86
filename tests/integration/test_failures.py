"""Proves that every failed file of a run is named with its reason, on its page and in the API, that
special files are told of apart, and that what a person should know is shown and escaped."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.pages import Page
from tests.integration.running import ended_server, run_to_end
from tests.integration.test_copy_faults import WeakServer
from tests.integration.test_retry_failed import lock_away
from tests.support import RunningServer, make_tree

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
COUNT = 130
HOSTILE = (b"<img src=x onerror=alert(1)>", b"\x1b[31m\xff", b"a&amp;b")


@pytest.fixture(scope="module")
def weak_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whom permission bits stop, for the tests of this module."""
    with ended_server(WeakServer(tmp_path_factory.mktemp("weak") / "data")) as server:
        yield server


@pytest.fixture(scope="module", params=["rsync", "rclone"])
def run(
    request: pytest.FixtureRequest,
    weak_server: RunningServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """A run of each engine of which many files failed, and that passed over special files."""
    top = tmp_path_factory.mktemp(str(request.param))
    source = make_tree(top / "from", files=5)
    for number in range(COUNT - len(HOSTILE)):
        path = source / f"locked {number:03d}"
        path.write_bytes(b"x")
        lock_away(path)
    for name in HOSTILE:
        path = source / os.fsdecode(name)
        path.write_bytes(b"x")
        lock_away(path)
    os.mkfifo(source / "pipe <b>")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(source)
        try:
            listener.bind("a socket")
        finally:
            os.chdir(Path(__file__).parents[2])
    job_id = weak_server.create_job(source, top / "to", engine=request.param)
    return run_to_end(weak_server, job_id)


def everything(server: RunningServer, address: str, **query: Any) -> list[dict[str, Any]]:
    """Return the items of all pages of a list."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = server.http.get(address, params={**query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return items


def test_every_failed_file_is_named_once_with_its_reason(
    weak_server: RunningServer, run: dict[str, Any]
) -> None:
    address = f"/api/v1/runs/{run['id']}/failures"

    items = everything(weak_server, address, limit=50)

    assert (run["outcome"], run["files_failed"]) == ("warning", COUNT)
    assert len({item["path"] for item in items}) == len(items) == COUNT
    assert all("ermission denied" in item["reason"] for item in items)
    assert {frozenset(item) for item in items} == {frozenset({"path", "reason"})}
    first = weak_server.http.get(address, params={"limit": 50}).json()
    assert (first["total"], first["named"], len(first["items"])) == (COUNT, COUNT, 50)
    assert everything(weak_server, address, limit=500) == items


def test_failed_files_are_found_by_words(weak_server: RunningServer, run: dict[str, Any]) -> None:
    address = f"/api/v1/runs/{run['id']}/failures"
    found = weak_server.http.get(address, params={"q": "LOCKED 01"}).json()
    assert found["total"] == len(found["items"]) == 10
    assert weak_server.http.get(address, params={"q": "none such"}).json()["items"] == []
    for query in (
        {"limit": 0},
        {"limit": 501},
        {"cursor": "x"},
        {"cursor": "-1"},
        {"q": "x" * 201},
    ):
        answer = weak_server.http.get(address, params=query)
        assert answer.status_code == 422, query


def test_the_page_shows_them_all_page_by_page_without_javascript(
    weak_server: RunningServer, run: dict[str, Any]
) -> None:
    address: str | None = f"/runs/{run['id']}"
    pages = 0
    seen = ""
    while address is not None:
        answer = weak_server.http.get(address)
        assert answer.status_code == 200
        page = Page(answer.text)
        assert page.forbidden == []
        assert "<img src=x" not in answer.text
        assert "\x1b" not in answer.text
        assert f"{COUNT} files failed" in page.text
        seen += page.text
        pages += 1
        more = [link for link in page.links if "failed_from=" in link and f"={pages}00" in link]
        address = more[0].partition("#")[0] if more else None
    assert pages == 2
    for number in range(COUNT - len(HOSTILE)):
        assert f"locked {number:03d}" in seen
    assert "<img src=x onerror=alert(1)>" in seen
    assert "a&amp;b" in seen
    found = Page(weak_server.http.get(f"/runs/{run['id']}?failed_q=locked+005").text)
    assert "1 of 130 match" in found.text
    assert "locked 006" not in found.text.partition("Open alone")[0]
    none = Page(weak_server.http.get(f"/runs/{run['id']}?failed_q=none+such").text)
    assert "No file matches." in none.text
    assert found.form_to(f"/runs/{run['id']}#failures").values == {"failed_q": "locked 005"}


def test_special_files_are_told_of_apart(weak_server: RunningServer, run: dict[str, Any]) -> None:
    address = f"/api/v1/runs/{run['id']}/skipped"
    answer = weak_server.http.get(address).json()
    names = {Path(item["path"]).name for item in answer["items"]}
    assert (run["files_special"], answer["total"], answer["named"]) == (2, 2, 2), answer
    assert names == {"pipe <b>", "a socket"}
    kinds = {Path(item["path"]).name: item["kind"] for item in answer["items"]}
    assert kinds["pipe <b>"] in {"fifo", "special"}
    assert kinds["a socket"] in {"socket", "special"}
    assert weak_server.http.get(address, params={"q": "PIPE"}).json()["total"] == 1
    page = weak_server.http.get(f"/runs/{run['id']}").text
    assert "2 special files were not copied" in Page(page).text
    assert "pipe <b>" in Page(page).text
    assert "pipe <b>" not in page


def test_what_a_person_should_know_is_on_the_card_and_on_the_page(
    weak_server: RunningServer, run: dict[str, Any]
) -> None:
    (notice,) = run["notices"]
    assert notice.startswith("2 special files")
    for address in (f"/runs/{run['id']}", f"/jobs/{run['job_id']}/card", "/"):
        assert notice in Page(weak_server.http.get(address).text).text, address


def test_a_run_without_any_has_no_such_list(shared_server: RunningServer, room: Path) -> None:
    job_id = shared_server.create_job(make_tree(room / "from", files=2), room / "to")
    run_id = run_to_end(shared_server, job_id)["id"]
    for what in ("failures", "skipped"):
        answer = shared_server.http.get(f"/api/v1/runs/{run_id}/{what}").json()
        assert answer == {"items": [], "total": 0, "named": 0, "next_cursor": None}
        assert shared_server.http.get(f"/api/v1/runs/none/{what}").status_code == 404
    text = Page(shared_server.http.get(f"/runs/{run_id}").text).text
    assert "files failed" not in text
    assert "special" not in text
    assert "Retry only" not in text
