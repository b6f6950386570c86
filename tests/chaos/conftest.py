"""Fixtures of the chaos suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print what a test tried, past the capture: what `make chaos` is read for."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201

    return say
