"""One process as the runner of many runs: `python -m tests.benchmarks.runners DATA COUNT RATE`.

It holds every run's lock, says in every journal that it is the runner, and writes progress to each
so many times a second, evenly spread, until it is killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from core.runner.journal import Journal
from models import events
from models.progress import PhaseName, Progress
from tests.fakes.builders import a_spec
from utils.durable_file import try_lock
from utils.process_identity import identify
from utils.timestamps import utc_timestamp

TOTAL = 10**12


def main(data_dir: Path, count: int, rate: float) -> None:
    """Perform so many runs, as far as anybody can tell."""
    journals = [begin(data_dir / "runs", number) for number in range(count)]
    began = time.monotonic()
    step = 0
    while True:
        step += 1
        due = began + step / (count * rate)
        time.sleep(max(0.0, due - time.monotonic()))
        journals[step % count].append(events.ProgressMade(progress_at(step)))


def progress_at(step: int) -> Progress:
    """Return how far a run is after so many steps; the file's name is the moment, in ms."""
    done = step * 1_000_000
    return Progress(
        phase=PhaseName.TRANSFER,
        bytes_done=done,
        bytes_total=TOTAL,
        bytes_sent=done,
        files_done=step,
        files_total=10**7,
        totals="known",
        percent=round(100 * done / TOTAL, 1),
        bytes_per_second=2_000_000,
        eta_seconds=(TOTAL - done) // 2_000_000,
        current_file=f"folder/{time.time() * 1000:.0f}.dat",
        updated_at=utc_timestamp(),
    )


def begin(runs: Path, number: int) -> Journal:
    """Begin a run: its lock is held as long as this process lives."""
    run_id = f"run-{number:05d}"
    directory = runs / run_id
    directory.mkdir(parents=True, mode=0o700)
    spec = a_spec(run_id=run_id, job_id=f"job-{number:05d}")
    (directory / "spec.json").write_text(json.dumps(spec.to_document()))
    lock = try_lock(directory / "lock")
    assert lock is not None
    who = identify(os.getpid())
    assert who is not None
    journal = Journal(str(directory))
    journal.append(events.RunStarted(who))
    journal.append(events.PhaseStarted(PhaseName.TRANSFER))
    return journal


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
