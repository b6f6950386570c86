"""One process as the runner of many runs that all change at once: `python -m
tests.benchmarks.batches DATA COUNT`.

It is their runner as that of `runners` is. For each line on the standard input, a number, it writes
so many batches, ten a second: a line of progress to every journal, and one to the first run's log;
then it says `done`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from models import events
from tests.benchmarks.runners import begin, progress_at

INTERVAL_SECONDS = 0.1
_STEPS_A_BATCH = 1000
"""A thousandth of the whole: each batch is a new percentage."""


def main(data_dir: Path, count: int) -> None:
    """Perform so many runs, as far as anybody can tell."""
    journals = [begin(data_dir / "runs", number) for number in range(count)]
    log = (data_dir / "runs" / "run-00000" / "engine.log").open("a", buffering=1)
    log.writelines(f"an early line {number}\n" for number in range(200))
    print("ready", flush=True)
    batch = 0
    for line in sys.stdin:
        due = time.monotonic()
        for _ in range(int(line)):
            batch += 1
            for journal in journals:
                journal.append(events.ProgressMade(progress_at(batch * _STEPS_A_BATCH)))
            log.write(f"file {batch} of many\n")
            due += INTERVAL_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))
        print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
