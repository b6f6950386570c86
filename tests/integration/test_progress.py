"""Proves that progress is honest over eleven real transfers: percent, totals and time left.

Each is held to a bandwidth, so that it is steady and lasts for seconds; with LONGSHORE_CHAOS=full
for half a minute. All are performed at once, since they wait more than they work.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import need
from tests.integration.running import seconds_since_epoch
from tests.rsync_daemon import running_daemon
from tests.spec_runs import SpecRun
from tests.support import assert_progress_never_decreases, make_tree, wait_until

IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
SECONDS = 30.0 if IS_FULL else 3.0
RATE = 1024 * 1024
SIZE = int(RATE * SECONDS)
MANY = 20_000 if IS_FULL else 2000
FROM_SHARE = 0.1
FACTOR = 2.0
LEAST_TRUE_SHARE = 0.9
LEAST_TOLD_SHARE = 0.9 if IS_FULL else 0.2
"""How much of the time left is told at all: the first second of a pace tells nothing, which is a
third of a short transfer."""
TRIES = 1 if IS_FULL else 3
"""A machine that is busy elsewhere changes the pace of a short transfer in its midst, which nobody
foretells: such a one is performed again, by itself."""
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("rsync")]
RCLONE = str(Path(sys.executable).parent / "rclone")


class Tree(NamedTuple):
    """What is copied, with what, and what goes before."""

    make: Callable[[Path], None]
    fields: dict[str, Any]
    before: str | None = None


def one_large_file(source: Path) -> None:
    """One file that holds everything."""
    write(source / "large.bin", SIZE)


def small_files(source: Path) -> None:
    """Many files of a few KiB."""
    make_tree(source, files=MANY, largest=SIZE // MANY * 2)


def mixed_files(source: Path) -> None:
    """Half of the bytes in small files, half in three large ones, among each other."""
    make_tree(source, files=400, largest=SIZE // 400)
    for number, folder in enumerate(("aa", "folder 007", "zz")):
        write(source / folder / f"large-{number}.bin", SIZE // 6)


def deep_folders(source: Path) -> None:
    """Two files in each of sixty folders, one within another."""
    folder = source
    for depth in range(60):
        folder = folder / f"depth-{depth}"
        for number in range(2):
            write(folder / f"file-{depth}-{number}", SIZE // 120)


def many_there_already(source: Path) -> None:
    """Thousands that are up to date, and behind them what is new."""
    make_tree(source / "a", files=4000)
    for number in range(8):
        write(source / "z" / f"new-{number}.bin", SIZE // 8)


def hard_links(source: Path) -> None:
    """Each file has a second name."""
    for number in range(16):
        write(source / f"file-{number}", SIZE // 16)
        (source / f"file-{number} again").hardlink_to(source / f"file-{number}")


def sparse_files(source: Path) -> None:
    """Holes are read and sent like all else."""
    for number in range(4):
        path = source / f"sparse-{number}"
        write(path, 64 * 1024)
        os.truncate(path, SIZE // 4)


def growing_files(source: Path) -> None:
    """Each file is half as large again as the one before it."""
    sizes = [1.5**number for number in range(20)]
    for number, size in enumerate(sizes):
        write(source / f"file-{number:02}", int(SIZE * size / sum(sizes)))


def equal_files(source: Path) -> None:
    """All in one folder."""
    for number in range(60):
        write(source / f"file-{number:02}", SIZE // 60)


def empty_ones_among_others(source: Path) -> None:
    """Most entries have no contents: empty files, empty folders and links."""
    for number in range(20):
        folder = source / f"folder-{number:02}"
        write(folder / "file", SIZE // 20)
        for turn in range(10):
            (folder / f"empty folder {turn}").mkdir()
            (folder / f"empty file {turn}").touch()
            (folder / f"link {turn}").symlink_to("file")


def write(path: Path, size: int) -> None:
    """Make a file that does not compress."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(path.name).randbytes(size))


