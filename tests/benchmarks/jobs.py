"""What a whole job costs beside the bare tool, and what a runner costs by itself."""

from __future__ import annotations

import gc
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.benchmarks.table import Row, row
from tests.support import RunningServer, make_large_file, wait_until

PAIRS = 11
FILES = 20_000
FILES_PER_FOLDER = 200
SMALLEST, LARGEST = 512, 16 * 1024
LARGE_FILES, LARGE_MEGABYTES = 4, 256
_RCLONE = Path(sys.executable).parent / "rclone"
_BARE = {
    "rsync": ["rsync", "-a"],
    "rclone": [str(_RCLONE), "copy", "--links", "--metadata", "--create-empty-src-dirs"],
}
_START_TRIES = 15
_POLL_SECONDS = 0.002
_USS_AIM_BYTES = 12 * 1024 * 1024
_START_AIM_SECONDS = 0.25
_TMPFS = Path("/dev/shm")


@contextmanager
def workspace() -> Iterator[Path]:
    """A directory on tmpfs where there is one, so that no disk is measured."""
    with TemporaryDirectory(dir=_TMPFS if _TMPFS.is_dir() else None) as name:
        yield Path(name)


def whole_jobs() -> list[Row]:
    """20,000 files of 0.5 to 16 KB and four large ones, with each engine: the job against the bare
    tool that leaves the same copy, in interleaved pairs."""
    with workspace() as root:
        source = _mixed_files(root / "source")
        server = RunningServer(root / "data")
        server.start()
        try:
            return [_against_bare(server, engine, source, root) for engine in _BARE]
        finally:
            server.close()


def _against_bare(server: RunningServer, engine: str, source: Path, root: Path) -> Row:
    destination, other = root / f"{engine}-copy", root / f"{engine}-bare"
    job = server.create_job(source, destination, engine=engine, verification="off")
    jobs, bare = [], []
    for number in range(PAIRS + 1):
        job_seconds = _job(server, job, destination)
        bare_seconds = _bare([*_BARE[engine], f"{source}/", f"{other}/"], other)
        if number:  # The first pair warms the caches.
            jobs.append(job_seconds)
            bare.append(bare_seconds)
    shutil.rmtree(destination)
    shutil.rmtree(other)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(jobs, bare, strict=True))
    return Row(
        f"{engine} job over {FILES} small files and {LARGE_FILES} large ones against the bare tool,"
        f" median of {PAIRS} pairs",
        round(statistics.median(jobs), 4),
        "s",
        round(statistics.median(bare), 4),
        round(ratio, 3),
        "at most 1.05",
    )


def runner() -> list[Row]:
    """A runner's own memory while it runs, and how soon its engine process lives."""
    with workspace() as root:
        make_large_file(root / "source" / "large.bin", megabytes=64)
        server = RunningServer(root / "data")
        server.start()
        try:
            job = server.create_job(
                root / "source",
                root / "copy",
                verification="off",
                options={"bandwidth_limit": "8M"},
            )
            delays, memory = [], []
            for _ in range(_START_TRIES):
                asked = time.time()
                run_id = server.start_job(job)
                delays.append(_engine_started_at(server, run_id) - asked)
                memory.append(_uss_of_runner(server, run_id))
                server.http.post(f"/api/v1/jobs/{job}/stop")
                server.wait_for_end(run_id)
                shutil.rmtree(root / "copy")
        finally:
            server.close()
    python = _bare_start_seconds()
    return [
        row(
            f"start request to engine process, worst of {_START_TRIES}",
            max(delays),
            "s",
            reference=python,
            aim=f"at most {_START_AIM_SECONDS} s (reference: a bare python -S start)",
        ),
        row(
            f"memory of a runner of its own (USS), worst of {_START_TRIES}",
            max(memory) / 1024**2,
            "MiB",
            reference=_USS_AIM_BYTES / 1024**2,
            aim="under 12 MiB (reference: the bound)",
        ),
    ]


def _mixed_files(root: Path) -> Path:
    generator = random.Random(7)
    for number in range(FILES):
        folder = root / f"folder-{number // FILES_PER_FOLDER:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        content = generator.randbytes(generator.randint(SMALLEST, LARGEST))
        (folder / f"file-{number:05d}.dat").write_bytes(content)
    for number in range(LARGE_FILES):
        make_large_file(root / "large" / f"{number}.bin", megabytes=LARGE_MEGABYTES)
    return root


def _job(server: RunningServer, job: str, destination: Path) -> float:
    """Return the seconds from the start request to the completed state, as the API shows it."""
    shutil.rmtree(destination, ignore_errors=True)
    gc.collect()
    result = server.data_dir / "runs"
    began = time.perf_counter()
    run_id = server.start_job(job)
    # The result is waited for on disk, so that polling the server costs the job nothing; and often,
    # so that the wait itself adds next to nothing.
    path = result / run_id / "result.json"
    while not path.exists():
        time.sleep(_POLL_SECONDS)
    while (run := server.run(run_id))["outcome"] is None:
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - began
    assert run["outcome"] == "completed", run
    return seconds


def _bare(argv: list[str], destination: Path) -> float:
    shutil.rmtree(destination, ignore_errors=True)
    gc.collect()
    began = time.perf_counter()
    subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def _engine_started_at(server: RunningServer, run_id: str) -> float:
    def started() -> str | None:
        for line in server.journal(run_id):
            if line["event"] == "engine_started":
                return str(line["t"])
        return None

    return datetime.fromisoformat(str(wait_until(started))).timestamp()


def _uss_of_runner(server: RunningServer, run_id: str) -> int:
    def moving() -> bool:
        return any(line["event"] == "progress" for line in server.journal(run_id))

    wait_until(moving, what="progress")
    identity = next(line["runner"] for line in server.journal(run_id) if "runner" in line)
    return int(psutil.Process(identity["pid"]).memory_full_info().uss)


def _bare_start_seconds() -> float:
    times = []
    for _ in range(_START_TRIES):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-S", "-E", "-s", "-c", "pass"], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
