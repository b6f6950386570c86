"""An rsync that floods its output with lines before it copies. Beside it lie `real`, a link to the
tool that it stands for, and `bytes`: how much it writes. While there is a file `hold` it waits
before it copies; the seconds that the flood took are left in `seconds`.

It is copied and run as a program of its own (`tests/fakes/flood.py`): standard library only.
"""

from __future__ import annotations

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
NUMBER = b"########"
BLOCK = b"".join(
    b"block %s line %04d: what a tool tells about the work that it is doing at this moment\n"
    % (NUMBER, number)
    for number in range(700)
)
FAILURE = b'rsync: [sender] send_files failed to open "/in/the/flood": Permission denied (13)\n'
HOLD_SECONDS = 300.0
"""It waits no longer, whatever becomes of the test."""


def main() -> None:
    """Flood when it is to copy; then become the real tool."""
    if "--version" not in sys.argv and "--dry-run" not in sys.argv:
        with open(os.path.join(HERE, "bytes"), encoding="ascii") as file:
            size = int(file.read())
        began = time.monotonic()
        flood(size)
        seconds = time.monotonic() - began
        with open(os.path.join(HERE, "seconds"), "w", encoding="ascii") as file:
            file.write(f"{seconds:.6f}")
        give_up_at = time.monotonic() + HOLD_SECONDS
        while os.path.exists(os.path.join(HERE, "hold")) and time.monotonic() < give_up_at:
            time.sleep(0.02)
    os.execv(os.path.join(HERE, "real"), sys.argv)


def flood(size: int) -> None:
    """Write so many bytes of numbered lines, and in their middle the failure of one file."""
    blocks = size // len(BLOCK)
    for number in range(blocks):
        write(BLOCK.replace(NUMBER, b"%08d" % number))
        if number == blocks // 2:
            write(FAILURE)
    write(b"the last of %08d blocks\n" % blocks)


def write(content: bytes) -> None:
    """Write all of it."""
    while content:
        content = content[os.write(1, content) :]


if __name__ == "__main__":
    main()
