"""Proves with a real sshd that the key of docs/hardening.md is enough for a job and no more."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import run_to_end
from tests.ssh_server import SshServer, running_sshd
from tests.support import PROJECT_ROOT, RunningServer, make_tree, rsync_differences

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
PAGE = PROJECT_ROOT / "docs" / "hardening.md"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An sshd whose one key is restricted as the page says."""
    text = PAGE.read_text(encoding="utf-8")
    (script,) = re.findall(r"^```sh\n(#!/bin/sh\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (options,) = re.findall(r"^(restrict,command=\S+) ssh-ed25519 ", text, re.MULTILINE)
    root = tmp_path_factory.mktemp("restricted")
    with running_sshd(root) as running:
        path = root / "only-rsync"
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
        keys = root / "authorized_keys"
        here = options.replace("/usr/local/bin/only-rsync", str(path))
        assert here != options
        keys.write_text(f"{here} {keys.read_text()}")
        yield running


@pytest.mark.parametrize("way", ["to", "from"])
def test_a_job_needs_no_more(
    shared_server: RunningServer, sshd: SshServer, room: Path, way: str
) -> None:
    sshd.is_known_in(shared_server.data_dir / "known_hosts")
    here, there = room / f"here {way}", sshd.folder / f"there {way}"
    source, destination = (here, there) if way == "to" else (there, here)
    make_tree(source, files=5)
    places = [str(here), sshd.url(there.name)]
    source_url, destination_url = places if way == "to" else reversed(places)
    options = {"ssh_identity": str(sshd.key), "keep_replaced": True, "delete_extraneous": True}
    job_id = shared_server.create_job(
        source_url, destination_url, verification="checksum", options=options
    )
    run = run_to_end(shared_server, job_id)
    assert (run["outcome"], run["message"]) == ("completed", None)
    assert rsync_differences(source, destination) == ""


@pytest.mark.parametrize(
    "words",
    [
        "id",
        "",
        "rsync --server -s; id",
        "rsync --server -s\nid",
        "rsync --server $(id)",
        "rsync --daemon",
        "rsync -e id a b:",
        "sh -c id",
        "rsync --server --daemon --config=uploaded.conf .",
        "rsync --server -slogDtpr --daemon",
        "rsync --server -s/bin/id",
    ],
)
def test_whoever_has_the_key_gets_nothing_else(sshd: SshServer, tmp_path: Path, words: str) -> None:
    known = tmp_path / "known_hosts"
    sshd.is_known_in(known)
    command = ["ssh", "-F", "none", "-p", str(sshd.port), "-i", str(sshd.key), "-oBatchMode=yes"]
    command += [f"-oUserKnownHostsFile={known}", f"{sshd.user}@127.0.0.1"]
    result = subprocess.run(
        [*command, words] if words else command,
        input="id\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "for Longshore’s rsync alone" in result.stderr
