"""Fixtures of the chaos suite."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import need


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print what a test tried, past the capture: what `make chaos` is read for."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201

    return say


@pytest.fixture
def strace() -> str:
    """The tracer, and the right to use it."""
    path = shutil.which("strace")
    need("strace", path)
    assert path is not None
    tried = subprocess.run([path, "-o", os.devnull, "true"], capture_output=True)
    need("the right to trace processes", tried.returncode == 0)
    return path
