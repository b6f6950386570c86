"""The record of what was deleted: written ahead, so that no file goes without a trace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from core.runner.proof import Proof
from models.source_deletions import FORMAT, RECORD_NAME, DeletionOutcome
from utils.durable_file import sync_directory
from utils.timestamps import utc_timestamp

_MODE = 0o600


class DeletionRecord:
    """Appends to `deletions.jsonl` in a run's directory. Every method raises OSError; what could
    not be written must not be done."""

    def __init__(self, directory: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(os.path.join(directory, RECORD_NAME), flags, _MODE)
        self._number = 0
        self._write([{"format": FORMAT}])
        sync_directory(directory)

    def intend(self, proofs: Iterable[Proof]) -> list[int]:
        """Write down what is about to be deleted, durable when this returns; returns its
        numbers."""
        first = self._number + 1
        time = utc_timestamp()
        self._write(
            {
                "n": self._next(),
                "outcome": DeletionOutcome.INTENDED,
                "path": os.fsdecode(proof.name),
                "size": proof.size,
                "mtime_ns": proof.mtime_ns,
                "hash": proof.content,
                "t": time,
            }
            for proof in proofs
        )
        os.fsync(self._descriptor)
        return list(range(first, self._number + 1))

    def tell(self, number: int, outcome: DeletionOutcome, reason: str | None) -> None:
        """Write down what became of an intended deletion."""
        told = {"n": number, "outcome": outcome, "t": utc_timestamp()}
        self._write([told | ({"reason": reason} if reason else {})])

    def keep(self, name: bytes, reason: str) -> None:
        """Write down why a file was not even to be deleted."""
        self._write(
            [
                {
                    "n": self._next(),
                    "outcome": DeletionOutcome.KEPT,
                    "path": os.fsdecode(name),
                    "reason": reason,
                    "t": utc_timestamp(),
                }
            ]
        )

    def close(self) -> None:
        """Make it durable and close it."""
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _write(self, documents: Iterable[dict[str, object]]) -> None:
        lines = [json.dumps(one, separators=(",", ":")).encode("ascii") for one in documents]
        content = memoryview(b"".join(line + b"\n" for line in lines))
        while content:
            content = content[os.write(self._descriptor, content) :]
