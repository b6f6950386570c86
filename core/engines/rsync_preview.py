"""The dry run of rsync: the transfer's own arguments with `--dry-run`, and its itemised lines."""

from __future__ import annotations

from core.engines.base import Batch, Engine, OutputReader, Reading
from core.engines.preview import PreviewBatch, PreviewReader
from core.engines.rsync_messages import unescape
from core.engines.rsync_output import MARK, Item, split_item
from models.planned_change import ChangeKind, PlannedChange
from models.run_spec import RunSpec
from utils.shown_names import shown_name


class RsyncPreview:
    """rsync tells in a dry run what it tells in a transfer (rsync(1), --dry-run)."""

    def build_argv(
        self,
        engine: Engine,
        spec: RunSpec,
        tool: str,
        *,
        is_directory: bool,
        lists_at_once: bool = False,
    ) -> list[str]:
        """Arguments of a dry run."""
        argv = engine.build_argv(spec, tool, is_directory=is_directory, lists_at_once=lists_at_once)
        return [argv[0], "--dry-run", *argv[1:]]

    def reader(self, engine: Engine, spec: RunSpec) -> PreviewReader:
        """A fresh reader for one attempt."""
        return RsyncChanges(engine.output_reader(spec))


class RsyncChanges:
    """Reads itemised lines as planned changes; `words` reads all others."""

    def __init__(self, words: OutputReader) -> None:
        self.reading = Reading()
        self._words = words

    def feed(self, lines: list[bytes]) -> PreviewBatch:
        """Take lines; unchanged files are counted, and are no changes."""
        changes: list[PlannedChange] = []
        words: list[bytes] = []
        for line in lines:
            item = split_item(line.removeprefix(MARK))
            if item is None:
                words.append(line)
                continue
            change = self._take(item)
            if change is not None:
                changes.append(change)
        rest = self._words.feed(words) if words else Batch()
        self.reading.refusal = self._words.reading.refusal
        return PreviewBatch(changes, rest)

    def close(self) -> list[PlannedChange]:
        """Nothing is left open: each line tells all."""
        return []

    def _take(self, item: Item) -> PlannedChange | None:
        change, size, _, escaped = item
        kind = _kind_of(change)
        is_folder = escaped.endswith(b"/")
        if kind is not ChangeKind.DELETE and not is_folder:
            self.reading.files_finished += 1
            self.reading.current_name = escaped
        if kind is None:
            return None
        name = unescape(escaped)
        # Of what it deletes rsync tells no size.
        told = None if is_folder or kind is ChangeKind.DELETE else size
        return PlannedChange(kind, shown_name(name), name, told)


def _kind_of(change: bytes) -> ChangeKind | None:
    """Return what the eleven characters of %i say (rsync(1), --itemize-changes)."""
    if change[0:1] == b"*":
        return ChangeKind.DELETE
    if b"+" in change:
        return ChangeKind.CREATE
    if change[0:1] == b"h" and not change[2:].strip(b" "):
        # A hard link that is there already.
        return None
    if change[0:1] != b".":
        return ChangeKind.UPDATE
    return ChangeKind.ATTRIBUTES if change[2:].strip(b" .") else None
