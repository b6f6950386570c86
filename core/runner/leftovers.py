"""Ends what a tool started and left behind outside its process group."""

from __future__ import annotations

import signal
import time

from utils.process_identity import is_alive, send_signal
from utils.process_search import started_by_run

_ROUNDS = 5
_ROUND_SECONDS = 0.1


def end_what_is_left(run_id: str) -> None:
    """Kill every process that this run started and that still lives, until there is none.

    In rounds, since one that is killed may have started another just before; what the kernel does
    not let go of, in a call to a disk or mount that does not answer, is waited for no longer.
    """
    for _ in range(_ROUNDS):
        left = started_by_run(run_id)
        if not left:
            return
        for process in left:
            send_signal(process, signal.SIGKILL)
        deadline = time.monotonic() + _ROUND_SECONDS
        while any(map(is_alive, left)) and time.monotonic() < deadline:
            time.sleep(0.005)
