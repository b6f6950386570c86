"""Proves that sources are deleted on proof alone, with both engines and real files.

What is gone from the source is compared with the copy by hashes that were taken before the run.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import run_to_end
from tests.integration.trees import listing, make_hostile_tree
from tests.support import RunningServer, make_large_file, make_tree

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
ENGINES = pytest.mark.parametrize("engine", ["rsync", "rclone"])
MODES = pytest.mark.parametrize("mode", ["verify_then_delete", "per_file"])


def a_deleting_job(server: RunningServer, source: Path, destination: Path, **fields: Any) -> str:
    """Create a job that deletes its sources; further fields are those of the deletion."""
    known = ("engine", "options", "name")
    job = {name: fields.pop(name) for name in known if name in fields}
    return server.create_job(
        source,
        destination,
        verification="checksum",
        source_deletion={"enabled": True, **fields},
        **job,
    )


def deletions_of(server: RunningServer, run_id: str) -> list[dict[str, Any]]:
    """Return the record beside the run's journal, as it stands on disk."""
    content = (server.data_dir / "runs" / run_id / "deletions.jsonl").read_bytes()
    return [json.loads(line) for line in content.splitlines()][1:]


def files_in(root: Path) -> list[str]:
    """Return what is left beneath a folder but folders."""
    return [line for line in listing(root) if not line.startswith("folder ")]


def without_folders_and_special(root: Path) -> list[str]:
    """Return what a run may delete of a folder, without its mode: rclone leaves setuid away."""
    found = [line for line in files_in(root) if not line.startswith("special ")]
    return sorted(re.sub(r"^file \d+ ", "file ", line) for line in found)


@MODES
@ENGINES
def test_a_hostile_tree_is_whole_at_the_destination_and_gone_from_the_source(
    shared_server: RunningServer, room: Path, engine: str, mode: str
) -> None:
    source, destination = make_tree(room / "from", files=60), room / "to"
    make_hostile_tree(source / "hostile", room / "outside")
    before = without_folders_and_special(source)
    job_id = a_deleting_job(shared_server, source, destination, engine=engine, mode=mode)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["message"]) == ("completed", None)
    assert run["sources_deleted"] == len(before)
    assert [phase["name"] for phase in run["phases"]][-2:] == ["verify", "delete_source"]
    assert without_folders_and_special(destination) == before
    assert [line for line in files_in(source) if not line.startswith("special ")] == []
    assert stat.S_ISFIFO((source / "hostile/fifo").lstat().st_mode)
    assert (source / "hostile" / "empty folder").is_dir()
    assert (room / "outside").read_bytes() == b"outside of the tree"
    outcomes = [line["outcome"] for line in deletions_of(shared_server, run["id"])]
    assert outcomes.count("deleted") == outcomes.count("intended") == len(before)


@ENGINES
def test_what_the_filters_leave_out_stays_even_with_a_copy_of_old(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = make_tree(room / "from", files=10), room / "to"
    for top in (source, destination):
        (top / "cache").mkdir(parents=True)
        (top / "cache" / "kept.bin").write_bytes(b"the same at both ends")
        (top / "note.tmp").write_bytes(b"the same at both ends")
    patterns = {"rsync": ["*.tmp", "/cache/"], "rclone": ["*.tmp", "/cache/**"]}[engine]
    job_id = a_deleting_job(
        shared_server, source, destination, engine=engine, options={"exclude": patterns}
    )

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["sources_deleted"]) == ("completed", 10)
    assert sorted(path.name for path in source.rglob("*") if path.is_file()) == [
        "kept.bin",
        "note.tmp",
    ]


@ENGINES
def test_a_source_that_is_one_file_is_deleted(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source = make_large_file(room / "-one file <b>.bin", megabytes=3)
    content, destination = source.read_bytes(), room / "to"
    job_id = a_deleting_job(shared_server, source, destination, engine=engine)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["sources_deleted"]) == ("completed", 1)
    assert not source.exists()
    assert (destination / source.name).read_bytes() == content
    assert sorted(os.listdir(room)) == ["to"]


