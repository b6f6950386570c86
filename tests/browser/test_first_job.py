"""The first job of a newcomer: from the form to a copy that is identical, watched live."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.visitor import (
    Visitor,
    card,
    collect_texts,
    collected_texts,
    expect_live,
    expect_status,
    is_same_document,
    job_id_of,
    mark,
)
from tests.support import RunningServer, rsync_differences

_LEAST_FILES = 4_000
_LEAST_PERCENTAGES = 5
_SECONDS = 5
"""How long the copy is made to last: an unlimited one is over in less than a second, and how many
frames a page that shares two processors with other tests shows in that is a matter of luck."""


def _real_tree() -> Path:
    """Return a real tree of at least 4,000 files, and of not many more."""
    roots = [Path("/usr/share", name) for name in ("icons", "doc", "man")]
    sizes = {root: _files_in(root) for root in (*roots, Path(sysconfig.get_path("purelib")))}
    enough = [root for root, files in sizes.items() if files >= _LEAST_FILES]
    assert enough, f"no tree of enough files was found: {sizes}"
    return min(enough, key=sizes.__getitem__)


def _files_in(root: Path) -> int:
    return sum(1 for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _limit_for(root: Path) -> str:
    """Return the bandwidth limit with which a copy of ``root`` takes ``_SECONDS``."""
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
    return f"{max(1, size // _SECONDS // 1024)}K"


def test_a_real_folder_is_backed_up_from_the_browser(
    server: RunningServer, visitor: Visitor, rsync: str, room: Path
) -> None:
    source, destination = _real_tree(), room / "copy"
    page = visitor.open(f"{server.url}/")
    page.get_by_role("link", name="Create a job").click()
    page.locator("#field-name").fill("A real folder")
    page.locator("#field-engine").check()

    # The source: its beginning typed, the rest chosen in the folder browser.
    page.locator("#field-source").fill(str(source.parent))
    page.locator("#browse-source").click()
    folders = page.locator("#browser-source")
    folders.get_by_role("button", name=source.name, exact=True).click()
    expect(folders.locator(".browser-path")).to_have_text(str(source))
    folders.locator("[data-browser-use]").click()
    expect(page.locator("#field-source")).to_have_value(str(source))

    page.locator("#field-destination").fill(str(destination))
    page.locator("#field-bandwidth_limit").fill(_limit_for(source))
    page.locator("#job-form-submit").click()
    job_id = job_id_of(page)
    expect_live(page)

    mark(page)
    collect_texts(page, f"#job-{job_id} [data-live=percent_text]")
    page.locator(f"#job-{job_id}-button").click()
    expect_status(card(page, job_id), "completed", seconds=90)
    shown = [int(text.rstrip("%")) for text in collected_texts(page) if text.endswith("%")]

    assert is_same_document(page)
    assert len(set(shown)) >= _LEAST_PERCENTAGES, shown
    assert shown == sorted(shown)
    assert rsync_differences(source, destination) == ""
