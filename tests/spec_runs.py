"""A runner started on a spec of a test's own making, without a server."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from models.run_spec import RunSpec
from tests.support import PROJECT_ROOT, wait_until


class SpecRun:
    """One run, by its directory."""

    def __init__(self, directory: Path, *, source: str, destination: str, **fields: Any) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        values: dict[str, Any] = {
            # Of its own: what a run left is found by its id on the whole machine, and ended.
            "run_id": f"{directory.name}-{secrets.token_hex(4)}",
            "job_id": "job-1",
            "engine": "rsync",
            "tool_path": shutil.which(fields.get("engine", "rsync")),
            "source": source,
            "destination": destination,
            "first_delay_seconds": 0.05,
            "max_delay_seconds": 0.1,
            "max_attempts": 3,
        }
        spec = RunSpec(**(values | fields))
        (directory / "spec.json").write_text(json.dumps(spec.to_document()))

    def start(self, **environment: str) -> None:
        """Start the runner, which goes on by itself."""
        subprocess.run(
            [sys.executable, "-S", "-E", "-s", "-m", "core.runner", str(self.directory)],
            cwd=PROJECT_ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            check=True,
        )

    def result(self, *, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for the end and return what it came to."""
        path = self.directory / "result.json"
        wait_until(path.exists, seconds=seconds, what="the end of the run")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def journal(self, event: str) -> list[dict[str, Any]]:
        """Return the events of a kind."""
        path = self.directory / "journal.jsonl"
        # The last line may be on its way still.
        lines = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
        documents: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [document for document in documents if document["event"] == event]

    def ended(self) -> dict[str, Any]:
        """Wait for the last line of the journal, which comes after the result, and return it."""
        return wait_until(lambda: self.journal("run_ended"), what="the last line of the journal")[0]

    def perform(self, **environment: str) -> dict[str, Any]:
        """Start it and wait for its end."""
        self.start(**environment)
        return self.result()
