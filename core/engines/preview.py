"""What a dry run asks of an engine: its arguments, and a reader of what the tool then says.

Pure as the engines are, and apart from them: only the runner of a dry run loads this. The tables
of it stand in `core/engines/previews.py`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from core.engines.base import Batch, Engine, Reading
from models.planned_change import PlannedChange
from models.run_spec import RunSpec


class PreviewBatch(NamedTuple):
    """What some lines came to: planned changes, and failed files and words for the log."""

    changes: list[PlannedChange]
    rest: Batch


class PreviewReader(Protocol):
    """Reads one attempt of a dry run; never raises, whatever the bytes are.

    In `reading` the finished files are those that were looked at; nothing of it is copied.
    """

    reading: Reading

    def feed(self, lines: list[bytes]) -> PreviewBatch:
        """Take lines (without their ends) of standard output or standard error."""
        ...

    def close(self) -> list[PlannedChange]:
        """Return the changes whose kind was not told to the end."""
        ...


class Preview(Protocol):
    """How one tool does a dry run."""

    def build_argv(
        self,
        engine: Engine,
        spec: RunSpec,
        tool: str,
        *,
        is_directory: bool,
        lists_at_once: bool = False,
    ) -> list[str]:
        """Arguments of a dry run: those of the transfer itself, and what makes it write nothing."""
        ...

    def reader(self, engine: Engine, spec: RunSpec) -> PreviewReader:
        """A fresh reader for one attempt."""
        ...
