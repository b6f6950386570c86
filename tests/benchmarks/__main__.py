"""`make bench`: every benchmark, a table, and bench-results.json."""

from __future__ import annotations

from tests.benchmarks import (
    cards,
    crowds,
    errors,
    fan_out,
    jobs,
    logs,
    metrics,
    pages,
    runs,
    store,
    table,
)
from tests.support import PROJECT_ROOT, RunningServer

BENCHMARKS = (
    store.job_store,
    jobs.runner,
    jobs.whole_jobs,
    *runs.BENCHMARKS,
    *logs.BENCHMARKS,
    *pages.BENCHMARKS,
    *metrics.BENCHMARKS,
    *errors.BENCHMARKS,
    *fan_out.BENCHMARKS,
    *cards.BENCHMARKS,
    *crowds.BENCHMARKS,
)


def main() -> None:
    """Measure everything."""
    RunningServer.forks = False
    rows: list[table.Row] = []
    try:
        for benchmark in BENCHMARKS:
            rows += benchmark()
    finally:
        # Also what was measured before one of them failed.
        table.show(rows)
        table.write(rows, PROJECT_ROOT / "bench-results.json")


if __name__ == "__main__":
    main()
