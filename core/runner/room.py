"""Whether there is room for a run's copy: asked when the totals are known, and before by those of
the last run."""

from __future__ import annotations

from core.engines.base import Reading, ScannedTotals
from core.preflight_space import Finding, Present, Room, SpaceCheck, room_of
from models.run_spec import RunSpec

_ESTIMATE_SECONDS = 2.0
_STEP_SECONDS = 0.02


class RoomWatch:
    """Looks after the room at a local destination; says nothing of another machine's."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._room: Room | None = None
        self._check: SpaceCheck | None = None

    def measure(self) -> None:
        """Take note of the room before the transfer; without that nothing is said of it."""
        # Of a run over some files alone the totals are those of few; on another machine the tool
        # will say.
        if self._spec.destination_is_remote or self._spec.only_failed_of is not None:
            return
        try:
            self._room = room_of(self._spec.destination)
        except OSError:
            self._room = None

    def is_doubtful(self) -> bool:
        """Whether there is no room for what the last run came to: worth a scan before the first
        file, since the source may have become smaller."""
        spec = self._spec
        if self._room is None or spec.expected_bytes is None or spec.expected_files is None:
            return False
        totals = ScannedTotals(spec.expected_files, spec.expected_bytes)
        check = self._begin(totals, self._room, Present(0, 0))
        finding = check.step(seconds=_ESTIMATE_SECONDS)
        return finding is not None and finding.fault is not None

    def look(
        self, totals: ScannedTotals | None, reading: Reading, *, at_once: bool = False
    ) -> Finding | None:
        """Go on looking, a short while or to the end; returns once what came out."""
        if self._room is None or totals is None:
            return None
        if self._check is None:
            finished = Present(reading.files_finished, reading.bytes_finished)
            self._check = self._begin(totals, self._room, finished)
        finding = self._check.step(seconds=float("inf") if at_once else _STEP_SECONDS)
        if finding is not None:
            self._room = None
        return finding

    def _begin(self, totals: ScannedTotals, room: Room, finished: Present) -> SpaceCheck:
        spec = self._spec
        # Links to one file take its room once, and an option may leave out what the scan counted.
        is_certain = not (spec.hard_links or spec.extra_args or spec.source_is_remote)
        return SpaceCheck(
            spec.source, spec.destination, totals, room, finished=finished, is_certain=is_certain
        )
