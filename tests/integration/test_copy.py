"""Proves that a completed rsync run leaves an identical copy, and that its figures are true.

What is at the destination is compared by bare `rsync -nac --delete`, by hashes and by counting.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.running import run_to_end
from tests.integration.trees import (
    count_entries,
    differences_beneath,
    listing,
    make_hostile_tree,
    size_of,
)
from tests.support import RunningServer, make_large_file, make_tree, rsync_differences

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]


@pytest.mark.parametrize("verification", ["off", "fast", "checksum"])
def test_a_hostile_tree_is_copied_as_it_is(
    shared_server: RunningServer, room: Path, verification: str
) -> None:
    source, destination = room / "from", room / "to" / "be made"
    make_tree(source, files=240)
    entries = 240 + make_hostile_tree(source / "hostile", room / "outside")
    job_id = shared_server.create_job(source, destination, verification=verification)

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["message"], run["exit_code"]) == ("completed", None, 0)
    assert rsync_differences(source, destination) == ""
    assert listing(source) == listing(destination)
    assert (run["files_done"], run["progress"]["files_total"]) == (entries, entries)
    assert run["bytes_done"] == run["progress"]["bytes_total"] == size_of(source)
    assert (run["progress"]["percent"], run["files_failed"]) == (100, 0)
    expected = ["preflight", "transfer", "settle"] + ["verify"] * (verification != "off")
    assert [phase["name"] for phase in run["phases"]] == expected
    assert {phase["outcome"] for phase in run["phases"]} == {"completed"}
    assert shared_server.state(job_id)["status"] == "completed"


def test_a_second_run_copies_nothing(shared_server: RunningServer, room: Path) -> None:
    source, destination = room / "from", room / "to"
    make_tree(source, files=200)
    entries = 200 + make_hostile_tree(source / "hostile", room / "outside")
    job_id = shared_server.create_job(source, destination, verification="checksum")
    first = run_to_end(shared_server, job_id)
    before = listing(destination)

    second = run_to_end(shared_server, job_id)

    assert first["bytes_sent"] >= size_of(source) * 0.9
    assert second["outcome"] == "completed"
    assert second["files_skipped"] == second["progress"]["files_total"] == entries
    assert second["bytes_done"] == size_of(source)
    assert second["bytes_sent"] < size_of(source) / 100
    assert listing(destination) == before


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_a_changed_a_new_and_a_removed_file_are_taken_over(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = make_tree(room / "from", files=50), room / "to"
    options = {"delete_extraneous": True}
    job_id = shared_server.create_job(source, destination, options=options, engine=engine)
    run_to_end(shared_server, job_id)
    changed, removed = sorted(source.rglob("*.dat"))[:2]
    changed.write_bytes(b"other contents")
    removed.unlink()
    (source / "new").write_bytes(b"new")

    run = run_to_end(shared_server, job_id)

    assert run["outcome"] == "completed"
    assert differences_beneath(source, destination) == ""
    assert (run["files_done"], run["files_skipped"], run["files_deleted"]) == (50, 48, 1)


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_a_source_that_is_one_file_goes_into_the_destination(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source = make_large_file(room / "-one file <b>.bin", megabytes=3)
    destination = room / "to"
    job_id = shared_server.create_job(source, destination, engine=engine, verification="checksum")

    first, second = (run_to_end(shared_server, job_id) for _ in range(2))

    assert (first["outcome"], second["outcome"]) == ("completed", "completed")
    assert [path.name for path in destination.iterdir()] == [source.name]
    assert (destination / source.name).read_bytes() == source.read_bytes()
    assert (first["files_done"], second["files_skipped"]) == (1, 1)
    assert first["bytes_done"] == second["bytes_done"] == 3 * 1024 * 1024
    assert second["bytes_sent"] < 1024


@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_totals_are_those_of_the_files_that_the_patterns_leave(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = make_tree(room / "from", files=60), room / "to"
    for name in ("a.tmp", "b.tmp", "keep.tmp", "cache/x.dat", "cache/deep/y.dat", "sub/cache.dat"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 50)
    left_out = {"a.tmp", "b.tmp", "cache/x.dat", "cache/deep/y.dat"}
    wanted = {
        str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()
    } - left_out
    patterns = {"rsync": ["*.tmp", "/cache/"], "rclone": ["*.tmp", "/cache/**"]}[engine]
    options = {"exclude": patterns, "include": ["keep.tmp"]}
    job_id = shared_server.create_job(source, destination, engine=engine, options=options)

    run = run_to_end(shared_server, job_id)

    copied = {str(path.relative_to(destination)) for path in destination.rglob("*.*")}
    assert run["outcome"] == "completed"
    assert copied == wanted
    assert run["files_done"] == run["progress"]["files_total"] == len(wanted)
    assert run["bytes_done"] == sum((source / name).stat().st_size for name in wanted)
    assert run["progress"]["percent"] == 100
    assert run["progress"]["totals"] == "known"


def test_totals_are_those_of_the_last_run_until_they_are_known(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=50), room / "to"
    job_id = shared_server.create_job(source, destination, options={"bandwidth_limit": "512K"})
    first = run_to_end(shared_server, job_id)
    make_large_file(source / "new.bin", megabytes=1)

    run = run_to_end(shared_server, job_id)

    shown = [
        (progress["totals"], progress["bytes_total"], progress["bytes_done"])
        for line in shared_server.journal(run["id"])
        if line["event"] == "progress"
        for progress in [line["progress"]]
    ]
    whole = first["bytes_done"] + 1024 * 1024
    estimated = [(total, done) for kind, total, done in shown if kind == "estimated"]
    assert estimated
    last = first["bytes_done"]
    # One that was too small says nothing any more.
    assert all(total == (last if done <= last else None) for total, done in estimated)
    assert {total for kind, total, _ in shown if kind == "known"} == {whole}
    assert run["progress"]["totals"] == "known"
    assert run["bytes_done"] == run["progress"]["bytes_total"] == whole


def test_extraneous_files_stay_unless_asked_and_go_at_most_as_many_as_allowed(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=10), room / "to"
    keeping = shared_server.create_job(source, destination)
    run_to_end(shared_server, keeping)
    extraneous = [destination / f"extraneous-{number}" for number in range(5)]
    for path in extraneous:
        path.write_bytes(b"not in the source")

    kept = run_to_end(shared_server, keeping)
    assert (kept["outcome"], kept["files_deleted"]) == ("completed", 0)
    assert all(path.exists() for path in extraneous)

    options = {"delete_extraneous": True, "max_delete": 2}
    bounded = shared_server.create_job(source, destination, options=options)
    run = run_to_end(shared_server, bounded)
    assert run["outcome"] == "failed"
    assert "limit of deletions" in run["message"]
    assert sum(path.exists() for path in extraneous) == 3
    assert run["files_deleted"] == 2
    state = shared_server.state(bounded)
    assert (state["status"], state["message"]) == ("failed", run["message"])

    unbounded = shared_server.create_job(source, destination, options={"delete_extraneous": True})
    run = run_to_end(shared_server, unbounded)
    assert (run["outcome"], run["files_deleted"]) == ("completed", 3)
    assert rsync_differences(source, destination) == ""


def test_an_empty_source_is_a_complete_copy_of_nothing(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    source.mkdir()
    job_id = shared_server.create_job(source, destination, verification="checksum")

    run = run_to_end(shared_server, job_id)

    assert (run["outcome"], run["files_done"], run["bytes_done"]) == ("completed", 0, 0)
    assert run["progress"]["percent"] == 100
    assert count_entries(destination) == 0


def test_progress_of_a_throttled_run_is_known_rises_and_comes_to_its_end(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "to"
    make_tree(source, files=400, largest=20_000)
    total = size_of(source)
    options = {"bandwidth_limit": "2M"}
    job_id = shared_server.create_job(source, destination, options=options)

    run = run_to_end(shared_server, job_id)

    lines = [line for line in shared_server.journal(run["id"]) if line["event"] == "progress"]
    percents = [line["progress"]["percent"] for line in lines if line["progress"]["percent"]]
    assert run["outcome"] == "completed"
    assert len(set(percents)) >= 5
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert max(line["progress"]["bytes_done"] for line in lines) == total
    rates = [line["progress"]["bytes_per_second"] for line in lines]
    assert any(rate and 1_000_000 < rate < 5_000_000 for rate in rates), rates
