"""`make bench`: every benchmark, a table, and bench-results.json."""

from __future__ import annotations

from tests.benchmarks import jobs, runs, store, table
from tests.support import PROJECT_ROOT

BENCHMARKS = (store.job_store, jobs.runner, jobs.whole_jobs, *runs.BENCHMARKS)


def main() -> None:
    """Measure everything."""
    rows = [one for benchmark in BENCHMARKS for one in benchmark()]
    table.show(rows)
    table.write(rows, PROJECT_ROOT / "bench-results.json")


if __name__ == "__main__":
    main()
