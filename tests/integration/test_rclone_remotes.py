"""Proves that rclone jobs work with real remotes: S3, WebDAV and SFTP servers on loopback.

Each: first run, second run, changed files, deletion, stop and resume, verification; besides what
must fail in words: a remote that is not there, refused keys, an encrypted configuration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.run_spec import PASSWORD_VARIABLE
from tests.fakes.builders import a_spec
from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.rclone_server import (
    KINDS,
    RCLONE,
    RcloneServer,
    rclone,
    running_servers,
    write_configuration,
)
from tests.support import (
    PROJECT_ROOT,
    RunningServer,
    free_port,
    make_large_file,
    make_tree,
    wait_until,
)

SOME = KINDS if os.environ.get("LONGSHORE_CHAOS") == "full" else ("webdav",)
pytestmark = pytest.mark.integration
MEGABYTE = 1024 * 1024
ONCE = {"max_attempts": 1}
S3 = "s3"


class Remotes:
    """The servers, the remotes that lead to them, and a dashboard that knows these."""

    def __init__(self, servers: dict[str, RcloneServer], server: RunningServer) -> None:
        self.of = servers
        self.server = server


@pytest.fixture(scope="module")
def remotes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remotes]:
    """All kinds of servers, and one dashboard for the tests of this module."""
    root = tmp_path_factory.mktemp("remotes")
    with running_servers(root, *KINDS) as servers:
        sections = {kind: one.section() for kind, one in servers.items()}
        sections["refused"] = servers["webdav"].section(password="wrong")
        sections["silent"] = servers["webdav"].section(port=free_port())
        config = write_configuration(root / "rclone.conf", sections)
        server = RunningServer(root / "data", LONGSHORE_RCLONE_CONFIG=str(config))
        with ended_server(server):
            yield Remotes(servers, server)


def a_job(remotes: Remotes, source: Path | str, destination: Path | str, **fields: Any) -> str:
    """Create a job of rclone that gives up at once."""
    if str(destination).startswith(f"rclone://{S3}/"):
        # That server now and then loses one of several files that come at once to a new folder.
        fields["options"] = {"transfers": 1, **fields.get("options", {})}
    return remotes.server.create_job(
        source, destination, **{"engine": "rclone", "retry": ONCE, **fields}
    )


def failures_of(remotes: Remotes, run: dict[str, Any]) -> list[dict[str, str]]:
    """Return the failed files of a run."""
    answer = remotes.server.http.get(f"/api/v1/runs/{run['id']}/failures")
    items: list[dict[str, str]] = answer.json()["items"]
    return items


def differences(source: Path, copy: Path) -> str:
    """Return how two folders differ, by an independent tool."""
    argv = ["diff", "-r", "--no-dereference", "--exclude=.longshore-kept", str(source), str(copy)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_copies_then_nothing_then_what_changed_and_deletes(
    remotes: Remotes, room: Path, kind: str
) -> None:
    target = remotes.of[kind]
    source = make_tree(room / "from", files=10)
    options = {"delete_extraneous": True}
    job_id = a_job(remotes, source, target.url("whole"), options=options, verification="checksum")

    first, second = (run_to_end(remotes.server, job_id) for _ in range(2))

    assert (first["outcome"], first["message"]) == ("completed", None)
    assert first["files_done"] == second["files_skipped"] == 10
    assert first["bytes_sent"] == first["bytes_done"] == second["bytes_done"]
    assert (second["outcome"], second["bytes_sent"]) == ("completed", 0)
    assert differences(source, target.top / "whole") == ""

    changed, gone = sorted(source.rglob("*.dat"))[:2]
    changed.write_bytes(b"changed to another size")
    gone.unlink()
    third = run_to_end(remotes.server, job_id)

    assert third["outcome"] == "completed"
    assert (third["files_deleted"], third["files_skipped"]) == (1, 8)
    assert third["bytes_sent"] == len(b"changed to another size")
    assert differences(source, target.top / "whole") == ""


@pytest.mark.parametrize("kind", SOME)
def test_a_copy_comes_back_from_a_remote(remotes: Remotes, room: Path, kind: str) -> None:
    source, back = make_tree(room / "from", files=12), room / "back"
    (source / "link").symlink_to("folder 000")
    there = remotes.of[kind].url("and back")
    for job_id in (
        a_job(remotes, source, there),
        a_job(remotes, there, back, verification="fast"),
    ):
        run = run_to_end(remotes.server, job_id)
        assert (run["outcome"], run["message"]) == ("completed", None), failures_of(remotes, run)
    assert differences(source, back) == ""
    assert (back / "link").is_symlink()


@pytest.mark.parametrize("kind", SOME)
def test_a_copy_that_rotted_is_found_by_contents(remotes: Remotes, room: Path, kind: str) -> None:
    target = remotes.of[kind]
    source = make_tree(room / "from", files=5)
    place = f"rotten {kind}"
    copying = a_job(remotes, source, target.url(place), verification="off")
    assert run_to_end(remotes.server, copying)["outcome"] == "completed"
    victim = sorted((target.top / place).rglob("*.dat"))[2]
    facts, contents = victim.stat(), victim.read_bytes()
    victim.write_bytes(bytes([contents[0] ^ 1]) + contents[1:])
    if kind != S3:
        # That server keeps the hash of a file until its time changes.
        os.utime(victim, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    options = {"extra_args": ["--size-only"]}
    checking = a_job(remotes, source, target.url(place), verification="checksum", options=options)

    run = run_to_end(remotes.server, checking)

    assert (run["outcome"], run["files_failed"]) == ("failed", 1)
    name = str(victim.relative_to(target.top / place))
    assert [item["path"] for item in failures_of(remotes, run)] == [name]


def test_stopped_and_started_again_it_goes_on_by_file(remotes: Remotes, room: Path) -> None:
    target = remotes.of["webdav"]
    source = room / "from"
    for number in range(8):
        make_large_file(source / f"{number}.bin", megabytes=1, seed=number)
    options = {"bandwidth_limit": "3M", "transfers": 1}
    job_id = a_job(remotes, source, target.url("stopped"), options=options)
    run_id = remotes.server.start_job(job_id)
    copy = target.top / "stopped"
    wait_until(lambda: len(list(copy.glob("*.bin"))) >= 4, what="four files")

    assert remotes.server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    assert remotes.server.wait_for_end(run_id)["outcome"] == "paused"
    wait_for_status(remotes.server, job_id, "paused")
    resumed = run_to_end(remotes.server, job_id)

    assert resumed["outcome"] == "completed"
    assert resumed["bytes_done"] == 8 * MEGABYTE
    assert resumed["bytes_sent"] < 0.7 * 8 * MEGABYTE
    assert differences(source, copy) == ""


@pytest.mark.parametrize("kind", sorted(set(SOME) & {"webdav", "sftp"}))
def test_what_is_replaced_is_kept(remotes: Remotes, room: Path, kind: str) -> None:
    target = remotes.of[kind]
    source = make_tree(room / "from", files=3)
    options = {"delete_extraneous": True, "keep_replaced": True}
    job_id = a_job(remotes, source, target.url("kept"), options=options)
    run_to_end(remotes.server, job_id)
    changed, gone, _ = sorted(source.rglob("*.dat"))
    before = changed.read_bytes()
    changed.write_bytes(b"new contents of another size")
    gone.unlink()

    runs = [run_to_end(remotes.server, job_id) for _ in range(2)]

    assert [run["outcome"] for run in runs] == ["completed", "completed"]
    assert differences(source, target.top / "kept") == ""
    kept = {path.name: path.read_bytes() for path in (target.top / "kept").rglob("2*/*/*.dat")}
    assert kept.keys() == {changed.name, gone.name}
    assert kept[changed.name] == before


@pytest.mark.parametrize(
    ("remote", "words"),
    [
        ("nobody", "rclone's configuration has no remote “nobody”"),
        ("refused", "The remote refused the user, the password or the key"),
        ("silent", "The remote did not answer, or the connection broke."),
    ],
)
def test_a_remote_that_cannot_be_used_fails_the_run_in_words(
    remotes: Remotes, room: Path, remote: str, words: str
) -> None:
    source = make_tree(room / "from", files=2)
    options = {"extra_args": ["--low-level-retries=1"]}
    job_id = a_job(remotes, source, f"rclone://{remote}/x", options=options)
    run = run_to_end(remotes.server, job_id)
    assert run["outcome"] == "failed"
    assert words in run["message"]


def test_remotes_are_listed_without_their_secrets_and_tested(remotes: Remotes) -> None:
    http = remotes.server.http
    answer = http.get("/api/v1/remotes")
    listed = {item["name"]: item["type"] for item in answer.json()["items"]}
    assert listed == {
        "s3": "s3",
        "webdav": "webdav",
        "sftp": "sftp",
        "refused": "webdav",
        "silent": "webdav",
    }
    assert "SECRET" not in answer.text
    assert "ada" not in answer.text

    results = {name: http.post(f"/api/v1/remotes/{name}/test").json() for name in listed}
    assert [name for name, result in results.items() if result["ok"]] == ["s3", "sftp", "webdav"]
    assert results["sftp"]["free_bytes"] > 0
    assert results["s3"]["free_bytes"] is None
    assert "refused the user" in results["refused"]["message"]
    assert "did not answer" in results["silent"]["message"]
    for name in ("nobody", ":local", "s3,endpoint=x", "-v", "s3:"):
        assert http.post(f"/api/v1/remotes/{name}/test").status_code == 404


def test_the_form_gets_its_choices_and_the_test_as_fragments(remotes: Remotes) -> None:
    http = remotes.server.http
    choices = http.get("/remotes/options").text
    assert '<option value="s3">s3</option>' in choices
    assert choices.count("<option") == 5
    headers = {"origin": remotes.server.url, "hx-request": "true"}
    typed = {"destination_remote": "sftp", "source_remote": "nobody"}
    good = http.post("/remotes/test/destination", data=typed, headers=headers).text
    assert "The remote answers." in good
    assert "free of" in good
    bad = http.post("/remotes/test/source", data=typed, headers=headers)
    assert bad.status_code == 200
    assert "no remote" in bad.text


def test_the_command_line_lists_and_tests(remotes: Remotes) -> None:
    listed = remotes.server.cli("remotes", "list")
    assert "rclone://webdav/" in listed.stdout
    good, bad = (remotes.server.cli("remotes", "test", name) for name in ("sftp", "silent"))
    assert (good.returncode, bad.returncode) == (0, 1)
    assert "The remote answers." in good.stdout
    assert "did not answer" in bad.stdout


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, remotes: Remotes) -> Path:
    """A configuration of rclone that has a password."""
    sections = {"webdav": remotes.of["webdav"].section()}
    config = write_configuration(tmp_path_factory.mktemp("encrypted") / "rclone.conf", sections)
    rclone(
        *("config", "encryption", "set", "--config", str(config)),
        *("--password-command", "echo open-sesame"),
    )
    assert "webdav" not in config.read_text()
    return config


@pytest.mark.parametrize(
    ("password", "outcome", "words"),
    [
        ("open-sesame", "completed", None),
        ("close-barley", "failed", "The password does not open rclone's configuration"),
        ("", "failed", "configuration is encrypted"),
    ],
)
def test_the_password_of_a_configuration_opens_it(
    encrypted: Path,
    remotes: Remotes,
    room: Path,
    password: str,
    outcome: str,
    words: str | None,
) -> None:
    source, directory = make_tree(room / "from", files=3), room / "run"
    directory.mkdir()
    spec = a_spec(
        engine="rclone",
        tool_path=str(RCLONE),
        source=str(source),
        destination=remotes.of["webdav"].url(f"opened {len(password)}"),
        rclone_config=str(encrypted),
        verification="checksum",
    )
    (directory / "spec.json").write_text(json.dumps(spec.to_document()))
    subprocess.run(
        [sys.executable, "-S", "-E", "-s", "-m", "core.runner", str(directory)],
        cwd=PROJECT_ROOT,
        env={**os.environ, PASSWORD_VARIABLE: password},
        check=True,
    )
    result = directory / "result.json"
    wait_until(result.exists, what="the end of the run")
    ended = json.loads(result.read_text())
    assert ended["outcome"] == outcome
    assert (ended["message"] is None) if words is None else (words in ended["message"])
    if password:
        for path in directory.iterdir():
            assert password not in path.read_text(), path.name


def test_an_encrypted_configuration_without_its_password_fails_at_once(
    make_server: Callable[..., RunningServer], encrypted: Path, room: Path
) -> None:
    server = make_server(LONGSHORE_RCLONE_CONFIG=str(encrypted))
    source = make_tree(room / "from", files=2)
    job_id = server.create_job(source, "rclone://webdav/backups/e", engine="rclone")
    run = run_to_end(server, job_id)
    assert (run["outcome"], run["attempts"]) == ("failed", 1)
    assert "configuration is encrypted" in run["message"]
    answer = server.http.get("/api/v1/remotes")
    assert answer.status_code == 503
    assert "configuration is encrypted" in answer.json()["detail"]
    assert "configuration is encrypted" in server.http.get("/remotes/options").text
