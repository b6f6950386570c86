"""Proves what a credential opens, for real tools, and that its password is nowhere to be seen."""

from __future__ import annotations

import html
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from storage.secrets import SecretsFile
from tests import forked
from tests.integration.running import ended_server, event_of, run_to_end
from tests.rclone_server import rclone, write_configuration
from tests.rsync_daemon import PASSWORD, USER, RsyncDaemon, running_daemon
from tests.support import (
    PROJECT_ROOT,
    RunningServer,
    environment_of,
    make_large_file,
    make_tree,
    rsync_differences,
    wait_until,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("real_starts", "rsync")]
OPTIONS = {"credential": "nas"}
FROM_ENVIRONMENT = "open-sesame 7"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose rclone configuration is encrypted, with its password in the environment."""
    root = tmp_path_factory.mktemp("served")
    config = write_configuration(root / "rclone.conf", {"here": {"type": "local"}})
    rclone(
        *("config", "encryption", "set", "--config", str(config)),
        *("--password-command", f"echo {FROM_ENVIRONMENT}"),
    )
    environment = {
        "LONGSHORE_RCLONE_CONFIG": str(config),
        "LONGSHORE_SECRET_RCLONE_CONFIG": FROM_ENVIRONMENT,
    }
    with ended_server(RunningServer(root / "data", **environment)) as server:
        yield server


@pytest.fixture
def server(served: RunningServer) -> RunningServer:
    """The same server without a file of secrets."""
    (served.data_dir / "secrets.yaml").unlink(missing_ok=True)
    return served


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RsyncDaemon]:
    """A daemon with a module behind a password."""
    with running_daemon(tmp_path_factory.mktemp("daemon") / "daemon") as running:
        yield running


@pytest.fixture
def daemon(started: RsyncDaemon) -> RsyncDaemon:
    """The same daemon with an empty module."""
    shutil.rmtree(started.module)
    started.module.mkdir()
    return started


def secrets(server: RunningServer, *arguments: str, typed: str = "", code: int = 0) -> str:
    """Run `longshore secrets`; returns what it said."""
    command = ("secrets", *arguments)
    result = forked.run(command, server.environment, timeout=60, typed=typed)
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


def files_with(directory: Path, text: str) -> set[str]:
    """Return the files beneath a directory that hold a text."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    }


def told_of(server: RunningServer, job_id: str, run_id: str) -> str:
    """Return what pages and the API say of a run and its job."""
    told = ""
    for path in (
        *("/", "/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/card", "/runs", f"/runs/{run_id}"),
        *("/api/v1/jobs?limit=500", f"/api/v1/jobs/{job_id}", f"/api/v1/jobs/{job_id}/runs"),
        *("/api/v1/runs", f"/api/v1/runs/{run_id}", f"/api/v1/runs/{run_id}/log"),
        *(f"/api/v1/runs/{run_id}/failures", "/api/v1/errors", "/health"),
    ):
        answer = server.http.get(path)
        assert answer.status_code == 200, path
        told += answer.text
    return told


def output_of(server: RunningServer) -> str:
    """Return what the service has written since the last time."""
    assert server.process is not None
    assert server.process.stdout is not None
    os.set_blocking(server.process.stdout.fileno(), False)
    return (server.process.stdout.read() or b"").decode()


