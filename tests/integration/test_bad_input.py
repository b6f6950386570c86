"""Proves that bad input is answered with every fault at its field, changes nothing, and never 500.

The inputs are those that the issue names, and what a broken or hostile client may send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_api_jobs import problem_of
from tests.support import RunningServer, make_tree

pytestmark = pytest.mark.integration
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    """A definition that is accepted as it is."""
    source = make_tree(tmp_path / "from", files=1)
    (source / "sub").mkdir()
    return {
        "name": "Good",
        "engine": "rsync",
        "source": str(source),
        "destination": str(tmp_path / "to"),
    }


@pytest.fixture(autouse=True)
def nothing_written(shared_server: RunningServer) -> Iterator[None]:
    """No test of this module may change anything in the directories of jobs and runs."""
    before = kept(shared_server)
    yield
    assert kept(shared_server) == before


def kept(server: RunningServer) -> list[str]:
    """List what the server keeps of jobs and runs."""
    folders = ("jobs", "state", "runs")
    return sorted(str(path) for folder in folders for path in server.data_dir.glob(f"{folder}/*"))


def faults_of(server: RunningServer, body: Any) -> dict[str, str]:
    """Post a definition that is to be refused; returns the messages by field."""
    problem = problem_of(server.http.post("/api/v1/jobs", json=body), 422)
    fields = [fault["field"] for fault in problem["errors"]]
    assert len(fields) == len(set(fields)), f"a field was named twice: {problem['errors']}"
    return {fault["field"]: fault["message"] for fault in problem["errors"]}


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("name", "", "name"),
        ("name", "   ", "name"),
        ("name", "a\nb", "\\n"),
        ("name", "a\x1b[31m", "\\x1b"),
        ("name", "a\u0000b", "\\x00"),
        ("name", "\ud800", "\\ud800"),
        ("name", "n" * 121, "120"),
        ("name", None, "text"),
        ("name", 7, "text"),
        ("engine", "restic", "restic"),
        ("engine", "", "engine"),
        ("engine", "\ud800", "engine"),
        ("source", "/no/such/folder", "no such"),
        ("source", "relative/path", "relative"),
        ("source", ".", "relative"),
        ("source", "-rf", "begin with"),
        ("source", "--rsh=sh", "begin with"),
        ("source", "host:path", "ssh://"),
        ("source", "ada@host:/srv", "ssh://ada@host/srv"),
        ("source", "ssh://-oProxyCommand=x/path", "the host is a name"),
        ("source", "~/photos", "expanded"),
        ("source", "/dev/null", "regular file"),
        ("source", "/a\nb", "\\n"),
        ("source", "/" + "n" * 300, "too long"),
        ("source", ["/a"], "text"),
        ("destination", "relative", "relative"),
        ("destination", "C:\\backup", "ssh://"),
        ("destination", "rclone://remote/path", "choose the engine rclone"),
        ("destination", "/dev/null", "not a folder"),
        ("destination", "/dev/null/below", "not a folder"),
        ("verification", "maybe", "off"),
        ("options.bandwidth_limit", "fast", "10M"),
        ("options.bandwidth_limit", "-1", "10M"),
        ("options.bandwidth_limit", "1", "1K"),
        ("options.bandwidth_limit", "9" * 40, "10M"),
        ("options.max_delete", -1, "0"),
        ("options.max_delete", "many", "number"),
        ("options.max_delete", 10**12, "less"),
        ("options.max_delete", 10**400, "less"),
        ("options.exclude", ["a", ""], "empty"),
        ("options.exclude", ["a\nb"], "\\n"),
        ("options.exclude", ["+ *"], "filter rule"),
        ("options.exclude", "*.tmp", "tuple"),
        ("options.exclude", ["x"] * 1001, "1000"),
        ("options.include", ["!"], "filter rule"),
        ("options.extra_args", ["--rsh=touch canary"], "--rsh"),
        ("options.extra_args", ["\ud800"], "is not among"),
        ("options.unknown", True, "no such field"),
        ("options", 3, "dictionary"),
        ("retry.max_attempts", 0, "1"),
        ("retry.first_delay_seconds", float("nan"), "3600"),
        ("retry.first_delay_seconds", float("inf"), "3600"),
        ("tags", [" "], "50 characters"),
        ("tags", ["t" * 51], "50 characters"),
        ("source_deletion.enabled", True, "choose the verification"),
        ("colour", "blue", "no such field"),
        ("job", "blue", "no such field"),
    ],
)
def test_one_fault_is_told_at_its_field(
    shared_server: RunningServer, good: dict[str, Any], field: str, value: Any, word: str
) -> None:
    outer, _, inner = field.partition(".")
    body = good | {outer: {inner: value} if inner else value}

    problem = problem_of(
        shared_server.http.post("/api/v1/jobs", content=json.dumps(body), headers=JSON), 422
    )

    assert len(problem["errors"]) == 1, problem["errors"]
    assert problem["errors"][0]["field"].startswith(field)
    assert word.lower() in problem["errors"][0]["message"].lower()


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("{source}", "{source}"),
        ("{source}", "{source}/"),
        ("{source}", "{source}/inside/it"),
        ("{source}", "{source}/../from/sub"),
        ("{source}", "{link}"),
        ("{source}", "{link}/deeper"),
        ("{source}/sub", "{source}"),
        ("{link}", "{source}"),
    ],
)
def test_source_and_destination_must_be_apart(
    shared_server: RunningServer,
    good: dict[str, Any],
    tmp_path: Path,
    source: str,
    destination: str,
) -> None:
    (tmp_path / "link").symlink_to(good["source"])
    places = {"source": good["source"], "link": tmp_path / "link"}

    faults = faults_of(
        shared_server,
        good | {"source": source.format(**places), "destination": destination.format(**places)},
    )

    assert faults.keys() == {"destination"}


def test_all_faults_are_told_at_once(shared_server: RunningServer, tmp_path: Path) -> None:
    faults = faults_of(
        shared_server,
        {
            "name": "",
            "engine": "tar",
            "source": str(tmp_path / "missing"),
            "destination": "relative",
            "verification": "perhaps",
            "options": {"bandwidth_limit": "x", "max_delete": -1},
        },
    )

    assert faults.keys() == {
        "name",
        "engine",
        "source",
        "destination",
        "verification",
        "options.bandwidth_limit",
        "options.max_delete",
    }
    assert faults_of(shared_server, {}).keys() == {"name", "engine", "source", "destination"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"\xff\xfe\x00",
        b'{"name": "\xff"}',
        b'{"name": "a", "name": ',
        b"[" * 100_000,
        b'{"options":' * 20_000,
        b'{"name": ' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"retry": {"max_attempts": 1e999}}',
        b'{"options": {"max_delete": NaN}}',
        b'{"name": "' + b"n" * 1_000_000 + b'"}',
        b'{"' + b"k" * 100_000 + b'": 1}',
    ],
    ids=lambda content: content[:14].decode("latin-1"),
)
@pytest.mark.parametrize("headers", [JSON, {"Content-Type": "text/plain"}, {}], ids=repr)
def test_a_body_that_is_no_definition_is_never_the_servers_fault(
    shared_server: RunningServer, content: bytes, headers: dict[str, str]
) -> None:
    answer = shared_server.http.post("/api/v1/jobs", content=content, headers=headers)

    assert answer.status_code in {400, 422}
    problem_of(answer, answer.status_code)
    assert len(answer.content) < 300_000


@pytest.mark.parametrize("value", ["%00", "%ff", "a" * 5000, "..%2f..%2fetc", "%2e%2e", "%0a", "'"])
@pytest.mark.parametrize("address", ["/jobs/{}", "/jobs/{}/runs", "/runs/{}", "/runs/{}/log"])
def test_ids_that_cannot_be_are_not_found(
    shared_server: RunningServer, address: str, value: str
) -> None:
    answer = shared_server.http.get("/api/v1" + address.format(value))

    assert answer.status_code in {404, 405}, answer.text
    assert "Traceback" not in answer.text
    page = shared_server.http.get(address.removesuffix("/log").removesuffix("/runs").format(value))
    assert page.status_code in {404, 405}