TREES = {
    "one large file": Tree(one_large_file, {}),
    "small files": Tree(small_files, {}),
    "mixed": Tree(mixed_files, {}),
    "deep": Tree(deep_folders, {}),
    "many there already": Tree(many_there_already, {}, "copy a part"),
    "resumed": Tree(one_large_file, {"resume": True, "bandwidth_limit": RATE // 2}, "cut off"),
    "half the bandwidth": Tree(growing_files, {"bandwidth_limit": RATE * 2 // 3}),
    "hard links": Tree(hard_links, {"hard_links": True}),
    "sparse": Tree(sparse_files, {}),
    "rclone": Tree(equal_files, {"engine": "rclone", "tool_path": RCLONE}),
    "daemon": Tree(empty_ones_among_others, {}, "daemon"),
}


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """The journal of each, performed all at once."""
    need("rclone", os.access(RCLONE, os.X_OK))
    root = tmp_path_factory.mktemp("progress")
    with ExitStack() as stack:
        runs = {
            name: run_of(tree, root / name.replace(" ", "-"), stack) for name, tree in TREES.items()
        }
        for run in runs.values():
            run.start()
        yield {name: journal_of(run) for name, run in runs.items()}


def journal_alone(tree: Tree, place: Path) -> list[dict[str, Any]]:
    """Perform one by itself and return its journal."""
    with ExitStack() as stack:
        run = run_of(tree, place, stack)
        run.start()
        return journal_of(run)


def run_of(tree: Tree, place: Path, stack: ExitStack) -> SpecRun:
    """Make a tree and the run that copies it; `stack` ends what serves it."""
    tree.make(place / "from")
    destination = str(place / "to")
    if tree.before == "daemon":
        destination = stack.enter_context(running_daemon(place)).url("to")
    fields = {"bandwidth_limit": RATE, **tree.fields}
    fields |= {"source": str(place / "from"), "destination": destination}
    prepare(place, tree, fields)
    return SpecRun(place / "run", **fields)


def prepare(place: Path, tree: Tree, fields: dict[str, Any]) -> None:
    """Do what goes before the transfer."""
    if tree.before == "copy a part":
        (place / "to").mkdir()
        subprocess.run(["rsync", "-a", place / "from" / "a", place / "to"], check=True)
    if tree.before == "cut off":
        first = SpecRun(place / "first", **(fields | {"resume": False}))
        first.start()
        wait_until(
            lambda: any(
                line["progress"]["bytes_done"] > SIZE // 3 for line in first.journal("progress")
            ),
            what="a third of the transfer",
        )
        os.kill(first.journal("run_started")[0]["runner"]["pid"], signal.SIGTERM)
        assert first.result()["outcome"] == "paused"


def journal_of(run: SpecRun) -> list[dict[str, Any]]:
    """Wait for a run's good end and return its journal."""
    result = run.result(seconds=SECONDS * 8)
    assert result["outcome"] == "completed", result
    run.ended()
    kinds = ("progress", "phase_started", "phase_ended", "run_ended")
    return sorted((line for kind in kinds for line in run.journal(kind)), key=lambda one: one["t"])


@pytest.mark.parametrize("name", TREES)
def test_percent_rises_to_a_hundred(journals: dict[str, list[dict[str, Any]]], name: str) -> None:
    journal = journals[name]
    assert assert_progress_never_decreases(journal) > SECONDS * 2
    ended = journal[-1]["progress"]
    assert ended["percent"] == 100.0
    assert (ended["bytes_done"], ended["totals"]) == (ended["bytes_total"], "known")
    assert ended["files_done"] == ended["files_total"]
    shown = [line["progress"]["percent"] for line in journal if line["event"] == "progress"]
    early = [percent for percent in shown if percent is not None and percent < 99]
    assert early, "a percentage is shown before the end"


@pytest.mark.parametrize("name", TREES)
def test_the_time_left_is_true(
    journals: dict[str, list[dict[str, Any]]], tmp_path: Path, name: str
) -> None:
    faults = faults_of_the_time_left(journals[name], name)
    for turn in range(TRIES - 1):
        if faults:
            again = journal_alone(TREES[name], tmp_path / f"again-{turn}")
            faults = faults_of_the_time_left(again, name)
    assert not faults


def faults_of_the_time_left(journal: list[dict[str, Any]], name: str) -> str:
    """Return what is wrong with the time left that was told, if anything."""
    samples = samples_of(journal)
    told = [(left, truth) for left, truth in samples if left is not None]
    false = [(left, round(truth, 2)) for left, truth in told if not is_true(left, truth)]
    if name == "hard links":
        # How much of it are links, which take no time, nobody knows: so nothing is told.
        return f"told: {told}" if told else ""
    if len(told) < LEAST_TOLD_SHARE * len(samples):
        return f"told too rarely, {len(told)} times: {samples}"
    asked = samples if IS_FULL else told
    if len(told) - len(false) < LEAST_TRUE_SHARE * len(asked):
        return f"of {len(told)} not true: {false}"
    return ""


def samples_of(journal: list[dict[str, Any]]) -> list[tuple[int | None, float]]:
    """Return what was told of the time left and what it was, from a tenth of the time on."""
    marks = {
        line["event"]: seconds_since_epoch(line["t"])
        for line in journal
        if line["event"].startswith("phase") and line["name"] == "transfer"
    }
    began, ended = marks["phase_started"], marks["phase_ended"]
    return [
        (line["progress"]["eta_seconds"], ended - moment)
        for line in journal
        if line["event"] == "progress"
        for moment in [seconds_since_epoch(line["t"])]
        if began + FROM_SHARE * (ended - began) <= moment < ended
        and line["progress"]["totals"] == "known"
        and line["progress"]["percent"] < 100
    ]


def is_true(left: int, truth: float) -> bool:
    """Whether it lies within the factor, apart from being rounded up to whole seconds."""
    return truth / FACTOR <= left <= truth * FACTOR or (
        ceil(truth / FACTOR) <= left <= ceil(truth * FACTOR)
    )


@pytest.mark.parametrize("verification", ["fast", "checksum"])
@pytest.mark.parametrize("engine", ["rsync", "rclone"])
def test_a_verification_has_a_progress_of_its_own(
    tmp_path: Path, engine: str, verification: str
) -> None:
    need("rclone", os.access(RCLONE, os.X_OK))
    make_tree(tmp_path / "from", files=200)
    tool = {"tool_path": RCLONE} if engine == "rclone" else {}
    run = SpecRun(
        tmp_path / "run",
        source=str(tmp_path / "from"),
        destination=str(tmp_path / "to"),
        engine=engine,
        verification=verification,
        **tool,
    )
    assert run.perform()["outcome"] == "completed"
    shown = [line["progress"] for line in run.journal("progress")]
    verifying = [one for one in shown if one["phase"] == "verify"]
    assert all(one["phase_percent"] is None for one in shown if one["phase"] == "transfer")
    assert [one["percent"] for one in verifying] == [100.0] * len(verifying)
    last = verifying[-1]
    assert (last["phase_files"], last["phase_files_total"]) == (200, 200)
    assert last["phase_percent"] == 100.0
    assert last["phase_bytes"] == (last["bytes_total"] if engine == "rsync" else None)
    percentages = [one["phase_percent"] for one in verifying]
    assert percentages == sorted(percentages)
    log = (tmp_path / "run" / "engine.log").read_text()
    assert log.count("file-00007.dat") <= 1, "what is the same is no word for the log"
    assert '"stats"' not in log


@pytest.mark.parametrize("mode", ["verify_then_delete", "per_file"])
def test_a_deletion_of_sources_has_a_progress_of_its_own(tmp_path: Path, mode: str) -> None:
    source = make_tree(tmp_path / "from", files=200)
    # Two names are read twice, and counted once each.
    (source / "second name").hardlink_to(next(source.rglob("*.dat")))
    run = SpecRun(
        tmp_path / "run",
        source=str(source),
        destination=str(tmp_path / "to"),
        verification="checksum",
        source_deletion=mode,
        hard_links=True,
    )
    assert run.perform()["sources_deleted"] == 201
    shown = [line["progress"] for line in run.journal("progress")]
    deleting = [one for one in shown if one["phase"] == "delete_source"]
    last = deleting[-1]
    assert (last["phase_files"], last["phase_files_total"]) == (201, 201)
    assert last["phase_bytes"] == last["phase_bytes_total"] == last["bytes_total"] > 0
    assert [one["percent"] for one in deleting] == [100.0] * len(deleting)
    for figure in ("phase_files", "phase_bytes", "phase_percent"):
        told = [one[figure] for one in deleting if one[figure] is not None]
        assert told == sorted(told)
    assert last["phase_percent"] == 100.0