def command_lines() -> list[str]:
    """Return the arguments of every process of the machine."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_a_job_with_a_credential_copies_and_its_password_is_nowhere(
    server: RunningServer, daemon: RsyncDaemon, room: Path
) -> None:
    secrets(server, "set", "nas", "--user", USER, typed=f"{PASSWORD}\n")
    source = make_tree(room / "from", files=10)
    make_large_file(source / "large.bin", megabytes=2)
    options = {**OPTIONS, "bandwidth_limit": "4M"}
    url = daemon.url("x", module="secured")
    job_id = server.create_job(source, url, options=options, verification="checksum")

    run_id = server.start_job(job_id)
    engine = event_of(server, run_id, "engine_started")["engine"]["pid"]
    environment = environment_of(psutil.Process(engine))
    assert environment["RSYNC_PASSWORD"] == PASSWORD
    # It is the only one that the service's own environment and file hold for others.
    assert not any(name.startswith(("LONGSHORE_SECRET", "LONGSHORE_PASS")) for name in environment)
    lines = []
    while server.run(run_id)["outcome"] is None:
        lines += command_lines()
        time.sleep(0.05)

    run = server.run(run_id)
    assert (run["outcome"], run["message"]) == ("completed", None)
    assert rsync_differences(source, daemon.module / "x") == ""
    assert any(f"rsync://{USER}@" in line for line in lines), "the transfer was looked at"
    assert not any(PASSWORD in line for line in lines)
    assert files_with(server.data_dir, PASSWORD) == {"secrets.yaml"}
    assert f"runs/{run_id}/spec.json" in files_with(server.data_dir, f'"{USER}"')
    told = told_of(server, job_id, run_id)
    assert run_id in told
    assert PASSWORD not in told
    log = output_of(server)
    assert PASSWORD not in log + "".join(secrets(server, "list"))


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (None, "there is none of this name, neither in secrets.yaml nor in the environment as"),
        ((USER, "a wrong password", 0o600), "auth failed on module secured"),
        (("eve", PASSWORD, 0o600), "auth failed on module secured"),
        ((USER, PASSWORD, 0o640), "secrets.yaml: can be used by others: chmod 600."),
    ],
)
def test_a_wrong_or_missing_credential_fails_with_its_sentence(
    server: RunningServer,
    daemon: RsyncDaemon,
    room: Path,
    kept: tuple[str, str, int] | None,
    words: str,
) -> None:
    if kept is not None:
        user, password, mode = kept
        SecretsFile(server.data_dir).put("nas", user=user, password=password)
        (server.data_dir / "secrets.yaml").chmod(mode)
    source = make_tree(room / "from", files=2)
    job_id = server.create_job(source, daemon.url("x", module="secured"), options=OPTIONS)

    run = run_to_end(server, job_id)

    assert run["outcome"] == "failed"
    assert words in run["message"]
    assert not (daemon.module / "x").exists()
    began = (server.data_dir / "runs" / run["id"] / "journal.jsonl").exists()
    assert began == ("auth failed" in words)
    told = told_of(server, job_id, run["id"]) + output_of(server)
    assert PASSWORD not in told
    assert "a wrong password" not in told


def test_a_password_from_the_environment_opens_rclones_configuration(
    server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    options = {"credential": "rclone-config"}
    place = f"rclone://here/{room}/to"
    job_id = server.create_job(source, place, engine="rclone", options=options)

    run = run_to_end(server, job_id)

    assert (run["outcome"], run["message"]) == ("completed", None)
    # By contents: a folder's own time is not kept on the way to a remote.
    argv = ["diff", "-r", "--no-dereference", str(source), str(room / "to")]
    assert subprocess.run(argv, capture_output=True, text=True).stdout == ""
    assert (room / "to").is_dir()
    assert files_with(server.data_dir, FROM_ENVIRONMENT) == set()
    assert FROM_ENVIRONMENT not in told_of(server, job_id, run["id"]) + output_of(server)


def test_remotes_of_an_encrypted_configuration_are_listed_and_tested_with_a_credential(
    server: RunningServer,
) -> None:
    refused = server.http.get("/api/v1/remotes")
    assert (refused.status_code, "password" in refused.json()["detail"]) == (503, True)
    wanted = {"credential": "rclone-config"}
    (remote,) = server.http.get("/api/v1/remotes", params=wanted).json()["items"]
    assert remote == {"name": "here", "type": "local"}
    assert server.http.post("/api/v1/remotes/here/test", params=wanted).json()["ok"] is True
    typed = {"destination_remote": "here", **wanted}
    assert "The remote answers." in server.http.post("/remotes/test/destination", data=typed).text
    assert 'value="here"' in server.http.get("/remotes/options", params=wanted).text

    for path in ("/api/v1/remotes", "/remotes/options"):
        answer = server.http.get(path, params={"credential": "nobody"})
        assert "there is none of this name" in html.unescape(answer.text)
    assert server.http.get("/api/v1/remotes", params={"credential": "nobody"}).status_code == 409


def test_the_command_line_sets_lists_and_removes(server: RunningServer) -> None:
    secrets(server, "set", "nas", "--user", USER, typed=f"{PASSWORD}\n")
    secrets(server, "set", "config", typed="!of rclone")
    listed = secrets(server, "list")
    assert [line.split() for line in listed.splitlines()] == [
        ["name", "user"],
        ["config"],
        ["nas", USER],
    ]
    assert '"user": "ada"' in secrets(server, "list", "--json")
    secrets(server, "remove", "nas")
    assert "nas" not in secrets(server, "list")
    assert "no credential 'nas'" in secrets(server, "remove", "nas", code=1)
    assert files_with(server.data_dir, PASSWORD) == set()


def test_a_password_is_no_argument_and_is_asked_for_without_an_echo(server: RunningServer) -> None:
    assert "unexpected extra argument" in secrets(server, "set", "nas", "pass", code=2)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastapi_app.cli", "secrets", "set", "nas"],
        cwd=PROJECT_ROOT,
        env=server.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = bytearray()

    def asked(words: bytes) -> bool:
        if select.select([ours], [], [], 0)[0]:
            shown.extend(os.read(ours, 4096))
        return words in shown

    for words in (b"Password: ", b"confirmation: "):
        wait_until(partial(asked, words), what="the question")
        os.write(ours, b"typed-in-the-dark\n")
    assert process.wait(timeout=30) == 0
    os.set_blocking(ours, False)
    try:
        shown.extend(os.read(ours, 4096))
    except OSError:
        pass  # Nothing more was written.
    os.close(ours)
    assert b"dark" not in shown
    assert files_with(server.data_dir, "typed-in-the-dark") == {"secrets.yaml"}
