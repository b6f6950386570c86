"""SIGKILL, EIO and ENOSPC at every system call of a save, a create and a delete.

The tracer is attached to the store's writing thread when the store is open and waits, so that the
n-th call of a kind is the same one in every try.
"""

from __future__ import annotations

import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.error_event import Fault
from models.job_state import JobState
from storage.job_storage import JobStorage
from storage.job_table import Observer
from tests.chaos.children import Child, child
from tests.chaos.drivers import (
    BEGIN,
    BUSY,
    END,
    OPERATIONS,
    OTHER,
    SAVED,
    Report,
    perform,
    rename,
    save_or_create,
)
from tests.chaos.tracing import traced
from tests.fakes.builders import a_job

pytestmark = pytest.mark.chaos
FILE_CALLS = re.compile(
    "openat2?|open|creat|close|p?(read|write)(64|v|v2)?|sendfile|copy_file_range|ftruncate|"
    "fallocate|lseek|(new)?fstat(at)?(64)?|l?stat|statx|f?access(at2?)?|getdents(64)?|"
    "utimensat|fadvise64|fsync|fdatasync|sync_file_range|syncfs|"
    "(sym)?link(at)?|rename(at2?)?|unlink(at)?|mkdir(at)?|fchmod(at2?)?|fcntl|ioctl|flock"
)
WAKING = "sendto"
"""How the writer tells the event loop: being killed there is a fault, an error is none."""
SYNCS = frozenset({"fsync", "fdatasync"})
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")
LEAST_POINTS = 45
_CALL = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<arguments>.*)")


@dataclass(frozen=True)
class Point:
    """The n-th call of its kind."""

    call: str
    ordinal: int
    arguments: str


@dataclass(frozen=True)
class Versions:
    """What may stand in the definition's file."""

    old: bytes | None
    new: bytes | None


def calls_of(strace: str, directory: Path, operation: str) -> tuple[list[Point], Versions]:
    """Do the operation undisturbed; returns its calls and what it changes."""
    path = definition(directory, operation)
    old = content_of(path)
    output = directory.with_suffix(".trace")
    with child(perform, directory, operation) as process:
        writer = process.receive()
        with traced(strace, process.pid, output, "-f"):
            process.send("go")
            report = process.receive()
        new = content_of(path)
        assert report == Report("acknowledged", new)
        assert old != new
        process.send("go on")
        assert process.receive().outcome == "acknowledged"
        assert process.exit_code() == 0
    return points_in(output.read_text(), writer), Versions(old, new)


def points_in(trace: str, writer: int) -> list[Point]:
    """Return the writer's calls up to the end marker; nobody else may have touched a file."""
    counts: Counter[str] = Counter()
    points: list[Point] = []
    is_between = False
    for line in trace.splitlines():
        found = _CALL.match(line)
        if not found:
            continue
        name, arguments = found["name"], found["arguments"]
        if BEGIN in arguments:
            assert not points, "the writer was not idle"
            is_between = True
        elif END in arguments:
            return points
        elif int(found["thread"]) != writer:
            is_file = FILE_CALLS.fullmatch(name) is not None
            assert not (is_between and is_file), f"a call that is not swept: {line}"
        else:
            counts[name] += 1
            if FILE_CALLS.fullmatch(name) or name == WAKING:
                points.append(Point(name, counts[name], arguments))
    raise AssertionError("the operation did not come to its end")


def definition(directory: Path, operation: str) -> Path:
    """Return the definition's file that the operation changes."""
    return directory / "jobs" / f"{OPERATIONS[operation][0]}.yaml"


