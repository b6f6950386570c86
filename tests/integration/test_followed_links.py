"""Proves with the real tools that no link leads a transfer out of a source or a destination: in the
place of our own folders, or on the way to a file that is tried again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.support import RunningServer, make_large_file, make_tree, tree_of, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
BOTH = pytest.mark.parametrize("engine", ["rsync", "rclone"])
PARTIAL, KEPT = ".longshore-partial", ".longshore-kept"
SLOWLY = {"bandwidth_limit": "300K"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of this module."""
    with ended_server(RunningServer(tmp_path_factory.mktemp("links") / "data")) as server:
        yield server


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that no job is about, with a file of the name that is copied."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "film.bin").write_text("precious", encoding="utf-8")
    return folder


def start_and_stop(server: RunningServer, job_id: str, destination: Path) -> None:
    """Start a job, and stop it once it has written of a file, beside it or to its partial one."""

    def written() -> int:
        names = [*destination.rglob(".film.bin.*"), *destination.rglob(f"{PARTIAL}/film.bin")]
        return sum(path.stat().st_size for path in names)

    before = written()
    server.start_job(job_id)
    wait_until(lambda: written() > before, what="more of the file")
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").is_success
    wait_for_status(server, job_id, "paused")


@pytest.mark.parametrize("place", ["", "sub"], ids=["top", "below"])
def test_a_link_in_a_source_does_not_lead_what_a_stop_leaves_elsewhere(
    server: RunningServer, tmp_path: Path, outside: Path, place: str
) -> None:
    source, destination = tmp_path / "from", tmp_path / "to"
    make_large_file(source / place / "film.bin", megabytes=1)
    (source / place / PARTIAL).symlink_to(outside)
    before = tree_of(outside)
    job_id = server.create_job(source, destination, options=SLOWLY)
    # The first attempt keeps all parts in one place, the second one in each folder.
    for _ in range(2):
        start_and_stop(server, job_id, destination)
        assert tree_of(outside) == before
    run = run_to_end(server, job_id)
    assert run["outcome"] == "completed", run["message"]
    assert tree_of(outside) == before
    assert not (destination / place / PARTIAL).is_symlink()
    assert (destination / place / "film.bin").read_bytes() == (
        source / place / "film.bin"
    ).read_bytes()


@pytest.mark.parametrize("place", ["", "sub"], ids=["top", "below"])
def test_a_link_that_lies_at_a_destination_is_named_and_nothing_is_written_through_it(
    server: RunningServer, tmp_path: Path, outside: Path, place: str
) -> None:
    place, shown = (os.fsdecode(b"sub\xff\n"), r"sub\xff\n") if place else ("", "")
    source, destination = tmp_path / "from", tmp_path / "to"
    make_large_file(source / place / "film.bin", megabytes=1)
    before = tree_of(outside)
    job_id = server.create_job(source, destination, options=SLOWLY)
    start_and_stop(server, job_id, destination)
    for folder in (destination, destination / place):
        for part in (folder / PARTIAL).glob("*"):
            part.unlink()
        if (folder / PARTIAL).exists():
            (folder / PARTIAL).rmdir()
    link = destination / place / PARTIAL
    link.symlink_to(outside)
    run = run_to_end(server, job_id)
    assert run["outcome"] == "failed"
    named = f"{destination / shown / PARTIAL} is not a folder of its own"
    assert named in run["message"]
    assert tree_of(outside) == before
    link.unlink()
    assert run_to_end(server, job_id)["outcome"] == "completed"


@BOTH
@pytest.mark.parametrize("name", [KEPT, ".longshore-trash", PARTIAL])
def test_a_link_in_a_source_that_has_the_name_of_our_own_folder_is_not_copied(
    server: RunningServer, tmp_path: Path, outside: Path, engine: str, name: str
) -> None:
    source, destination = make_tree(tmp_path / "from", files=5), tmp_path / "to"
    fields: dict[str, Any] = {"options": {"keep_replaced": True}}
    job_id = server.create_job(source, destination, engine=engine, **fields)
    assert run_to_end(server, job_id)["outcome"] == "completed"
    (source / name).symlink_to(outside)
    for path in source.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.parent == source:
            path.write_text("another content that is longer", encoding="utf-8")
    before = tree_of(outside)
    for _ in range(2):
        assert run_to_end(server, job_id)["outcome"] == "completed"
    assert tree_of(outside) == before
    assert not (destination / name).is_symlink()


@BOTH
def test_a_folder_that_became_a_link_does_not_lead_a_retry_elsewhere(
    server: RunningServer, tmp_path: Path, outside: Path, engine: str
) -> None:
    source, destination = tmp_path / "from", tmp_path / "to"
    make_tree(source / "folder", files=2)
    (source / "folder" / "film.bin").write_text("of the source", encoding="utf-8")
    # What is in the way makes it fail.
    in_the_way = destination / "folder" / "film.bin"
    (in_the_way / "full").mkdir(parents=True)
    job_id = server.create_job(source, destination, engine=engine)
    failed = run_to_end(server, job_id)
    assert [one["path"] for one in failures(server, failed["id"])] == ["folder/film.bin"]
    (in_the_way / "full").rmdir()
    in_the_way.rmdir()
    (source / "folder").rename(source / "older")
    (source / "folder").symlink_to(outside)
    answer = server.http.post(f"/api/v1/runs/{failed['id']}/retry-failed")
    assert answer.status_code == 202, answer.text
    run = server.wait_for_end(answer.json()["run_id"])
    assert run["outcome"] == "failed"
    assert "is a link now" in run["message"]
    assert not in_the_way.exists()


def failures(server: RunningServer, run_id: str) -> list[dict[str, Any]]:
    """Return the files that failed in a run."""
    found: list[dict[str, Any]] = server.http.get(f"/api/v1/runs/{run_id}/failures").json()["items"]
    return found
