"""An rsync in trouble. Beside it lie `real`, a link to the tool that it stands for, and, while
there is trouble, a file `trouble`: the call that is in trouble and what is the matter, such as
"transfer stubborn". Every other call is done by the real tool.

It is copied and run as a program of its own (`tests/fakes/tools.py`): standard library only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
LONGEST_SECONDS = 300
"""Nothing of it stays longer, whatever becomes of the test."""


def main() -> None:
    """Be in trouble, or become the real tool."""
    call = call_of(sys.argv)
    if call == "transfer":
        claim(sys.argv[-1])
    if trouble() == (call, "refused"):
        sys.stderr.write("rsync: [sender] connection refused\n")
        sys.exit(10)
    if trouble() == (call, "stubborn"):
        be_stubborn()
    os.execv(os.path.join(HERE, "real"), sys.argv)


def call_of(argv: list[str]) -> str:
    """Return what Longshore calls it for."""
    if "--version" in argv:
        return "version"
    if "--dry-run" in argv:
        return "scan" if "--existing" in argv else "verification"
    return "transfer"


def trouble() -> tuple[str, str]:
    """Return which call is in trouble, and how."""
    try:
        with open(os.path.join(HERE, "trouble"), encoding="utf-8") as file:
            call, _, matter = file.read().strip().partition(" ")
    except FileNotFoundError:
        return "", ""
    return call, matter


def claim(destination: str) -> None:
    """Be the only one who writes there, as long as a process of this call lives; else tell of it.

    The lock is inherited by every process of the real tool, and let go of by the last one.
    """
    lock = os.open(destination.rstrip("/") + ".writers", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("overlaps", destination)
    os.set_inheritable(lock, True)
    tell("transfers", destination)


def be_stubborn() -> None:
    """Heed no signal that can be ignored, with two helpers as stubborn in the same group, and one
    that has fled into a session of its own and from its parent, with all that was open."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for _ in range(2):
        if not os.fork():
            stay()
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        tell("stubborn", f"{os.getpid()}")
        stay()
    stay()


def stay() -> None:
    """Stay until killed."""
    time.sleep(LONGEST_SECONDS)
    os._exit(0)


def tell(name: str, text: str) -> None:
    """Leave a line for the test."""
    with open(os.path.join(HERE, name), "a", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
