"""The manifest of a run that deletes sources: each proof, streamed to disk and back, so that
millions of files cost no memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from types import TracebackType

from core.runner.proof import Proof
from core.runner.selected_files import new_file

MANIFEST_NAME = "manifest.jsonl"
_LONGEST_LINE = 64 * 1024


class ManifestWriter:
    """Writes proofs, one JSON object a line; closed, it can be read."""

    def __init__(self, path: str) -> None:
        self._file = new_file(path)

    def __enter__(self) -> ManifestWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, proof: Proof) -> None:
        """Write one. Raises OSError."""
        document = proof._asdict() | {"name": os.fsdecode(proof.name)}
        self._file.write(json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n")


def read_manifest(path: str) -> Iterator[Proof]:
    """Yield the proofs of a manifest in their order. Raises OSError, ValueError."""
    with open(path, "rb") as file:
        while line := file.readline(_LONGEST_LINE):
            document = json.loads(line)
            yield Proof(**document | {"name": os.fsencode(document["name"])})
