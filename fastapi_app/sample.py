"""The sample job of the first start: real files of this checkout, copied to the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[1]
SAMPLE_NAME = "Sample: Longshore’s own files"
SAMPLE_BANDWIDTH = "2M"
"""Slow enough to be watched: the copy takes some seconds."""


def make_sample(data_dir: Path) -> dict[str, Any]:
    """Return the definition of the sample job, with its destination's parent folder made.

    Raises OSError.
    """
    destination = data_dir.resolve() / "sample-copy"
    destination.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "name": SAMPLE_NAME,
        "engine": "rsync",
        "source": str(PROJECT_ROOT / "fastapi_app"),
        "destination": str(destination),
        "options": {"exclude": ["__pycache__"], "bandwidth_limit": SAMPLE_BANDWIDTH},
        "verification": "checksum",
    }
