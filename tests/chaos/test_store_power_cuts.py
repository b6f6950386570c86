"""The power fails while jobs are saved, created and deleted: no acknowledged change is lost.

The file system is shut down without a flush of its log (FS_IOC_SHUTDOWN), unmounted and mounted
again. Without the sync of the directory the same cuts do lose changes: a sweep that cannot fail
proves nothing.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.job_storage import JobStorage
from tests.chaos.children import Child, child
from tests.chaos.drivers import keep_changing
from tests.chaos.ledger import Ledger, check_all_readable, definitions_in
from tests.chaos.mounts import LoopMount, loop_mount

pytestmark = pytest.mark.chaos
IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
CUTS = 200 if IS_FULL else 6
CONTROL_CUTS = 60
"""At most: the control ends with its first loss, unless all are to be counted."""
MOST_CHANGES = 150
LONGEST_DELAY_SECONDS = 0.01


@pytest.fixture(params=["ext4", "xfs"])
def mount(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoopMount]:
    """A file system to cut the power of."""
    with loop_mount(tmp_path, request.param) as mounted:
        yield mounted


class Cuts:
    """Cuts the power of one file system again and again, and counts what got lost."""

    def __init__(self, mount: LoopMount, seed: int, *, syncs_directories: bool) -> None:
        self._mount = mount
        self._choice = random.Random(seed)
        self._syncs_directories = syncs_directories
        self.acknowledged = 0
        self.lost: list[str] = []

    def cut(self) -> None:
        """Cut once while changes are made; all that was acknowledged before is compared."""
        data_dir = self._mount.path / "data"
        data_dir.mkdir(exist_ok=True)
        ledger = Ledger()
        for job_id, document in definitions_in(data_dir).items():
            ledger.acknowledged[job_id] = document
        seed = self._choice.randrange(2**32)
        with child(keep_changing, data_dir, seed, self._syncs_directories) as process:
            self._listen(process, ledger)
            moment = time.monotonic()
            self._mount.cut_power()
            while note_next(process, ledger, moment):
                pass
        self._mount.mount_again()
        self.acknowledged += ledger.count
        if self._syncs_directories:
            check_all_readable(data_dir)
            found = definitions_in(data_dir)
        else:
            # What stands there may be half of another job, too: the store has it mended.
            asyncio.run(mend(data_dir))
            found = definitions_in(data_dir)
        self.lost += ledger.lost(found)

    def _listen(self, process: Child, ledger: Ledger) -> None:
        wanted = self._choice.randrange(1, MOST_CHANGES)
        while ledger.count < wanted:
            assert note_next(process, ledger), "the store ended before the power did"
        moment = time.monotonic() + self._choice.random() * LONGEST_DELAY_SECONDS
        while (left := moment - time.monotonic()) > 0:
            if process.connection.poll(left):
                note_next(process, ledger)


async def mend(data_dir: Path) -> None:
    """Have damaged files restored or set aside, as the next start does."""
    store = await JobStorage.open(data_dir)
    for job in store.damaged():
        (data_dir / "jobs" / f"{job.id}.yaml").unlink()
    await store.close()


def note_next(process: Child, ledger: Ledger, cut_at: float = math.inf) -> bool:
    """Note the child's next message; false at its end.

    What was acknowledged while the power went may be there or not: the shutdown takes a moment, in
    which a sync can be told that all is well.
    """
    message = process.receive()
    if message is None:
        return False
    job_id, document, acknowledged_at = message
    if acknowledged_at is None:
        ledger.begin(job_id, document)
    elif acknowledged_at < cut_at:
        ledger.acknowledge(job_id, document)
    return True


async def test_no_acknowledged_change_is_lost(
    mount: LoopMount, tell: Callable[[str], None]
) -> None:
    cuts = Cuts(mount, 1, syncs_directories=True)
    for number in range(CUTS):
        cuts.cut()
        assert not cuts.lost, f"lost by cut {number + 1}: {cuts.lost}"
    store = await JobStorage.open(mount.path / "data")
    assert store.damaged() == ()
    assert dict(store.snapshot())
    await store.close()
    tell(f"{mount.path.name}: {CUTS} power cuts, {cuts.acknowledged:,} acknowledged, 0 lost")
    assert cuts.acknowledged > CUTS, "too few changes to prove anything"


def test_without_the_sync_of_the_directory_changes_are_lost(
    mount: LoopMount, tell: Callable[[str], None]
) -> None:
    cuts = Cuts(mount, 2, syncs_directories=False)
    tried = 0
    while tried < CONTROL_CUTS and (IS_FULL or not cuts.lost):
        cuts.cut()
        tried += 1
    told = f"{cuts.acknowledged:,} acknowledged, {len(cuts.lost)} lost"
    tell(f"{mount.path.name}, control without the directory's sync: {tried} power cuts, {told}")
    assert cuts.lost, "cuts that lose nothing here cannot tell a good store from a bad one"
