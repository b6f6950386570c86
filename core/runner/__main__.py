"""Entry of the runner: `python -m core.runner RUN_DIRECTORY`.

The process that is started takes the run's lock, forks and ends with 0 once the run is under way:
so whoever started it has no child to reap, and no signal to its group reaches the run. Standard
library only: it must start fast and stay small (architecture.md, decision 10).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

from core.engines.base import Engine
from core.engines.registry import ENGINES
from core.runner.journal import CappedLog, Journal, write_result
from core.runner.phases import Performance
from core.runner.process import StopSwitch
from models.errors import InvalidDocument
from models.events import RunEnded, RunStarted
from models.run_spec import RunKind, RunSpec
from utils.durable_file import try_lock
from utils.process_identity import identify

EXIT_USAGE = 2
EXIT_LOCKED = 3
EXIT_BAD_SPEC = 4
RESULT_PATIENCE_SECONDS = 86_400
"""How long a run that has ended waits for room to say so."""
_RESULT_RETRY_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Start the run in a process of its own; returns the exit code for whoever asked."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m core.runner RUN_DIRECTORY\n")
        return EXIT_USAGE
    directory = os.path.abspath(arguments[0])
    try:
        with open(os.path.join(directory, "spec.json"), "rb") as file:
            spec = RunSpec.from_document(json.load(file)).in_directory(directory)
        engine = ENGINES[spec.engine]
    except (OSError, ValueError, KeyError, InvalidDocument) as error:
        sys.stderr.write(f"spec.json cannot be used: {error}\n")
        return EXIT_BAD_SPEC
    lock = try_lock(os.path.join(directory, "lock"))
    if lock is None:
        sys.stderr.write("another runner holds this run\n")
        return EXIT_LOCKED
    # The engine process inherits the lock, so that it stays held while either of them lives.
    os.set_inheritable(lock, True)
    # All before the fork: a stop sent as soon as this process has ended is heard, and the journal
    # is there to be followed.
    stop = StopSwitch()
    journal = Journal(directory)
    log = CappedLog(directory, max_bytes=spec.max_log_bytes)
    if os.fork():
        return 0
    _detach()
    performance = _performance(directory, spec, engine, journal, log, stop)
    _perform(directory, performance, journal, log)
    return 0


def _performance(
    directory: str,
    spec: RunSpec,
    engine: Engine,
    journal: Journal,
    log: CappedLog,
    stop: StopSwitch,
) -> Performance:
    # What only a dry run or the deletion of sources needs costs no other run its time and memory.
    if spec.kind == RunKind.DRY_RUN:
        module = importlib.import_module("core.runner.preview")
        dry_run: Performance = module.DryRun(directory, spec, engine, journal, log, stop)
        return dry_run
    if spec.source_deletion is not None and spec.only_failed_of is None:
        module = importlib.import_module("core.runner.deletion_phase")
        deleting: Performance = module.DeletingRun(directory, spec, engine, journal, log, stop)
        return deleting
    return Performance(spec, engine, journal, log, stop)


def _perform(directory: str, performance: Performance, journal: Journal, log: CappedLog) -> None:
    who = identify(os.getpid())
    assert who is not None
    try:
        journal.append(RunStarted(who))
        ended = performance.perform()
    except Exception as error:  # noqa: BLE001 - the runner's own boundary: logged and shown
        # Python's own hook, which prints to standard error; `traceback` costs 3 ms at each start.
        log.receive_standard_error()
        sys.excepthook(type(error), error, error.__traceback__)
        ended = performance.failed(f"The runner failed: {type(error).__name__}: {error}")
    log.close()
    _leave_result(directory, ended)
    journal.append_if_possible(ended)
    journal.close()


def _leave_result(directory: str, ended: RunEnded) -> None:
    """Write result.json; while the disk has no room for it, try again and again: a transfer of days
    must not count as interrupted because its last line could not be written. Raises OSError."""
    give_up_at = time.monotonic() + RESULT_PATIENCE_SECONDS
    while True:
        try:
            write_result(directory, ended)
            return
        except OSError:
            if time.monotonic() > give_up_at or not os.path.isdir(directory):
                raise
            time.sleep(_RESULT_RETRY_SECONDS)


def _detach() -> None:
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


if __name__ == "__main__":
    # Not sys.exit: nothing is left to unwind, and the child would run its parent's exit hooks.
    os._exit(main(sys.argv[1:]))
