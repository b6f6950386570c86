"""Kills, failing calls and power cuts of the destination while sources are deleted, and folders
that are swapped for links: every file is whole in at least one place, and nothing else is touched.

The copy is left unwritten on purpose (no sync after the transfer): what makes it safe is what the
deleting process itself does. With its sync taken away the same sweep does lose files.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.runner.source_deletion import EXIT_REFUSED
from tests.chaos.mounts import LoopMount, bind_mount, loop_mount
from tests.fakes.deleting_runs import (
    DeletingRun,
    contents_of,
    copy_of,
    in_trash,
    lost_of,
    told,
)
from tests.integration.running import run_to_end
from tests.support import RunningServer, make_tree

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]
IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
POINTS = 200 if IS_FULL else 20
SWAPS = 1000 if IS_FULL else 100
MOST_ROUNDS = 200
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")
FILES = 14
CALLS = re.compile(
    r"^(openat|newfstatat|fstat|statx|readlink(at)?|pread64|read|write|fadvise64|fsync|syncfs|"
    r"renameat2|linkat|unlink(at)?|mkdir(at)?|rmdir|fcntl|dup|close|getdents64)\("
)
BEGIN = "spec.json"
"""The first file of ours that the process opens: what comes before is Python's own start."""


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[LoopMount]:
    """A destination to cut the power of."""
    with loop_mount(tmp_path, "ext4") as mounted:
        yield mounted


class Scene:
    """A source with every kind of file, and a copy that nobody has written to the disk."""

    def __init__(self, tmp_path: Path, destination: Path, mode: str = "per_file") -> None:
        self._mode = mode
        self.run = DeletingRun(tmp_path / "from", destination / "to", tmp_path / "run")

    def set_up(self, **values: object) -> dict[bytes, str]:
        """Make everything anew; returns what the source holds."""
        for path in (self.run.source, self.run.destination, self.run.directory):
            shutil.rmtree(path, ignore_errors=True)
        folder = self.run.source / "folder"
        folder.mkdir(parents=True)
        for number in range(FILES):
            (folder / f"photo {number}.jpg").write_bytes(os.urandom(1 + number * 3000))
        (folder / "empty").touch()
        (folder / "link").symlink_to("photo 1.jpg")
        (self.run.source / "second name").hardlink_to(folder / "photo 2.jpg")
        copy_of(self.run.source, self.run.destination)
        before = contents_of(self.run.source)
        self.run.prepare(source_deletion=self._mode, **values)
        return before


def points_of(strace: str, scene: Scene, tmp_path: Path) -> list[tuple[str, int]]:
    """Delete undisturbed; returns the calls of it, each with its number among those of its kind."""
    scene.set_up()
    trace = tmp_path / "trace"
    performed = scene.run.perform(strace, "-o", str(trace))
    assert performed.returncode == 0, performed.stderr
    counts: Counter[str] = Counter()
    points, has_begun = [], False
    for line in trace.read_text(errors="replace").splitlines():
        found = CALLS.match(line)
        if found is None:
            continue
        counts[found[1]] += 1
        has_begun = has_begun or BEGIN in line
        if has_begun:
            points.append((found[1], counts[found[1]]))
    return points


def injecting(strace: str, injection: str) -> list[str]:
    """Return what has one call go wrong, and writes down no other."""
    # Not with --seccomp-bpf, which is quicker: signals are then never sent (strace 6.1).
    call = injection.partition(":")[0]
    return [strace, "-e", f"trace={call}", "-o", os.devnull, "-e", f"inject={injection}"]


