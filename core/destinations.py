"""What a destination really is, so that two spellings of one folder are known as one."""

from __future__ import annotations

import asyncio
import os
import threading

_PATIENCE_SECONDS = 2.0
_MAX_HUNG = 16
"""How many look-ups may hang at once, each in a thread; beyond that paths are taken as written."""


class Destinations:
    """Resolves symbolic links; a mount that hangs delays the one job, and nobody else."""

    def __init__(self) -> None:
        self._under_way = 0

    async def key_of(self, location: str) -> str:
        """Return the real path of a local destination, and a remote one as it is written.

        After two seconds without an answer a path is taken as it is written.
        """
        if not location.startswith("/"):
            return location.rstrip("/")
        as_written = os.path.normpath(location)  # noqa: ASYNC240 - looks at the text alone
        if self._under_way >= _MAX_HUNG:
            return as_written
        loop = asyncio.get_running_loop()
        found: asyncio.Future[str] = loop.create_future()

        def tell(path: str) -> None:
            self._under_way -= 1
            if not found.done():
                found.set_result(path)

        def look() -> None:
            path = os.path.realpath(location)
            try:
                loop.call_soon_threadsafe(tell, path)
            except RuntimeError:
                return  # The loop has ended meanwhile; nobody wants to know any more.

        self._under_way += 1
        # A thread of its own, and one that the end of the program does not wait for: those of a
        # pool would be used up by mounts that hang.
        threading.Thread(target=look, name="destination", daemon=True).start()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await found
        except TimeoutError:
            return as_written
