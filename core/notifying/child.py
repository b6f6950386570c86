"""What the two processes that send have in common: what they read, and the receipt they write."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

MAX_SECONDS = 45
"""After so long the process ends itself, should nobody be there any more to end it."""
UNREACHABLE = "It cannot be reached."
_MAX_INPUT = 1024 * 1024


def send_one(send: Callable[[dict[str, Any]], str | None]) -> None:
    """Send what standard input says and write the receipt: `send` returns why it failed, or None.

    The address and the text come on standard input, so that no list of processes shows them. The
    receipt is an open file that the dashboard handed over with its lock: one that was killed
    meanwhile finds it when it is back, and does not send the same again.
    """
    signal.alarm(MAX_SECONDS)
    receipt = int(sys.argv[1])
    # An address that names a file by a path without a beginning finds none.
    os.chdir("/")
    try:
        wanted = json.loads(sys.stdin.buffer.read(_MAX_INPUT))
    except ValueError:
        return  # Whoever began to say it was cut off: nothing was sent, and the receipt is empty.
    reason = send(wanted)
    os.pwrite(receipt, json.dumps({"format": 1, "reason": reason}).encode(), 0)
    os.fsync(receipt)
