"""Proves that asking rclone for remotes ends in time and within bounds, whatever it does."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import psutil
import pytest

from core import rclone_remotes
from core.rclone_remotes import RcloneRemotes, Remote
from models.errors import RemoteNotFound, RemotesUnknown

LISTED = '[{"name":"nas","type":"sftp"},{"name":"a,b","type":"x"},{"name":7},"x"]'


class OneTool:
    """Finds this executable, or none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def path_of(self, engine: str) -> str | None:
        """Return the executable."""
        return str(self._path) if self._path else None

    async def version_of(self, engine: str) -> str | None:
        """Return nothing: nobody asks here."""
        return None


def a_tool(tmp_path: Path, script: str) -> Path:
    """Write a program that stands in for rclone where a fault must be forced."""
    path = tmp_path / "rclone"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def remotes(tmp_path: Path, script: str) -> RcloneRemotes:
    """Return what asks that program."""
    return RcloneRemotes(OneTool(a_tool(tmp_path, script)), config="/etc/rclone.conf")


async def test_only_names_that_can_be_locations_are_remotes(tmp_path: Path) -> None:
    found = await remotes(tmp_path, f"echo '{LISTED}'").all()
    assert found == (Remote("nas", "sftp"),)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo nonsense", "cannot be read"),
        ("echo '{}'", "cannot be read"),
        ("exit 3", "failed with code 3"),
        ("echo '\"\\ud800' >&2; exit 1", "failed with code 1"),
        (
            """echo '{"level":"critical","msg":"Failed to load config file \\\\"x\\\\": no"}' >&2
            exit 1""",
            "cannot be read: no",
        ),
    ],
)
async def test_what_is_wrong_is_a_sentence(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(RemotesUnknown, match=words):
        await remotes(tmp_path, script).all()


async def test_without_rclone_it_says_what_to_do() -> None:
    with pytest.raises(RemotesUnknown, match="not installed"):
        await RcloneRemotes(OneTool(None), config=None).all()


async def test_one_that_is_not_there_is_never_asked(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    asked = remotes(tmp_path, f"echo \"$@\" >> {trace}; echo '{LISTED}'")
    for name in ("nobody", ":local", "nas:", "-v", "nas,x=y", "a,b", ""):
        with pytest.raises(RemoteNotFound):
            await asked.test(name)
    assert {line.split()[0] for line in trace.read_text().splitlines()} == {"listremotes"}


async def test_one_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rclone_remotes, "_TEST_SECONDS", 0.3)
    pid = tmp_path / "pid"
    script = f"[ \"$1\" = listremotes ] && {{ echo '{LISTED}'; exit; }}; echo $$ > {pid}"
    began = time.monotonic()
    result = await remotes(tmp_path, f"{script}; exec sleep 60").test("nas")
    assert (result.ok, time.monotonic() - began < 10) == (False, True)
    assert "did not answer" in result.message
    assert not psutil.pid_exists(int(pid.read_text()))


async def test_a_flood_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rclone_remotes, "_MAX_OUTPUT", 1000)
    script = f"[ \"$1\" = listremotes ] && {{ echo '{LISTED}'; exit; }}"
    asked = remotes(tmp_path, f"{script}; head -c 5000000 /dev/zero; exit 0")
    kept = []
    original = rclone_remotes._read

    async def read(stream: asyncio.StreamReader) -> bytes:
        kept.append(await original(stream))
        return kept[-1]

    monkeypatch.setattr(rclone_remotes, "_read", read)
    assert (await asked.test("nas")).ok
    assert max(map(len, kept)) == 1000


async def test_at_most_two_are_asked_at_once(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = f"echo + >> {trace}; sleep 0.1; echo - >> {trace}; echo '{LISTED}'"
    asked = remotes(tmp_path, script)
    await asyncio.gather(*(asked.all() for _ in range(6)))
    running = most = 0
    for sign in trace.read_text().split():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    assert most == 2


async def test_a_password_goes_by_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "RCLONE_CONFIG_PASS", "of another")
    trace = tmp_path / "trace"
    script = f"echo \"$@ pass=$RCLONE_CONFIG_PASS\" >> {trace}; echo '{LISTED}'"
    asked = remotes(tmp_path, script)
    await asked.all(password="open sesame")
    await asked.all()
    first, second = trace.read_text().splitlines()
    assert first.endswith("pass=open sesame")
    assert second.endswith("pass=")
    assert "--config=/etc/rclone.conf --ask-password=false --password-command=" in first
    assert first.count("sesame") == 1
