"""Fixtures of the browser suite: one Chromium for a worker, a visitor with new pages for a test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visitor import Visitor, chromium_path, launch
from tests.conftest import need

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lives here."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of this package that one worker runs.

    Not for the session: while Playwright's sync API is up its event loop counts as running in this
    thread, and no coroutine test of another suite could start one of its own.
    """
    need("Chromium", chromium_path())
    with sync_playwright() as playwright:
        chromium = launch(playwright.chromium)
        yield chromium
        chromium.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Whoever opens the pages of one test; fails it when a page complained."""
    person = Visitor(browser)
    yield person
    problems = person.problems
    person.close()
    assert not problems, "the page complained:\n" + "\n".join(problems)


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for what is copied, with a short path: long ones are cut on the pages."""
    folder = Path(tempfile.mkdtemp(prefix="longshore-"))
    yield folder
    shutil.rmtree(folder)
