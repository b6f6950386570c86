"""A disk that hangs for real: a FUSE file system whose server reads no request, so that every look
at it waits in the kernel until it is let go of."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import need

_MNT_DETACH = 2


class HangingDisk:
    """Mounted at a folder of its own; what lies beneath is there again once it is let go of."""

    def __init__(self, path: Path) -> None:
        need("root, who may mount file systems,", os.geteuid() == 0)
        need("/dev/fuse", os.path.exists("/dev/fuse"))
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._server: int | None = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._server},rootmode=40000,user_id=0,group_id=0".encode()
        result = self._libc.mount(b"hanging", os.fsencode(path), b"fuse", 0, options)
        need(f"a FUSE mount ({os.strerror(ctypes.get_errno())})", result == 0)

    def die(self) -> None:
        """Answer everybody, now and later, that the server is gone."""
        if self._server is not None:
            os.close(self._server)
            self._server = None

    def let_go(self) -> None:
        """Answer everybody who waits, with an error, and unmount it."""
        self.die()
        # The second time it is no mount point any more, and nothing happens (umount(2), EINVAL).
        self._libc.umount2(os.fsencode(self.path), _MNT_DETACH)


@contextmanager
def hanging_disk(path: Path) -> Iterator[HangingDisk]:
    """Have a disk that hangs, until the end of the block."""
    disk = HangingDisk(path)
    try:
        yield disk
    finally:
        disk.let_go()