def test_all_stays_when_one_file_could_not_be_copied_and_the_others_go_by_themselves(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=20), room / "to"
    # Nobody can put a file where a folder with something in it is.
    (destination / "blocked" / "inner").mkdir(parents=True)
    (source / "blocked").write_bytes(b"cannot be copied")
    before = files_in(source)
    whole = a_deleting_job(shared_server, source, destination)

    run = run_to_end(shared_server, whole)

    assert run["outcome"] in {"warning", "failed"}
    assert (files_in(source), run["sources_deleted"]) == (before, 0)

    each = a_deleting_job(shared_server, source, destination, mode="per_file")
    run = run_to_end(shared_server, each)

    assert run["outcome"] in {"warning", "failed"}
    assert [path.name for path in source.rglob("*") if path.is_file()] == ["blocked"]
    assert run["sources_deleted"] == 20


VANISHED = """#!/bin/sh
case " $* " in *" --dry-run "*|*" --version "*|*" --list-only "*) exec "{real}" "$@";; esac
"{real}" "$@" || exit
echo 'file has vanished: "/srv/gone.jpg"' >&2
exit 24
"""


def test_a_warning_keeps_everything_and_is_told(
    make_server: Callable[..., RunningServer], tmp_path: Path, rsync: str
) -> None:
    tool = tmp_path / "bin" / "rsync"
    tool.parent.mkdir()
    tool.write_text(VANISHED.format(real=rsync))
    tool.chmod(0o755)
    server = make_server(PATH=f"{tool.parent}:{os.environ['PATH']}")
    source, destination = make_tree(tmp_path / "from", files=20), tmp_path / "to"
    before = files_in(source)

    run = run_to_end(server, a_deleting_job(server, source, destination))

    assert (run["outcome"], run["sources_deleted"]) == ("warning", 0)
    assert files_in(source) == before == files_in(destination)
    assert any("Nothing was deleted at the source" in notice for notice in run["notices"])

    run = run_to_end(server, a_deleting_job(server, source, destination, mode="per_file"))

    assert (run["outcome"], run["sources_deleted"]) == ("warning", 20)
    assert files_in(source) == []
    assert files_in(destination) == before


def test_a_run_that_failed_deletes_nothing_though_each_file_has_its_copy(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=5), room / "to"
    run_to_end(shared_server, shared_server.create_job(source, destination))
    marker = source / "marker"
    marker.touch()
    options = {"source_marker": "marker"}
    job_id = a_deleting_job(shared_server, source, destination, mode="per_file", options=options)

    marker.unlink()
    before = files_in(source)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["sources_deleted"]) == ("failed", 0)
    assert files_in(source) == before == files_in(destination)


def test_only_folders_that_became_empty_go_and_only_when_asked(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    (source / "a" / "b" / "c").mkdir(parents=True)
    (source / "a" / "b" / "c" / "file").write_bytes(b"1")
    (source / "a" / "was empty").mkdir()
    (source / "d" / "e").mkdir(parents=True)
    (source / "d" / "e" / "file").write_bytes(b"2")
    job_id = a_deleting_job(shared_server, source, destination, delete_empty_directories=True)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["sources_deleted"]) == ("completed", 2)
    left = sorted(str(path.relative_to(source)) for path in source.rglob("*"))
    assert left == ["a", "a/was empty"]


def test_a_run_that_deletes_nothing_loads_nothing_of_this(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=5), room / "to"
    job_id = shared_server.create_job(source, destination, verification="checksum")

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["sources_deleted"]) == ("completed", 0)
    assert len(files_in(source)) == 5
    names = {path.name for path in (shared_server.data_dir / "runs" / run["id"]).iterdir()}
    assert names.isdisjoint({"selected-files", "manifest.jsonl", "deletions.jsonl"})
