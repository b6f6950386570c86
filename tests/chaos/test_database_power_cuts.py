"""The power fails while runs and faults are recorded: no acknowledged row is lost.

As in test_store_power_cuts.py the file system is shut down without a flush of its log. With
synchronous=NORMAL the same cuts do lose rows: a sweep that cannot fail proves nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.children import Child, child
from tests.chaos.mounts import LoopMount, loop_mount
from tests.chaos.recording import Kept, keep_recording, rows_in

pytestmark = pytest.mark.chaos
IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
CUTS = 50 if IS_FULL else 6
CONTROL_CUTS = 15
"""At most: the control ends with its first loss, unless all are to be counted."""
MOST_ROWS = 150
LONGEST_DELAY_SECONDS = 0.01
MOST_BYTES = 4 * 1024 * 1024
"""Of a database; then another one is begun: the disk is a small one."""


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[LoopMount]:
    """A file system to cut the power of."""
    with loop_mount(tmp_path, "ext4") as mounted:
        yield mounted


class Cuts:
    """Cuts the power of one file system again and again, and counts what got lost."""

    def __init__(self, mount: LoopMount, seed: int, *, synchronous: str) -> None:
        self._mount = mount
        self._choice = random.Random(seed)
        self._synchronous = synchronous
        self._data_dir = mount.path / "data"
        self._promised: dict[tuple[str, str], str] = {}
        self.acknowledged = 0
        self.lost: list[str] = []

    def cut(self) -> None:
        """Cut once while rows are written; all that was acknowledged before must be there."""
        database = self._data_dir / "longshore.db"
        if database.exists() and database.stat().st_size > MOST_BYTES:
            shutil.rmtree(self._data_dir)
            self._promised.clear()
        self._data_dir.mkdir(exist_ok=True)
        seed = self._choice.randrange(2**32)
        with child(keep_recording, self._data_dir, seed, self._synchronous) as process:
            self._listen(process)
            cut_at = time.monotonic()
            self._mount.cut_power()
            # What was acknowledged while the power went may be there or not.
            while (kept := process.receive()) is not None:
                self._note(kept, cut_at)
        self._mount.mount_again()
        verdict, found = rows_in(database)
        assert verdict == "ok", verdict
        self.lost += (
            f"{key} is {found.get(key)}, not {value}"
            for key, value in self._promised.items()
            if found.get(key) not in {value, "completed"}
        )
        # Go on from what there is: a row that is lost is lost once.
        self._promised = {key: found[key] for key in self._promised if key in found}

    def _listen(self, process: Child) -> None:
        wanted = self.acknowledged + self._choice.randrange(1, MOST_ROWS)
        while self.acknowledged < wanted:
            kept = process.receive()
            assert kept is not None, "the writer ended before the power did"
            self._note(kept, time.monotonic())
        moment = time.monotonic() + self._choice.random() * LONGEST_DELAY_SECONDS
        while (left := moment - time.monotonic()) > 0:
            if process.connection.poll(left):
                self._note(process.receive(), time.monotonic())

    def _note(self, kept: Kept, cut_at: float) -> None:
        if kept.acknowledged_at < cut_at:
            self._promised[kept.table, kept.key] = kept.value
            self.acknowledged += 1


def test_no_acknowledged_row_is_lost(mount: LoopMount, tell: Callable[[str], None]) -> None:
    cuts = Cuts(mount, 1, synchronous="FULL")
    for number in range(CUTS):
        cuts.cut()
        assert not cuts.lost, f"lost by cut {number + 1}: {cuts.lost}"
    tell(f"{CUTS} power cuts, {cuts.acknowledged:,} rows acknowledged, 0 lost, 0 databases damaged")
    assert cuts.acknowledged > CUTS, "too few rows to prove anything"


def test_with_synchronous_normal_rows_are_lost(
    mount: LoopMount, tell: Callable[[str], None]
) -> None:
    cuts = Cuts(mount, 2, synchronous="NORMAL")
    tried = 0
    while tried < CONTROL_CUTS and (IS_FULL or not cuts.lost):
        cuts.cut()
        tried += 1
    told = f"{cuts.acknowledged:,} rows acknowledged, {len(cuts.lost)} lost"
    tell(f"control with synchronous=NORMAL: {tried} power cuts, {told}")
    assert cuts.lost, "cuts that lose nothing here cannot tell a good database from a bad one"