def spread(points: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """Return so many of the points, from the first to the last."""
    step = max(1.0, (len(points) - 1) / (count - 1))
    return [points[min(len(points) - 1, round(number * step))] for number in range(count)]


def test_every_file_is_whole_somewhere_whatever_fails(
    strace: str, tmp_path: Path, mount: LoopMount, tell: Callable[[str], None]
) -> None:
    scene = Scene(tmp_path, mount.path)
    found = points_of(strace, scene, tmp_path)
    ends: Counter[str] = Counter()
    gone = aside = 0
    for number, (call, ordinal) in enumerate(spread(found, POINTS)):
        fault = FAULTS[number % len(FAULTS)]
        before = scene.set_up(trash_days=3 if number % 4 == 3 else None)
        injection = f"{call}:{fault}:when={ordinal}"
        performed = scene.run.perform(*injecting(strace, injection))
        mount.cut_power()
        mount.mount_again()
        assert lost_of(scene.run, before) == [], (injection, performed.stderr)
        aside += check_put_back(scene.run, before, keeps_trash=number % 4 == 3)
        ends[f"exit {performed.returncode}"] += 1
        gone += len(before) - len(contents_of(scene.run.source))
    tell(
        f"source deletion: {POINTS} faults over {len(found)} calls, each with a power cut of the "
        f"destination, {gone} sources deleted, 0 files lost, {aside} put back that were cut off "
        f"in the middle ({dict(ends)})"
    )
    kills = len(range(0, POINTS, len(FAULTS)))
    # A few come too late: how often some calls are made hangs on the moment.
    assert ends["exit -9"] >= kills * (0.9 if IS_FULL else 0.5), "too few faults hit"
    assert gone > POINTS, "too little was deleted to prove anything"


def check_put_back(run: DeletingRun, before: dict[bytes, str], *, keeps_trash: bool) -> int:
    """Do what the next run does first: nothing is left in a hidden folder that nobody asked for.
    Returns how many files came back by that."""
    moved = in_trash(run)
    assert run.put_back_cut_off().returncode == 0
    assert in_trash(run) == (moved if keeps_trash else [])
    assert lost_of(run, before) == []
    return 0 if keeps_trash else len(moved)


def test_without_the_sync_the_same_cuts_lose_files(
    strace: str, tmp_path: Path, mount: LoopMount, tell: Callable[[str], None]
) -> None:
    scene = Scene(tmp_path, mount.path)
    tries = 5 if IS_FULL else 2
    lost = 0
    for _ in range(tries):
        before = scene.set_up()
        performed = scene.run.perform(*injecting(strace, "syncfs:retval=0"))
        assert performed.returncode == 0, performed.stderr
        mount.cut_power()
        mount.mount_again()
        lost += len(lost_of(scene.run, before))
    tell(f"source deletion, control without the sync: {tries} power cuts, {lost} files lost")
    assert lost, "cuts that lose nothing here cannot tell a safe deletion from an unsafe one"


def test_a_sync_that_fails_deletes_nothing(strace: str, tmp_path: Path, mount: LoopMount) -> None:
    scene = Scene(tmp_path, mount.path, mode="verify_then_delete")
    before = scene.set_up()
    performed = scene.run.perform(*injecting(strace, "syncfs:error=EIO"))
    assert performed.returncode == 1
    assert "could not be written" in told(performed)["message"]
    assert contents_of(scene.run.source) == before


def test_what_is_the_source_by_a_bind_mount_is_no_copy(tmp_path: Path, mount: LoopMount) -> None:
    run = DeletingRun(mount.path / "from", tmp_path / "to", tmp_path / "run")
    (run.source / "folder").mkdir(parents=True)
    (run.source / "folder" / "photo.jpg").write_bytes(b"the only copy")
    run.destination.mkdir()
    for inner in ("", "folder"):
        with bind_mount(run.source / inner, run.destination):
            run.prepare()
            performed = run.perform()
        assert performed.returncode == EXIT_REFUSED
        assert "share a part of one file system" in told(performed)["message"]
        assert (run.source / "folder" / "photo.jpg").read_bytes() == b"the only copy"


def test_an_emptied_source_is_good_where_its_mount_is_known_and_told_where_not(
    make_server: Callable[..., RunningServer], tmp_path: Path, mount: LoopMount
) -> None:
    server = make_server()
    inbox = make_tree(mount.path / "inbox", files=5)
    wanted = {"verification": "checksum", "source_deletion": {"enabled": True}}
    options = {"source_mount": str(mount.path)}
    known = server.create_job(inbox, tmp_path / "to", options=options, **wanted)
    unknown = server.create_job(inbox, tmp_path / "to", **wanted)

    assert run_to_end(server, known)["sources_deleted"] == 5
    again = run_to_end(server, known)
    other = run_to_end(server, unknown)

    assert (again["outcome"], again["sources_deleted"]) == ("completed", 0)
    assert again["notices"] == [
        "The source is empty, and its disk is mounted: there is nothing to copy."
    ]
    assert other["outcome"] == "failed"
    assert "give the job a marker file or a mount point" in other["message"]


class Swapper(threading.Thread):
    """Swaps a folder of the source for a link to another one, and back, again and again, from the
    moment on in which the record intends the first deletion."""

    def __init__(self, run: DeletingRun, folder: Path, outside: Path) -> None:
        super().__init__(daemon=True)
        self._record = run.directory / "deletions.jsonl"
        self._folder, self._aside = folder, folder.with_name("aside")
        self._link = folder.with_name("link-to-outside")
        self._link.symlink_to(outside)
        self.ended = threading.Event()
        self.swaps = 0

    def run(self) -> None:
        while not self.ended.is_set() and not self._has_begun():
            continue
        while not self.ended.is_set():
            try:
                self._folder.rename(self._aside)
            except FileNotFoundError:
                return  # It was empty, and has been removed as such.
            self._link.rename(self._folder)
            self._folder.rename(self._link)
            self._aside.rename(self._folder)
            self.swaps += 1
            # A moment in which all is as it should be, so that some files are deleted as well.
            self.ended.wait(0.000_2)

    def _has_begun(self) -> bool:
        return self._record.exists() and b"intended" in self._record.read_bytes()


def test_folders_that_are_swapped_for_links_lead_nowhere(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    run = DeletingRun(tmp_path / "from", tmp_path / "to", tmp_path / "run")
    outside = tmp_path / "outside"
    ends: Counter[str] = Counter()
    rounds = swaps = 0
    while rounds < MOST_ROUNDS and (swaps < SWAPS or not {"kept", "deleted"} <= ends.keys()):
        for path in (run.source, run.destination, run.directory, outside):
            shutil.rmtree(path, ignore_errors=True)
        folder = run.source / "folder"
        folder.mkdir(parents=True)
        for number in range(200):
            (folder / f"{number}").write_bytes(b"of the source %d" % number)
        copy_of(run.source, run.destination)
        shutil.copytree(folder, outside)
        before, untouched = contents_of(run.source), inodes_of(outside)
        run.prepare(source_deletion="per_file", delete_empty_directories=True)
        swapper = Swapper(run, folder, outside)
        swapper.start()
        try:
            performed = run.perform()
        finally:
            swapper.ended.set()
            swapper.join()
        assert performed.returncode == 0, performed.stderr
        assert inodes_of(outside) == untouched
        assert lost_of(run, before) == []
        rounds, swaps = rounds + 1, swaps + swapper.swaps
        ends.update(outcome for outcome, _ in run.outcomes().values())
    tell(
        f"source deletion: {swaps} swaps of a folder for a link in {rounds} runs, 0 files touched "
        f"outside ({dict(ends)})"
    )
    assert swaps >= SWAPS, "too few swaps to prove anything"
    assert ends["kept"], "the swaps never met the deletion"
    assert ends["deleted"], "nothing was deleted beside the swaps"


def inodes_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what is in a folder: each file with its number and the time of its last change."""
    return {
        entry.name: (entry.stat().st_ino, entry.stat().st_ctime_ns) for entry in os.scandir(folder)
    }
