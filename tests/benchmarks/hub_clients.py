"""Many browsers of one hub, as far as it can tell: `python -m tests.benchmarks.hub_clients ADDRESS
COUNT`.

They show the twenty cards and acknowledge. Says `ready` when all are connected; each line that
comes on the standard input is a number of seconds, for which the age of every frame at its arrival
is noted and printed, in ms, as a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time

from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.hub_server import CARDS

_AT_ONCE = 50
_FILES = 4096
_SEQUENCE = re.compile(r'"seq": ?(\d+)')
_AT = re.compile(r'"at": ?([\d.]+)')


class Crowd:
    """So many browsers."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._ages: list[float] | None = None
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._followers: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        """One more connects, and follows."""
        async with self._gate:
            connection = await connect(
                self._address, compression=None, ping_interval=None, proxy=None
            )
            await connection.recv()
            await connection.send(json.dumps({"subscribe": CARDS}))
        self._followers.append(asyncio.create_task(self._follow(connection)))

    async def note(self, seconds: float) -> list[float]:
        """Return the age of every frame that comes in this time, in ms."""
        ages: list[float] = []
        self._ages = ages
        await asyncio.sleep(seconds)
        self._ages = None
        return ages

    async def _follow(self, connection: ClientConnection) -> None:
        async for text in connection:
            now = time.monotonic()
            assert isinstance(text, str)
            sequence, at = _SEQUENCE.search(text), _AT.search(text)
            if sequence is None:
                continue
            await connection.send(f'{{"ack":{sequence[1]}}}')
            if self._ages is not None and at is not None:
                self._ages.append(round(1000 * (now - float(at[1])), 2))


async def main(address: str, count: int) -> None:
    """Connect, then note for as long as asked, again and again."""
    crowd = Crowd(address)
    await asyncio.gather(*(crowd.come() for _ in range(count)))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await crowd.note(float(line))), flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
