"""What was acknowledged, kept by the test, and compared with what stands on disk after a fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Document = Mapping[str, Any]
_BESIDE = frozenset({"state", "overdue", "last_success_at"})
"""What the API tells beside the definition."""


class Ledger:
    """The last acknowledged definition of every job, and the changes that are under way."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, Document | None] = {}
        self._under_way: dict[str, list[Document | None]] = {}
        self.count = 0

    def begin(self, job_id: str, wanted: Document | None) -> None:
        """Note what is asked for, None for a deletion: until it is answered both may be found."""
        self._under_way.setdefault(job_id, []).append(wanted)

    def acknowledge(self, job_id: str, document: Document | None) -> None:
        """Note what is promised to stand on disk."""
        self._under_way.pop(job_id, None)
        self.acknowledged[job_id] = document
        self.count += 1

    def lost(self, found: Mapping[str, Document]) -> list[str]:
        """Return what does not stand on disk as promised, and what stands there unasked."""
        faults: list[str] = []
        for job_id in sorted({*self.acknowledged, *self._under_way, *found}):
            candidates = [self.acknowledged.get(job_id), *self._under_way.get(job_id, ())]
            if not any(_is(found.get(job_id), wanted) for wanted in candidates):
                faults.append(f"{job_id} is {found.get(job_id)}, not one of {candidates}")
        return faults

    def settle(self, found: Mapping[str, Document]) -> None:
        """Go on from what stands on disk: nothing is under way any more."""
        for job_id in self._under_way:
            self.acknowledged[job_id] = found.get(job_id)
        self._under_way.clear()


def definitions_in(data_dir: Path) -> dict[str, Document]:
    """Read every definition, not by the store's own words: an unreadable file fails the test."""
    return {path.stem: read_yaml(path) for path in (data_dir / "jobs").glob("[!.]*.yaml")}


def check_all_readable(data_dir: Path) -> int:
    """Read every state and every backup as well; returns how many files were read."""
    paths = [
        path
        for folder in ("jobs", "state")
        for pattern in ("[!.]*.yaml", "[!.]*.yaml.bak")
        for path in (data_dir / folder).glob(pattern)
    ]
    for path in paths:
        assert read_yaml(path)["format"] == "1", path
    assert not [str(path) for path in data_dir.glob("*/*.damaged-*")]
    return len(paths)


def read_yaml(path: Path) -> Document:
    """Read a file with PyYAML alone; every scalar is text."""
    document = yaml.load(path.read_bytes(), Loader=yaml.CBaseLoader)
    assert isinstance(document, dict), f"{path} is unreadable"
    return document


def _is(found: Document | None, wanted: Document | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    kept = {key: value for key, value in wanted.items() if key not in _BESIDE}
    return all(found.get(key) == _text(value) for key, value in kept.items())


def _text(value: Any) -> Any:
    """Write a JSON value as YAML reads it without guessing."""
    if isinstance(value, dict):
        return {key: _text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_text(item) for item in value]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