def content_of(path: Path) -> bytes | None:
    """Return what stands in a file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


async def make_store(directory: Path) -> None:
    """Make what is there before: jobs that were saved before, with their backups."""
    directory.mkdir()
    store = await JobStorage.open(directory)
    for job_id in (SAVED, OTHER, BUSY):
        await store.create(a_job(job_id), JobState(job_id))
        await rename(store, job_id, "Before")
    await store.close()


def others(directory: Path) -> dict[str, bytes]:
    """Return the files of the job that nothing is done to."""
    found = {str(path): path.read_bytes() for path in directory.glob(f"*/{OTHER}.*")}
    return {name.removeprefix(str(directory)): content for name, content in found.items()}


def check_answer(report: Report, on_disk: bytes | None, versions: Versions) -> None:
    """Compare what the store said with what stands on disk."""
    if report.outcome == "acknowledged":
        assert on_disk == versions.new, "acknowledged, and not there"
    elif report.outcome == "failed":
        assert on_disk == versions.old, "said to have failed, and there"
    assert report.shown == on_disk, "readers are shown something else"


async def check_reload(directory: Path, operation: str, content: bytes | None) -> None:
    """Load the directory as the next server does, find it whole, and save."""
    faults: list[Fault] = []
    store = await JobStorage.open(directory, Observer(report=faults.append))
    try:
        assert (faults, store.damaged()) == ([], ())
        job_id = OPERATIONS[operation][0]
        assert (job_id in store.snapshot()) == (content is not None)
        assert store.snapshot()[OTHER].job.name == "Before"
        assert content_of(definition(directory, operation)) == content
        leftovers = [path.name for path in directory.glob("*/.*")]
        assert leftovers == [], "the reload leaves them"
        await save_or_create(store, job_id, "Reloaded")
        assert store.snapshot()[job_id].job.name == "Reloaded"
    finally:
        await store.close()


class Sweep:
    """Forces one fault after another on the same operation, each on a fresh directory."""

    def __init__(self, strace: str, template: Path, operation: str, versions: Versions) -> None:
        self._strace = strace
        self._template = template
        self._operation = operation
        self._versions = versions
        self.outcomes: Counter[str] = Counter()

    async def force(self, directory: Path, point: Point, fault: str, *, lasts: bool) -> None:
        """Force a fault at a point and check all that is promised.

        With `lasts` it stays from that call on until the change is answered.
        """
        shutil.copytree(self._template, directory)
        before = others(directory)
        path = definition(directory, self._operation)
        with child(perform, directory, self._operation) as process:
            when = f"{point.ordinal}{'+' if lasts else ''}"
            output = directory.with_suffix(".trace")
            options = (f"--trace={point.call}", f"--inject={point.call}:{fault}:when={when}")
            with traced(self._strace, process.receive(), output, *options):
                process.send("go")
                report: Report | None = process.receive()
            on_disk = content_of(path)
            assert on_disk in (self._versions.old, self._versions.new), "neither old nor new"
            if report is None:
                assert process.exit_code() == -signal.SIGKILL
                assert fault == "signal=SIGKILL"
            else:
                assert "(INJECTED)" in output.read_text(), "the fault was not forced"
                check_answer(report, on_disk, self._versions)
                if lasts and point.call in SYNCS:
                    assert report.outcome != "acknowledged", "no sync has succeeded"
                on_disk = self._next_save(process, path)
        assert others(directory) == before
        await check_reload(directory, self._operation, on_disk)
        self.outcomes[report.outcome if report else "killed"] += 1
        shutil.rmtree(directory)

    def _next_save(self, process: Child, path: Path) -> bytes | None:
        process.send("go on")
        report: Report = process.receive()
        on_disk = content_of(path)
        assert report == Report("acknowledged", on_disk), "the next save does not work"
        assert on_disk is not None
        assert b"Next" in on_disk
        assert process.exit_code() == 0
        return on_disk


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(one, marks=pytest.mark.long if one == "save_in_a_row" else ())
        for one in OPERATIONS
    ],
)
async def test_a_fault_at_every_call(
    strace: str, tmp_path: Path, operation: str, tell: Callable[[str], None]
) -> None:
    template = tmp_path / "template"
    await make_store(template)
    traced_directory = tmp_path / "traced"
    shutil.copytree(template, traced_directory)
    points, versions = calls_of(strace, traced_directory, operation)
    sweep = Sweep(strace, template, operation, versions)
    tried = 0
    for point in points:
        for fault in FAULTS:
            is_kill = fault.startswith("signal")
            if point.call == WAKING and not is_kill:
                continue
            for lasts in (False,) if is_kill else (False, True):
                tried += 1
                place = f"{fault} at {point}, {'lasting' if lasts else 'once'}"
                try:
                    await sweep.force(tmp_path / f"try-{tried}", point, fault, lasts=lasts)
                except AssertionError as error:
                    raise AssertionError(f"{place}: {error}") from error
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(sweep.outcomes.items()))
    tell(f"{operation}: {tried} faults at {len(points)} calls, 0 torn or misreported ({outcomes})")
    assert tried >= LEAST_POINTS, "too few to prove anything"
