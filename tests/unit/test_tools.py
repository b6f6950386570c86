"""Proves that a tool is asked for its version once, and again when it is another file."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from core import helper_tools
from core import tools as local_tools
from core.engines.registry import ENGINES
from core.helper_tools import HelperTools
from core.tools import LocalTools

SCRIPT = "#!/bin/sh\necho asked >> {log}\necho 'rsync  version {version}  protocol version 32'\n"


def install(place: Path, version: str) -> Path:
    """Put an rsync of that version into a folder of its own; returns what it notes its calls in."""
    log, tool = place / "log", place / "rsync"
    fresh = place / "new"
    fresh.write_text(SCRIPT.format(log=log, version=version))
    fresh.chmod(0o755)
    fresh.replace(tool)
    return log


def test_a_version_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    log = install(tmp_path, "3.2.7")
    tools = LocalTools({"rsync": ENGINES["rsync"]})

    async def ask() -> list[str | None]:
        return [await tools.version_of("rsync") for _ in range(3)]

    assert asyncio.run(ask()) == ["3.2.7"] * 3
    assert log.read_text().count("asked") == 1
    install(tmp_path, "3.5.0")
    assert asyncio.run(ask()) == ["3.5.0"] * 3
    assert log.read_text().count("asked") == 2
    [tool] = asyncio.run(tools.all())
    assert (tool.version, log.read_text().count("asked")) == ("3.5.0", 2)


def test_a_tool_that_says_nothing_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = LocalTools({"rsync": ENGINES["rsync"]})
    assert asyncio.run(tools.version_of("rsync")) is None
    (tmp_path / "rsync").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "rsync").chmod(0o755)
    assert asyncio.run(tools.version_of("rsync")) is None
    install(tmp_path, "3.2.3")
    assert asyncio.run(tools.version_of("rsync")) == "3.2.3"


def test_a_tool_that_is_asked_for_its_version_inherits_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LONGSHORE_SECRET_NAS", "canary of the file")
    monkeypatch.setenv("LONGSHORE_PASSWORD", "canary of a run")
    # What the kernel gives to the process itself.
    script = (
        f"#!/bin/sh\ncat /proc/$$/environ > {tmp_path}/environ\necho 'rsync  version 3.5.0  '\n"
    )
    (tmp_path / "rsync").write_text(script)
    (tmp_path / "rsync").chmod(0o755)
    tools = LocalTools({"rsync": ENGINES["rsync"]})

    assert asyncio.run(tools.version_of("rsync")) == "3.5.0"

    given = (tmp_path / "environ").read_bytes()
    assert b"LC_ALL=C" in given
    assert b"canary" not in given


def test_a_tool_that_hangs_is_ended_in_time_and_asked_by_one_page_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(local_tools, "_VERSION_SECONDS", 0.5)
    # The shell's child holds the output open when the shell alone is killed.
    (tmp_path / "rsync").write_text(f"#!/bin/sh\necho asked >> {tmp_path}/log\nsleep 20\n:\n")
    (tmp_path / "rsync").chmod(0o755)
    tools = LocalTools({"rsync": ENGINES["rsync"]})

    async def three_pages() -> list[str | None]:
        answers = await asyncio.gather(*(tools.all() for _ in range(3)))
        return [tool.version for (tool,) in answers]

    began = time.monotonic()
    assert asyncio.run(three_pages()) == [None] * 3
    assert time.monotonic() - began < 10
    assert (tmp_path / "log").read_text().count("asked") == 1


def test_an_ssh_that_did_not_tell_its_version_is_asked_again_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    log, told = tmp_path / "log", tmp_path / "told"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho asked >> {log}\ncat {told} >&2\n")
    ssh.chmod(0o755)
    tools = HelperTools()
    assert [tools.ssh() for _ in range(3)] == [(True, None)] * 3
    assert log.read_text().count("asked") == 1

    told.write_text("OpenSSH_9.9p1, OpenSSL 3.4\n")
    monkeypatch.setattr(helper_tools, "_ASKED_AGAIN_SECONDS", -1.0)
    assert [tools.ssh() for _ in range(3)] == [(True, "9.9p1")] * 3
    assert log.read_text().count("asked") == 2
