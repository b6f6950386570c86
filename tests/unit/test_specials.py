"""Proves that special files are counted without end and named within bounds, each once in a run."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from core.engines.base import SkippedSpecial
from core.runner.followed_links import kept_folder_fault
from core.runner.known_hosts import make_known_hosts
from core.runner.specials import MAX_SPECIALS_NAMED, Specials
from tests.fakes.builders import a_spec


def test_a_local_source_is_asked_what_they_are(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    (tmp_path / "plain now").touch()
    specials = Specials(a_spec(source=str(tmp_path)))
    found = {
        name: specials.take(SkippedSpecial(name, name=name))
        for name in ("fifo", "socket", "plain now", "gone")
    }
    kinds = {name: event.kind for name, event in found.items() if event is not None}
    assert kinds == {
        "fifo": "fifo",
        "socket": "socket",
        "plain now": "special",
        "gone": "special",
    }
    told = specials.take(SkippedSpecial("told", "device", "fifo"))
    assert told is not None
    assert told.kind == "device", "what the tool says counts"
    elsewhere = Specials(a_spec(source="rsync://nas/m")).take(SkippedSpecial("x", name="etc"))
    assert elsewhere is not None
    assert elsewhere.kind == "special"


def test_all_are_counted_and_the_first_thousand_named() -> None:
    specials = Specials(a_spec(source="/nowhere"))
    assert specials.notice() is None
    events = [specials.take(SkippedSpecial(str(number))) for number in range(1500)]
    assert sum(event is not None for event in events) == MAX_SPECIALS_NAMED == 1000
    assert specials.notice() == "1,500 special files (FIFOs, sockets, devices) were not copied."
    specials.begin_attempt()
    assert specials.take(SkippedSpecial("7")) is None, "a further attempt meets it again"
    assert (specials.count, specials.notice()) == (
        1,
        "1 special file (FIFO, socket or device) was not copied.",
    )


@pytest.mark.parametrize(
    ("place", "is_fault"),
    [(None, False), ("folder", False), ("link", True), ("file", True), ("link below", True)],
)
def test_where_replaced_files_are_kept_is_no_way_out(
    tmp_path: Path, place: str | None, is_fault: bool
) -> None:
    folder = tmp_path / ".longshore-kept"
    if place == "folder":
        folder.mkdir()
    elif place == "link":
        folder.symlink_to("/")
    elif place == "file":
        folder.touch()
    elif place == "link below":
        folder.mkdir()
        (folder / "now").symlink_to("/")
    spec = a_spec(destination=str(tmp_path), keep_replaced_in=".longshore-kept/now")
    assert (kept_folder_fault(spec) is not None) == is_fault
    assert kept_folder_fault(spec._replace(keep_replaced_in=None)) is None
    assert kept_folder_fault(spec._replace(destination="ssh://nas/x")) is None


def test_the_keys_of_hosts_are_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    make_known_hosts(a_spec(known_hosts_path=str(path)))
    assert not path.exists(), "a run without ssh needs none"
    over_ssh = a_spec(source="ssh://nas/x", known_hosts_path=str(path))
    make_known_hosts(over_ssh)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("nas ssh-ed25519 AAAA\n")
    make_known_hosts(over_ssh)
    assert path.read_text() == "nas ssh-ed25519 AAAA\n"
    make_known_hosts(over_ssh._replace(known_hosts_path=str(tmp_path / "no/such")))


def test_the_runner_knows_its_files_by_its_own_directory() -> None:
    spec = a_spec().in_directory("/data/runs/run-1")
    assert (spec.known_hosts_path, spec.only_files_path) == ("/data/known_hosts", None)
