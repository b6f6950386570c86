"""An observer of the job store that notes what it is told."""

from __future__ import annotations

from collections.abc import Iterable

from models.error_event import Fault
from storage.job_table import Observer


class Noted:
    """What a store told, in order."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.faults: list[Fault] = []
        self.settled: list[tuple[str, str]] = []
        self.found: list[str] = []
        self.observer = Observer(
            self._changed, self.faults.append, self._settled, self.found.append
        )

    def _changed(self, job_ids: Iterable[str]) -> None:
        self.changed.extend(job_ids)

    def _settled(self, error_type: str, job_id: str) -> None:
        self.settled.append((error_type, job_id))
